//! What a topic may be called: Kafka's rules.

/// Longest topic name: `-<partition>.<uuid>-delete` must still fit a file name.
const NAME_CHARS_MAX: usize = 249;

/// Why a name is illegal, in Kafka's words as a client shows them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Dots(String),
    #[error("Topic name is invalid: the length of '{0}' is longer than the max allowed length {NAME_CHARS_MAX}")]
    TooLong(String),
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    Character(String),
}

/// Checks a name by itself.
pub fn validate(name: &str) -> Result<(), Illegal> {
    let shown = || name.chars().take(NAME_CHARS_MAX + 10).collect::<String>();
    if name.is_empty() {
        Err(Illegal::Empty)
    } else if name == "." || name == ".." {
        Err(Illegal::Dots(shown()))
    } else if name.len() > NAME_CHARS_MAX {
        Err(Illegal::TooLong(shown()))
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        Err(Illegal::Character(shown()))
    } else {
        Ok(())
    }
}

/// Names that differ only in `.` and `_` collide: metric names cannot tell them apart.
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

/// Topics that the broker writes itself.
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}
