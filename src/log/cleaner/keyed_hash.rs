//! SipHash-2-4 with 128 bits of output (Aumasson and Bernstein): keys of records become map entries by it.
//!
//! The hash key is random and secret, so nobody can choose two record keys that collide, and with 128 bits none do by
//! chance: a collision would lose a record.

/// A secret to hash with.
#[derive(Clone, Copy)]
pub struct HashKey(pub u64, pub u64);

impl HashKey {
    /// A key that nobody knows.
    pub fn random() -> HashKey {
        // 122 random bits each; what is fixed in a UUID is mixed with what is random in the other.
        let (a, b) = (uuid::Uuid::new_v4().as_u64_pair(), uuid::Uuid::new_v4().as_u64_pair());
        HashKey(a.0 ^ b.1.rotate_left(17), a.1.rotate_left(29) ^ b.0)
    }
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32).wrapping_add(self.v3);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    #[inline(always)]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    fn squeeze(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// The two halves of the hash of `bytes`.
#[inline]
pub fn hash(key: HashKey, bytes: &[u8]) -> (u64, u64) {
    let mut state = State {
        v0: key.0 ^ 0x736f_6d65_7073_6575,
        v1: key.1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        v2: key.0 ^ 0x6c79_6765_6e65_7261,
        v3: key.1 ^ 0x7465_6462_7974_6573,
    };
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        state.absorb(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (slot, byte) in last.iter_mut().zip(tail) {
        *slot = *byte;
    }
    last[7] = bytes.len() as u8;
    state.absorb(u64::from_le_bytes(last));
    state.v2 ^= 0xee;
    let low = state.squeeze();
    state.v1 ^= 0xdd;
    (low, state.squeeze())
}
