//! Every message in every version: against frames of Apache Kafka, against the `kafka-protocol` crate, and against
//! hostile bytes.

mod allocations;
mod defaults;
mod frames;
mod golden;
mod hostile;
mod list;
mod oracle;
mod secrets;

/// The bytes of parts that lie in memory.
fn joined(parts: &[stratalog_protocol::Part]) -> bytes::Bytes {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            stratalog_protocol::Part::Bytes(part) => bytes.extend_from_slice(part),
            stratalog_protocol::Part::File(_) => panic!("a file part in memory"),
        }
    }
    bytes.into()
}

/// The body that a message encodes to.
fn encoded<M: stratalog_protocol::Message>(message: &M, version: i16) -> bytes::Bytes {
    let mut encoder = stratalog_protocol::Encoder::new();
    if let Err(error) = message.encode(&mut encoder, version) {
        panic!("{} v{version}: {error}", M::NAME);
    }
    joined(&encoder.into_parts())
}
