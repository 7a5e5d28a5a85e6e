//! What can go wrong with a call, and what the caller sees of it.

use std::time::Duration;

use bytes::Bytes;

use super::super::{Purpose, StoreError};

/// The operation of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    PutCreate,
    PutIfMatch,
    PutStream,
    Get,
    GetRange,
    Head,
    List,
    Delete,
    AbortStaleUploads,
}

impl Method {
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Method::PutCreate | Method::PutIfMatch | Method::PutStream | Method::Delete | Method::AbortStaleUploads
        )
    }
}

/// One logged call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Counted from 0.
    pub index: u64,
    pub method: Method,
    pub key: String,
    /// Bytes sent, or bytes asked for by a ranged read.
    pub bytes: u64,
    pub purpose: Purpose,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 503 before anything took effect.
    Unavailable,
    /// Wrong credentials.
    Refused,
    /// Answered after this delay (tokio's clock, so a paused one works).
    Slow(Duration),
    /// The request never arrived; a write ends `Ambiguous`.
    LostRequest,
    /// The write took effect, its answer was lost: `Ambiguous`.
    LostAnswer,
    /// `Ambiguous` now; takes effect at `land_late` if its condition holds then.
    LateCommit,
    /// A read gets half of the bytes: `get` returns them, `get_range` notices.
    Short,
    /// A read gets one flipped bit.
    BitFlip,
    /// The process dies before the request arrives.
    CrashBefore,
    /// The process dies after the effect, before the answer.
    CrashAfter,
}

/// Which error a fault answers with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    Unavailable,
    Refused,
}

impl Refusal {
    pub(super) fn error(self, key: &str) -> StoreError {
        let key = key.to_owned();
        match self {
            Refusal::Unavailable => StoreError::Unavailable { key, reason: "503 slow down".into() },
            Refusal::Refused => StoreError::Refused { key, reason: "403; check the access key".into() },
        }
    }
}

/// When the effect of a call happens, and whether its answer arrives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    Answer(Refusal),
    Now,
    NowThenSilence,
    NowThenCrash,
    Later,
    Never,
}

impl Effect {
    pub(super) fn of(fault: Option<Fault>) -> Effect {
        match fault {
            None | Some(Fault::Slow(_) | Fault::Short | Fault::BitFlip | Fault::CrashBefore) => Effect::Now,
            Some(Fault::Unavailable) => Effect::Answer(Refusal::Unavailable),
            Some(Fault::Refused) => Effect::Answer(Refusal::Refused),
            Some(Fault::LostRequest) => Effect::Never,
            Some(Fault::LostAnswer) => Effect::NowThenSilence,
            Some(Fault::LateCommit) => Effect::Later,
            Some(Fault::CrashAfter) => Effect::NowThenCrash,
        }
    }
}

/// The body with a bit in its middle flipped.
pub(super) fn flip_bit(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
    Bytes::from(bytes)
}
