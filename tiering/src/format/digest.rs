//! SHA-256 over a segment's batches, chained from object to object.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the digest section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentDigest {
    /// Over the raw batches of this object, in order.
    pub segment: Sha256,
    /// The chain of the object before; zeros when there is none.
    pub previous: Sha256,
}

impl SegmentDigest {
    /// What the next object carries as its `previous`.
    pub fn chain(&self) -> Sha256 {
        let mut digest = Digest::default();
        digest.update(&self.previous.0);
        digest.update(&self.segment.0);
        digest.finish()
    }
}

/// SHA-256 in pieces.
pub struct Digest(Context);

impl Default for Digest {
    fn default() -> Self {
        Digest(Context::new(&SHA256))
    }
}

impl Digest {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Sha256 {
        let mut out = [0; 32];
        for (slot, byte) in out.iter_mut().zip(self.0.finish().as_ref()) {
            *slot = *byte;
        }
        Sha256(out)
    }
}
