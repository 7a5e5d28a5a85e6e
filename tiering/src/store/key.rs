//! Which keys a store accepts: `[A-Za-z0-9._/=-]`, no empty or dotted element, so that a key is the same on every
//! store, as a path and in a URL.

use super::{Key, StoreError};

/// Bytes of the longest key: room for a prefix in S3's 1,024 and for a file name made of the whole key.
pub const KEY_BYTES_MAX: usize = 200;

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'=' | b'-')
}

fn refused(key: &str, what: &str) -> StoreError {
    StoreError::Refused { key: key.to_owned(), reason: format!("the key {what}: this is a defect, please report it") }
}

/// A whole key.
pub fn check_key(key: &Key) -> Result<(), StoreError> {
    check_prefix(key)?;
    if key.is_empty() || key.ends_with('/') {
        return Err(refused(key, "has an empty element"));
    }
    Ok(())
}

/// A prefix of keys: may be empty or end anywhere.
pub fn check_prefix(prefix: &Key) -> Result<(), StoreError> {
    if prefix.len() > KEY_BYTES_MAX {
        return Err(refused(prefix, "is too long"));
    }
    if !prefix.bytes().all(is_key_byte) {
        return Err(refused(prefix, "has a character outside A-Z a-z 0-9 . _ / = -"));
    }
    if prefix.starts_with('/') || prefix.contains("//") || prefix.split('/').any(|element| element.starts_with('.')) {
        return Err(refused(prefix, "has an empty or dotted element"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_leave_the_store() {
        for good in ["a", "v1/_-x=1/0/head", "A.b/c"] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".lock", "a b", "ä", "a\\b", "a\0b", "a%2e"] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
        assert!(check_key(&"a".repeat(KEY_BYTES_MAX + 1)).is_err());
        assert!(check_prefix("").is_ok() && check_prefix("a/").is_ok());
    }
}
