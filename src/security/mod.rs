//! Who is asking. Owns principals; decides nothing yet: SASL and ACLs come with their own issue.

use std::fmt;
use std::sync::Arc;

/// A Kafka principal, `Type:name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// What Kafka calls a client that did not log in.
    pub fn anonymous() -> Principal {
        Principal("User:ANONYMOUS".into())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
