//! Frames made by kafka-clients 4.3.1, and what they say: `tests/golden/messages/README.md` tells how.
//!
//! Each line is a message, a version, a whole frame without its length, and the text that `{:?}` must print, which was
//! made from Kafka's message definitions and not by this crate: names and places of fields are checked, not only bytes.

use bytes::Bytes;
use stratalog_protocol::codec::Message;
use stratalog_protocol::messages::*;
use stratalog_protocol::{Decoder, ErrorCode, RequestHeader, decode_response, encode_request, encode_response};

use crate::joined;
use crate::list::for_each_message;

const GOLDEN: &str = include_str!("../golden/messages/kafka-4.3.1.txt");
const CORRELATION_ID: i32 = 4310;
const CLIENT_ID: &str = "golden";

struct Line {
    message: &'static str,
    version: i16,
    frame: Bytes,
    text: &'static str,
}

fn lines() -> Vec<Line> {
    let parse = |line: &'static str| {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap();
        Line { message: word(), version: word().parse().unwrap(), frame: bytes_of_hex(word()), text: word() }
    };
    GOLDEN.lines().map(parse).collect()
}

fn bytes_of_hex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Decodes and encodes a whole frame. Implemented by hand for both directions, since headers differ.
trait Golden: Message {
    fn decode_frame(frame: Bytes, version: i16) -> Self;
    fn encode_frame(&self, version: i16) -> Bytes;
}

macro_rules! golden_api {
    ($request:ident $response:ident) => {
        impl Golden for $request {
            fn decode_frame(frame: Bytes, version: i16) -> Self {
                let mut decoder = Decoder::new(frame);
                let header = RequestHeader::decode(&mut decoder).unwrap();
                let expected = RequestHeader {
                    api_key: <$request as Request>::API,
                    api_version: version,
                    correlation_id: CORRELATION_ID,
                    client_id: Some(CLIENT_ID.into()),
                };
                assert_eq!(header, expected);
                $request::decode(&mut decoder, version).unwrap_or_else(|e| panic!("{} v{version}: {e}", Self::NAME))
            }

            fn encode_frame(&self, version: i16) -> Bytes {
                joined(&encode_request(self, version, CORRELATION_ID, Some(CLIENT_ID)).unwrap())
            }
        }

        impl Golden for $response {
            fn decode_frame(frame: Bytes, version: i16) -> Self {
                let (correlation_id, response) =
                    decode_response(frame, version).unwrap_or_else(|e| panic!("{} v{version}: {e}", Self::NAME));
                assert_eq!(correlation_id, CORRELATION_ID);
                response
            }

            fn encode_frame(&self, version: i16) -> Bytes {
                joined(&encode_response(self, version, CORRELATION_ID).unwrap())
            }
        }
    };
}

/// What our text hides may be anything in Kafka's; that the bytes come back tells that it was read.
fn says_the_same(ours: &str, kafkas: &str) -> bool {
    let mut shown = Vec::new();
    let mut rest = ours;
    while let Some((before, after)) = rest.split_once(" bytes hidden]") {
        let open = before.rfind('[').expect("a count is in brackets");
        shown.push(&before[..open]);
        rest = after;
    }
    let Some((first, between)) = shown.split_first() else { return ours == kafkas };
    let Some(mut left) = kafkas.strip_prefix(first).and_then(|left| left.strip_suffix(rest)) else { return false };
    between.iter().all(|part| match left.split_once(part) {
        Some((_, after)) => {
            left = after;
            true
        }
        None => false,
    })
}

#[test]
fn hidden_bytes_are_the_only_difference_that_passes() {
    assert!(says_the_same("M { a: [2 bytes hidden], b: [1 bytes hidden] }", "M { a: Some(\"xy\"), b: Some(\"z\") }"));
    assert!(!says_the_same("M { a: [2 bytes hidden], b: 1 }", "M { a: Some(\"xy\"), b: 2 }"));
    assert!(!says_the_same("M { a: 1 }", "M { a: 2 }"));
}

fn check<M: Golden + std::fmt::Debug>(line: &Line) {
    let at = format!("{} v{}", line.message, line.version);
    let message = M::decode_frame(line.frame.clone(), line.version);
    let text = format!("{message:?}");
    assert!(says_the_same(&text, line.text), "{at}\n ours: {text}\n Kafka: {}", line.text);
    let frame = message.encode_frame(line.version);
    assert_eq!(frame[..4], (line.frame.len() as i32).to_be_bytes(), "{at}: length");
    assert_eq!(frame.slice(4..), line.frame, "{at}: bytes");
}

#[test]
fn frames_of_kafka_decode_to_what_they_say_and_encode_to_the_same_bytes() {
    let lines = lines();
    let mut checked = 0;
    macro_rules! check_message {
        ($message:ident) => {
            let of_message = lines.iter().filter(|line| line.message == stringify!($message)).collect::<Vec<_>>();
            let versions = of_message.iter().map(|line| line.version).collect::<Vec<_>>();
            let expected = ($message::MIN_VERSION..=$message::MAX_VERSION).collect::<Vec<_>>();
            assert_eq!(versions, expected, "golden versions of {}", $message::NAME);
            of_message.into_iter().for_each(check::<$message>);
            checked += versions.len();
        };
    }
    for_each_message!(check_message);
    assert_eq!(checked, lines.len());
}

