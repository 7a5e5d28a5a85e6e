//! The wire form of each field type, and the few generic functions that derived code is made of.

use bytes::Bytes;
use uuid::Uuid;

use super::{DecodeError, Decoder, EncodeError, Encoder, Problem, Structure, Version, Wire};

/// A vector starts with room for at most this many bytes of elements, and grows as they arrive.
const INITIAL_ARRAY_BYTES: usize = 4096;

/// A value that can be a field.
pub trait Field: Sized {
    /// The fewest bytes it takes in any version; never 0.
    const MIN_BYTES: usize;
    const WIRE: Wire;
    /// Whether null is one of its values.
    const NULLABLE: bool = false;

    fn read(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError>;
    fn write(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError>;
}

/// A field type with a null: `Option` of it is a field.
pub trait Nullable: Field {
    fn read_nullable(decoder: &mut Decoder, version: Version) -> Result<Option<Self>, DecodeError>;
    fn write_nullable(value: Option<&Self>, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError>;
}

impl<T: Nullable> Field for Option<T> {
    const MIN_BYTES: usize = 1;
    const WIRE: Wire = T::WIRE;
    const NULLABLE: bool = true;

    fn read(decoder: &mut Decoder, version: Version) -> Result<Option<T>, DecodeError> {
        T::read_nullable(decoder, version)
    }

    fn write(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), encoder, version)
    }
}

/// Reads a field that may be null since a version, and must not be before.
pub fn read_nullable_since<T: Nullable>(
    decoder: &mut Decoder,
    version: Version,
    since: i16,
) -> Result<Option<T>, DecodeError> {
    if version.number >= since { T::read_nullable(decoder, version) } else { T::read(decoder, version).map(Some) }
}

/// Writes a field that may be null since a version, and must not be before.
pub fn write_nullable_since<T: Nullable>(
    value: &Option<T>,
    encoder: &mut Encoder,
    version: Version,
    since: i16,
    field: &'static str,
) -> Result<(), EncodeError> {
    match value {
        value if version.number >= since => T::write_nullable(value.as_ref(), encoder, version),
        Some(value) => value.write(encoder, version),
        None => Err(EncodeError::NullNotInVersion { field, version: version.number }),
    }
}

/// Reads the tagged fields that end a flexible structure. `known` reads a field it knows and says so; others are
/// skipped. Tags must ascend, and a known field must use exactly its size.
pub fn read_tagged_fields(
    decoder: &mut Decoder,
    known: &mut dyn FnMut(u32, &mut Decoder) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    let count = decoder.read_uvarint()?;
    let mut previous = None;
    for _ in 0..count {
        let tag = decoder.read_uvarint()?;
        if let Some(previous) = previous.filter(|previous| tag <= *previous) {
            return Err(decoder.malformed(Problem::TagOrder { previous, tag }));
        }
        previous = Some(tag);
        let size = decoder.read_uvarint()? as usize;
        decoder.within(tag, size, |decoder| known(tag, decoder))?;
    }
    Ok(())
}

/// Reads `count` elements.
pub fn read_array<T: Field>(decoder: &mut Decoder, version: Version, count: usize) -> Result<Vec<T>, DecodeError> {
    let left = decoder.left();
    if count > left / T::MIN_BYTES {
        return Err(decoder.malformed(Problem::CountTooLarge { count, left }));
    }
    let initial = (INITIAL_ARRAY_BYTES / size_of::<T>().max(1)).max(4);
    let mut elements = Vec::with_capacity(count.min(initial));
    for _ in 0..count {
        decoder.charge(size_of::<T>())?;
        elements.push(T::read(decoder, version)?);
    }
    Ok(elements)
}

/// Writes elements, without their count.
pub fn write_array<T: Field>(elements: &[T], encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
    elements.iter().try_for_each(|element| element.write(encoder, version))
}

macro_rules! fixed_size_fields {
    ($($type:ty: $wire:ident, $bytes:literal, $read:ident, $write:ident;)*) => { $(
        impl Field for $type {
            const MIN_BYTES: usize = $bytes;
            const WIRE: Wire = Wire::$wire;

            fn read(decoder: &mut Decoder, _: Version) -> Result<$type, DecodeError> {
                decoder.$read()
            }

            fn write(&self, encoder: &mut Encoder, _: Version) -> Result<(), EncodeError> {
                encoder.$write(*self);
                Ok(())
            }
        }
    )* };
}

fixed_size_fields! {
    i8: I8, 1, read_i8, write_i8;
    i16: I16, 2, read_i16, write_i16;
    u16: U16, 2, read_u16, write_u16;
    i32: I32, 4, read_i32, write_i32;
    u32: U32, 4, read_u32, write_u32;
    i64: I64, 8, read_i64, write_i64;
    f64: F64, 8, read_f64, write_f64;
}

impl Field for bool {
    const MIN_BYTES: usize = 1;
    const WIRE: Wire = Wire::Bool;

