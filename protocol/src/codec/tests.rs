use bytes::Bytes;

use super::*;
use crate::messages::*;
use crate::{ErrorCode, RequestHeader, decode_response, encode_request, encode_response};

fn joined(parts: Vec<crate::Part>) -> Bytes {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            crate::Part::Bytes(part) => bytes.extend_from_slice(&part),
            crate::Part::File(_) => panic!("a file part in memory"),
        }
    }
    bytes.into()
}

#[test]
fn a_request_and_its_response_cross_the_wire() {
    let request = MetadataRequest {
        topics: Some(vec![metadata::MetadataRequestTopic { name: Some("logs".into()), ..Default::default() }]),
        ..Default::default()
    };
    for version in MetadataRequest::MIN_VERSION..=MetadataRequest::MAX_VERSION {
        let frame = joined(encode_request(&request, version, 7, Some("me")).unwrap());
        assert_eq!(frame[..4], (frame.len() as i32 - 4).to_be_bytes());
        let mut decoder = Decoder::new(frame.slice(4..));
        let header = RequestHeader::decode(&mut decoder).unwrap();
        assert_eq!((header.correlation_id, header.client_id.as_deref()), (7, Some("me")));
        assert_eq!(MetadataRequest::decode(&mut decoder, version).unwrap(), request);

        let response = MetadataResponse { cluster_id: None, ..Default::default() };
        let frame = joined(encode_response(&response, version, 9).unwrap());
        assert_eq!(decode_response(frame.slice(4..), version).unwrap(), (9, response));
    }
    assert!(ErrorCode::NOT_LEADER_OR_FOLLOWER.is_retriable());
}
