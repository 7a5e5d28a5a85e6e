//! How values lie on the Kafka wire: bounded reading, writing as parts, and the traits that messages derive.
//!
//! Owns the decoder, the encoder and the wire form of every field type. Knows no message. A peer can neither make it
//! panic nor make it hold memory out of proportion to the bytes that it sent (see [`Decoder`]).

mod decoder;
mod encoder;
mod error;
mod field;
mod message;
mod records;
mod redacted;
mod schema;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::{DecodeError, EncodeError, Problem};
pub use field::{
    Field, Nullable, read_array, read_nullable_since, read_tagged_fields, write_array, write_nullable_since,
};
pub use message::{Message, Structure, absent, at_least_one_byte, message_version};
pub use records::Records;
pub use redacted::{Redacted, Secret};
pub use schema::{FieldSchema, Wire};

/// A message version as the field codecs see it: the number, and whether it is flexible (KIP-482), which makes lengths
/// varints and ends every structure with tagged fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub number: i16,
    pub flexible: bool,
}

impl Version {
    pub const fn classic(number: i16) -> Version {
        Version { number, flexible: false }
    }

    pub const fn flexible(number: i16) -> Version {
        Version { number, flexible: true }
    }
}