    /// Any byte but 0 is true, as for Kafka.
    fn read(decoder: &mut Decoder, _: Version) -> Result<bool, DecodeError> {
        decoder.read_i8().map(|byte| byte != 0)
    }

    fn write(&self, encoder: &mut Encoder, _: Version) -> Result<(), EncodeError> {
        encoder.write_i8(i8::from(*self));
        Ok(())
    }
}

impl Field for Uuid {
    const MIN_BYTES: usize = 16;
    const WIRE: Wire = Wire::Uuid;

    fn read(decoder: &mut Decoder, _: Version) -> Result<Uuid, DecodeError> {
        decoder.take().map(Uuid::from_bytes)
    }

    fn write(&self, encoder: &mut Encoder, _: Version) -> Result<(), EncodeError> {
        encoder.write_slice(self.as_bytes());
        Ok(())
    }
}

/// Types whose null is a length of -1: the present form follows from the nullable one.
macro_rules! length_prefixed_field {
    (<$($element:ident)?> $type:ty, $wire:expr) => {
        impl $(<$element: Field>)? Field for $type {
            const MIN_BYTES: usize = 1;
            const WIRE: Wire = $wire;

            fn read(decoder: &mut Decoder, version: Version) -> Result<$type, DecodeError> {
                match Self::read_nullable(decoder, version)? {
                    Some(value) => Ok(value),
                    None => Err(decoder.malformed(Problem::UnexpectedNull)),
                }
            }

            fn write(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
                Self::write_nullable(Some(self), encoder, version)
            }
        }
    };
}

length_prefixed_field!(<> String, Wire::Text);
length_prefixed_field!(<> Bytes, Wire::Bytes);
length_prefixed_field!(<T> Vec<T>, Wire::Array(&T::WIRE));

impl Nullable for String {
    fn read_nullable(decoder: &mut Decoder, version: Version) -> Result<Option<String>, DecodeError> {
        match decoder.read_text_length(version)? {
            Some(length) => decoder.read_text(length).map(Some),
            None => Ok(None),
        }
    }

    fn write_nullable(value: Option<&String>, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encoder.write_text_length(value.map(String::len), version)?;
        encoder.write_slice(value.map(String::as_bytes).unwrap_or_default());
        Ok(())
    }
}

impl Nullable for Bytes {
    fn read_nullable(decoder: &mut Decoder, version: Version) -> Result<Option<Bytes>, DecodeError> {
        match decoder.read_length(version)? {
            Some(length) => decoder.read_bytes(length).map(Some),
            None => Ok(None),
        }
    }

    fn write_nullable(value: Option<&Bytes>, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encoder.write_length(value.map(Bytes::len), version)?;
        if let Some(bytes) = value {
            encoder.write_bytes(bytes);
        }
        Ok(())
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn read_nullable(decoder: &mut Decoder, version: Version) -> Result<Option<Vec<T>>, DecodeError> {
        match decoder.read_length(version)? {
            Some(count) => read_array(decoder, version, count).map(Some),
            None => Ok(None),
        }
    }

    fn write_nullable(value: Option<&Vec<T>>, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encoder.write_length(value.map(Vec::len), version)?;
        write_array(value.map(Vec::as_slice).unwrap_or_default(), encoder, version)
    }
}

impl<S: Structure> Field for S {
    const MIN_BYTES: usize = <S as Structure>::MIN_BYTES;
    const WIRE: Wire = Wire::Struct(S::FIELDS);

    fn read(decoder: &mut Decoder, version: Version) -> Result<S, DecodeError> {
        S::read_fields(decoder, version)
    }

    fn write(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        self.write_fields(encoder, version)
    }
}

/// A structure that may be null has a byte in front: -1 is null, 1 is present.
impl<S: Structure> Nullable for S {
    fn read_nullable(decoder: &mut Decoder, version: Version) -> Result<Option<S>, DecodeError> {
        match decoder.read_i8()? {
            -1 => Ok(None),
            1 => S::read_fields(decoder, version).map(Some),
            other => Err(decoder.malformed(Problem::InvalidPresence(other))),
        }
    }

    fn write_nullable(value: Option<&S>, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        let Some(value) = value else {
            encoder.write_i8(-1);
            return Ok(());
        };
        encoder.write_i8(1);
        value.write_fields(encoder, version)
    }
}
