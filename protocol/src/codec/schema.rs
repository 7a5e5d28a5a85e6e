//! What a message looks like, as data: for tests that make frames and for pages that describe them.

/// The wire form of a field type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wire {
    Bool,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    F64,
    Uuid,
    Text,
    Bytes,
    Records,
    Array(&'static Wire),
    Struct(&'static [FieldSchema]),
}

/// One field of a structure, in wire order. Versions are included at both ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldSchema {
    pub name: &'static str,
    pub wire: Wire,
    pub since: i16,
    pub until: i16,
    /// The first version in which it may be null.
    pub nullable_since: Option<i16>,
    /// The tag, when it is a tagged field.
    pub tag: Option<u32>,
}

impl FieldSchema {
    pub fn is_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }

    pub fn is_nullable_in(&self, version: i16) -> bool {
        self.nullable_since.is_some_and(|since| version >= since)
    }
}
