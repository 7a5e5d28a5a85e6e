//! What `#[derive(Message)]` implements.

use super::{DecodeError, Decoder, EncodeError, Encoder, FieldSchema, Version};

/// Fields in wire order. Derived; called through [`Message`].
pub trait Structure: Sized + Default {
    /// The fewest bytes that it takes in any version; never 0.
    const MIN_BYTES: usize;
    const FIELDS: &'static [FieldSchema];

    fn read_fields(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError>;
    fn write_fields(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError>;
}

/// A whole request, response or stored record with versions of its own.
pub trait Message: Structure {
    const NAME: &'static str;
    const MIN_VERSION: i16;
    const MAX_VERSION: i16;
    /// The first flexible version (KIP-482); `i16::MAX` if there is none.
    const FLEXIBLE_SINCE: i16;

    /// Reads the message from here to the end of the frame; a byte left over is an error.
    fn decode(decoder: &mut Decoder, version: i16) -> Result<Self, DecodeError> {
        let Some(version) = message_version::<Self>(version) else {
            return Err(DecodeError::UnsupportedVersion { message: Self::NAME, version });
        };
        let message = Self::read_fields(decoder, version)?;
        decoder.finish()?;
        Ok(message)
    }

    /// Writes the message. A field that the version lacks must hold its default, unless it is declared ignorable:
    /// silently dropping anything else would change what the peer understands.
    fn encode(&self, encoder: &mut Encoder, version: i16) -> Result<(), EncodeError> {
        let Some(version) = message_version::<Self>(version) else {
            return Err(EncodeError::UnsupportedVersion { message: Self::NAME, version });
        };
        self.write_fields(encoder, version)
    }

    /// Bytes on the wire, header and frame length apart. Costs an encoding; parts are not copied.
    fn size(&self, version: i16) -> Result<usize, EncodeError> {
        let mut encoder = Encoder::new();
        self.encode(&mut encoder, version)?;
        Ok(encoder.length())
    }
}

/// The version if the message has it.
pub const fn message_version<M: Message>(number: i16) -> Option<Version> {
    if number < M::MIN_VERSION || number > M::MAX_VERSION {
        return None;
    }
    Some(Version { number, flexible: number >= M::FLEXIBLE_SINCE })
}

/// For derived code: a field that the version lacks must hold its default.
pub fn absent(is_default: bool, field: &'static str, version: Version) -> Result<(), EncodeError> {
    if is_default { Ok(()) } else { Err(EncodeError::FieldNotInVersion { field, version: version.number }) }
}

/// For derived code: a structure whose every field is missing from some version still bounds a count.
pub const fn at_least_one_byte(bytes: usize) -> usize {
    if bytes == 0 { 1 } else { bytes }
}
