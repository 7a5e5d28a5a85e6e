//! Keys of records become map entries by SipHash-2-4 of 128 bits.
//!
//! The key of the hash is random and secret, so nobody can choose two record keys that collide, and with 128 bits
//! none do by chance: a collision would lose a record.

use siphasher::sip128::SipHasher24;

/// A secret to hash with.
#[derive(Clone, Copy)]
pub struct HashKey(SipHasher24);

impl HashKey {
    pub fn new(low: u64, high: u64) -> HashKey {
        HashKey(SipHasher24::new_with_keys(low, high))
    }

    /// A key that nobody knows.
    pub fn random() -> HashKey {
        // 122 random bits each; what is fixed in a UUID is mixed with what is random in the other.
        let (a, b) = (uuid::Uuid::new_v4().as_u64_pair(), uuid::Uuid::new_v4().as_u64_pair());
        HashKey::new(a.0 ^ b.1.rotate_left(17), a.1.rotate_left(29) ^ b.0)
    }

    /// The two halves of the hash of `bytes`.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> (u64, u64) {
        let hash = self.0.hash(bytes);
        (hash.h1, hash.h2)
    }
}