golden_api!(ProduceRequest ProduceResponse);
golden_api!(FetchRequest FetchResponse);
golden_api!(ListOffsetsRequest ListOffsetsResponse);
golden_api!(MetadataRequest MetadataResponse);
golden_api!(OffsetCommitRequest OffsetCommitResponse);
golden_api!(OffsetFetchRequest OffsetFetchResponse);
golden_api!(FindCoordinatorRequest FindCoordinatorResponse);
golden_api!(JoinGroupRequest JoinGroupResponse);
golden_api!(HeartbeatRequest HeartbeatResponse);
golden_api!(LeaveGroupRequest LeaveGroupResponse);
golden_api!(SyncGroupRequest SyncGroupResponse);
golden_api!(DescribeGroupsRequest DescribeGroupsResponse);
golden_api!(ListGroupsRequest ListGroupsResponse);
golden_api!(SaslHandshakeRequest SaslHandshakeResponse);
golden_api!(ApiVersionsRequest ApiVersionsResponse);
golden_api!(CreateTopicsRequest CreateTopicsResponse);
golden_api!(DeleteTopicsRequest DeleteTopicsResponse);
golden_api!(DeleteRecordsRequest DeleteRecordsResponse);
golden_api!(InitProducerIdRequest InitProducerIdResponse);
golden_api!(OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse);
golden_api!(AddPartitionsToTxnRequest AddPartitionsToTxnResponse);
golden_api!(AddOffsetsToTxnRequest AddOffsetsToTxnResponse);
golden_api!(EndTxnRequest EndTxnResponse);
golden_api!(WriteTxnMarkersRequest WriteTxnMarkersResponse);
golden_api!(TxnOffsetCommitRequest TxnOffsetCommitResponse);
golden_api!(DescribeAclsRequest DescribeAclsResponse);
golden_api!(CreateAclsRequest CreateAclsResponse);
golden_api!(DeleteAclsRequest DeleteAclsResponse);
golden_api!(DescribeConfigsRequest DescribeConfigsResponse);
golden_api!(AlterConfigsRequest AlterConfigsResponse);
golden_api!(AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse);
golden_api!(DescribeLogDirsRequest DescribeLogDirsResponse);
golden_api!(SaslAuthenticateRequest SaslAuthenticateResponse);
golden_api!(CreatePartitionsRequest CreatePartitionsResponse);
golden_api!(CreateDelegationTokenRequest CreateDelegationTokenResponse);
golden_api!(RenewDelegationTokenRequest RenewDelegationTokenResponse);
golden_api!(ExpireDelegationTokenRequest ExpireDelegationTokenResponse);
golden_api!(DescribeDelegationTokenRequest DescribeDelegationTokenResponse);
golden_api!(DeleteGroupsRequest DeleteGroupsResponse);
golden_api!(ElectLeadersRequest ElectLeadersResponse);
golden_api!(IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse);
golden_api!(AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse);
golden_api!(ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse);
golden_api!(OffsetDeleteRequest OffsetDeleteResponse);
golden_api!(DescribeClientQuotasRequest DescribeClientQuotasResponse);
golden_api!(AlterClientQuotasRequest AlterClientQuotasResponse);
golden_api!(DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse);
golden_api!(AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse);
golden_api!(DescribeQuorumRequest DescribeQuorumResponse);
golden_api!(UpdateFeaturesRequest UpdateFeaturesResponse);
golden_api!(DescribeClusterRequest DescribeClusterResponse);
golden_api!(DescribeProducersRequest DescribeProducersResponse);
golden_api!(UnregisterBrokerRequest UnregisterBrokerResponse);
golden_api!(DescribeTransactionsRequest DescribeTransactionsResponse);
golden_api!(ListTransactionsRequest ListTransactionsResponse);
golden_api!(ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse);
golden_api!(ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse);
golden_api!(GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse);
golden_api!(PushTelemetryRequest PushTelemetryResponse);
golden_api!(ListConfigResourcesRequest ListConfigResourcesResponse);
golden_api!(DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse);
golden_api!(ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse);
golden_api!(ShareGroupDescribeRequest ShareGroupDescribeResponse);
golden_api!(ShareFetchRequest ShareFetchResponse);
golden_api!(ShareAcknowledgeRequest ShareAcknowledgeResponse);
golden_api!(StreamsGroupHeartbeatRequest StreamsGroupHeartbeatResponse);
golden_api!(StreamsGroupDescribeRequest StreamsGroupDescribeResponse);
golden_api!(DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse);
golden_api!(AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse);
golden_api!(DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse);

#[test]
fn error_codes_are_kafkas() {
    let kafkas = include_str!("../golden/messages/errors-4.3.1.txt");
    let ours = |code: &ErrorCode| format!("{} {} {}", code.0, code.name().unwrap(), code.is_retriable());
    let ours = ErrorCode::ALL.iter().map(ours).collect::<Vec<_>>();
    assert_eq!(ours, kafkas.lines().collect::<Vec<_>>());
    assert_eq!((ErrorCode(999).name(), ErrorCode(999).to_string().as_str()), (None, "error 999"));
    assert_eq!(format!("{:?}", ErrorCode::OFFSET_OUT_OF_RANGE), "OFFSET_OUT_OF_RANGE(1)");
}
