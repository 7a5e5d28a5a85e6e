//! How a secret shows in `Debug`: there, and how long, never what.

use std::fmt;

/// Stands for a field marked `secret`.
pub struct Redacted(Option<usize>);

impl Redacted {
    pub fn of<T: Secret>(value: &T) -> Redacted {
        Redacted(value.length())
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(length) => write!(f, "[{length} bytes hidden]"),
            None => f.write_str("None"),
        }
    }
}

/// What may be marked `secret`.
pub trait Secret {
    /// `None`: there is none.
    fn length(&self) -> Option<usize>;
}

impl Secret for bytes::Bytes {
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Secret for Option<String> {
    fn length(&self) -> Option<usize> {
        self.as_ref().map(String::len)
    }
}
