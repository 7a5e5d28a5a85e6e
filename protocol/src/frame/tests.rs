use bytes::Bytes;

use super::*;
use crate::codec::{Message, Problem};
use crate::messages::*;

fn joined(parts: Vec<Part>) -> Bytes {
    let memory = |part| match part {
        Part::Bytes(bytes) => bytes,
        Part::File(_) => panic!("a file part in memory"),
    };
    parts.into_iter().flat_map(memory).collect()
}

fn header(bytes: &[u8]) -> Result<(RequestHeader, usize), DecodeError> {
    let mut decoder = Decoder::new(Bytes::copy_from_slice(bytes));
    RequestHeader::decode(&mut decoder).map(|header| (header, decoder.left()))
}

#[test]
fn a_frame_is_length_header_message() {
    let request = HeartbeatRequest { group_id: "g".into(), ..Default::default() };
    let classic = joined(encode_request(&request, 0, 7, Some("me")).unwrap());
    assert_eq!(&classic[..], b"\0\0\0\x15\0\x0c\0\0\0\0\0\x07\0\x02me\0\x01g\0\0\0\0\0\0");
    let flexible = joined(encode_request(&request, 4, 7, None).unwrap());
    assert_eq!(&flexible[..], b"\0\0\0\x14\0\x0c\0\x04\0\0\0\x07\xff\xff\0\x02g\0\0\0\0\x01\x00\0");
}

#[test]
fn the_response_header_of_api_versions_is_never_flexible() {
    let response = ApiVersionsResponse::default();
    let lengths = [2, 3, 4].map(|version| {
        let frame = joined(encode_response(&response, version, 7).unwrap());
        assert_eq!(decode_response(frame.slice(4..), version).unwrap(), (7, response.clone()));
        frame.len() - response.size(version).unwrap()
    });
    assert_eq!(lengths, [8, 8, 8]);
    let heartbeat = joined(encode_response(&HeartbeatResponse::default(), 4, 7).unwrap());
    assert_eq!(heartbeat.len(), 4 + 4 + 1 + HeartbeatResponse::default().size(4).unwrap());
}

#[test]
fn headers_of_unknown_apis_and_versions_are_read() {
    let (known, left) = header(b"\0\x12\0\x03\0\0\0\x07\0\x02me\0body").unwrap();
    assert_eq!((known.api_key, known.client_id.as_deref(), left), (ApiKey::API_VERSIONS, Some("me"), 4));
    // A version from the future has a flexible header, so the fallback of ApiVersions (KIP-511) finds its body.
    let (future, left) = header(b"\0\x12\x7f\xff\0\0\0\x07\xff\xff\x01\x05\x01xbody").unwrap();
    assert_eq!((future.api_version, future.client_id, left), (i16::MAX, None, 4));
    let (unknown, left) = header(b"\x7f\xff\0\0\0\0\0\x07\0\0body").unwrap();
    assert_eq!((unknown.api_key, unknown.client_id.as_deref(), left), (ApiKey(i16::MAX), Some(""), 4));
    assert_eq!((unknown.api_key.name(), unknown.api_key.to_string().as_str()), (None, "api 32767"));
}

#[test]
fn a_short_header_is_an_error() {
    let whole = b"\0\x12\0\x03\0\0\0\x07\0\x02me\x01\x05\x01x";
    assert!(header(whole).is_ok());
    for length in 0..whole.len() {
        let error = header(&whole[..length]).unwrap_err();
        assert!(
            matches!(error, DecodeError::Malformed { problem: Problem::Truncated { .. }, .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn the_list_of_apis_is_in_order_and_pairs_requests_with_responses() {
    assert!(APIS.is_sorted_by_key(|api| api.key), "Api::find searches by halves");
    for api in APIS {
        assert_eq!(Api::find(api.key), Some(api));
        assert_eq!(api.key.name(), Some(api.name));
        assert!(api.min_version <= api.max_version && api.flexible_since >= api.min_version);
    }
    assert_eq!(Api::find(ApiKey(4)), None);
    assert_eq!(ApiKey(4).name(), Some("LeaderAndIsr"));
    let fetch = Api::find(ApiKey::FETCH).unwrap();
    assert_eq!((fetch.min_version, fetch.max_version, fetch.flexible_since), (4, 18, 12));
    assert!(fetch.has_version(4) && !fetch.has_version(3) && !fetch.has_version(19));
}
