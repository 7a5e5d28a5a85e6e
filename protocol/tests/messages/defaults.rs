//! A default message means the same to us and to the oracle, in every version.

use bytes::BytesMut;
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Encodable, Message as _};
use stratalog_protocol::messages::*;
use stratalog_protocol::{Decoder, Message};

use crate::encoded;
use crate::list::for_each_message_of_the_oracle;

#[test]
fn defaults_agree_with_the_oracle() {
    macro_rules! check {
        ($message:ident) => {
            let oracle = theirs::$message::VERSIONS;
            for version in $message::MIN_VERSION.max(oracle.min)..=$message::MAX_VERSION.min(oracle.max) {
                let ours = encoded(&$message::default(), version);
                let mut expected = BytesMut::new();
                theirs::$message::default().encode(&mut expected, version).unwrap();
                assert_eq!(ours, expected, "{} v{version}", $message::NAME);
                let back = $message::decode(&mut Decoder::new(ours), version).unwrap();
                assert!(back == $message::default(), "{} v{version}: {back:?}", $message::NAME);
            }
        };
    }
    for_each_message_of_the_oracle!(check);
}
