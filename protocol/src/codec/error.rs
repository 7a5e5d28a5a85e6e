//! Why a frame cannot be read or written.

/// Why a frame is not the message it should be. Whose fault: the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The header was read, the body was not touched: ApiVersions answers this one, the rest close the connection.
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    #[error("malformed at byte {position}: {problem}")]
    Malformed { position: usize, problem: Problem },
}

/// What is wrong with the bytes at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{needed} bytes wanted, {left} left")]
    Truncated { needed: usize, left: usize },
    #[error("{count} elements cannot lie in the {left} bytes left")]
    CountTooLarge { count: usize, left: usize },
    #[error("length {0} is negative")]
    NegativeLength(i64),
    #[error("varint does not fit 32 bits")]
    OverlongVarint,
    #[error("null in a field that must not be null")]
    UnexpectedNull,
    #[error("presence byte {0} is neither -1 nor 1")]
    InvalidPresence(i8),
    #[error("text is not UTF-8")]
    InvalidUtf8,
    #[error("tagged field {tag} does not follow {previous}")]
    TagOrder { previous: u32, tag: u32 },
    #[error("tagged field {tag} leaves {unread} bytes unread")]
    TagSize { tag: u32, unread: usize },
    #[error("{0} bytes after the end")]
    TrailingBytes(usize),
    #[error("would decode into more memory than a frame of this size may")]
    TooMuchMemory,
}

/// Why a message cannot be written in a version. Whose fault: ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    /// The version has no such field, and its value is neither the default nor one that may be dropped.
    #[error("version {version} cannot carry a value of {field}")]
    FieldNotInVersion { field: &'static str, version: i16 },
    #[error("{field} cannot be null in version {version}")]
    NullNotInVersion { field: &'static str, version: i16 },
    #[error("{length} bytes or elements are more than the wire's {max}")]
    TooLong { length: usize, max: usize },
}
