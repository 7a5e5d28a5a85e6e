//! The records field of Produce and Fetch: never looked into here.

use bytes::Bytes;

use super::{Decoder, EncodeError, Encoder, Field, Problem, Version, Wire};
use crate::codec::DecodeError;
use crate::part::Part;

/// Record batches as they lie on the wire. A decoded one is `Null` or `Bytes`, a slice of its frame.
#[derive(Debug, Clone, Default)]
pub enum Records {
    #[default]
    Null,
    Bytes(Bytes),
    /// Bytes and file ranges in wire order: for encoding only.
    Parts(Vec<Part>),
}

impl Records {
    /// Bytes on the wire, without the length in front.
    pub fn length(&self) -> usize {
        match self {
            Records::Null => 0,
            Records::Bytes(bytes) => bytes.len(),
            Records::Parts(parts) => parts.iter().map(Part::length).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.length() == 0
    }

    /// The bytes of decoded records; empty for null and for parts.
    pub fn bytes(&self) -> Bytes {
        match self {
            Records::Bytes(bytes) => bytes.clone(),
            Records::Null | Records::Parts(_) => Bytes::new(),
        }
    }

    /// Reads a field that must not be null.
    pub fn read_present(decoder: &mut Decoder, version: Version) -> Result<Records, DecodeError> {
        match Records::read(decoder, version)? {
            Records::Null => Err(decoder.malformed(Problem::UnexpectedNull)),
            records => Ok(records),
        }
    }

    /// Writes a field that must not be null: null is written as no bytes.
    pub fn write_present(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        match self {
            Records::Null => encoder.write_length(Some(0), version),
            records => records.write(encoder, version),
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Records {
        Records::Bytes(bytes)
    }
}

/// Parts are equal to nothing: what lies in a file is not read to compare it.
impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        match (self, other) {
            (Records::Null, Records::Null) => true,
            (Records::Bytes(left), Records::Bytes(right)) => left == right,
            _ => false,
        }
    }
}

impl Field for Records {
    const MIN_BYTES: usize = 1;
    const WIRE: Wire = Wire::Records;
    const NULLABLE: bool = true;

    fn read(decoder: &mut Decoder, version: Version) -> Result<Records, DecodeError> {
        match decoder.read_length(version)? {
            Some(length) => decoder.read_bytes(length).map(Records::Bytes),
            None => Ok(Records::Null),
        }
    }

    fn write(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        match self {
            Records::Null => encoder.write_length(None, version)?,
            Records::Bytes(bytes) => {
                encoder.write_length(Some(bytes.len()), version)?;
                encoder.write_bytes(bytes);
            }
            Records::Parts(parts) => {
                encoder.write_length(Some(self.length()), version)?;
                parts.iter().for_each(|part| encoder.write_part(part));
            }
        }
        Ok(())
    }
}
