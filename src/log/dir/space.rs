//! The room that is left on the volume, and what it means to producers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::LogDir;
use crate::platform::volume::space;

const REFUSAL_TOLD_EVERY_MS: i64 = 10_000;
/// Of one Produce.
const THROTTLE_MAX: Duration = Duration::from_secs(1);

impl LogDir {
    /// Whether the volume has less room than is kept free.
    pub(in crate::log) fn is_below_reserve(&self) -> bool {
        self.below_reserve.load(Ordering::Relaxed)
    }

    /// How long producers should pause, so that the disk does not fill before somebody looks: from nothing at twice the
    /// reserve to [`THROTTLE_MAX`] at the reserve.
    pub(in crate::log) fn throttle(&self) -> Duration {
        Duration::from_millis(self.throttle_ms.load(Ordering::Relaxed).into())
    }

    /// A volume that does not tell its room is taken to have some: a write that fails says so itself.
    pub(super) fn look_at_space(&self) {
        if self.reserve_bytes == 0 {
            return;
        }
        let free = space(&self.path).map_or(u64::MAX, |space| space.usable_bytes);
        let below = free < self.reserve_bytes;
        let throttle_ms = throttle_ms(free, self.reserve_bytes);
        if (throttle_ms > 0) != (self.throttle_ms.swap(throttle_ms, Ordering::Relaxed) > 0) && !below {
            if throttle_ms > 0 {
                tracing::warn!(
                    path = %self.path.display(), free_bytes = free, reserve_bytes = self.reserve_bytes,
                    "the disk has less room than twice stratalog.log.dir.reserve.bytes: producers are slowed down"
                );
            } else {
                tracing::info!(path = %self.path.display(), "the disk has room: producers are not slowed down");
            }
        }
        if below != self.below_reserve.swap(below, Ordering::Relaxed) {
            if below {
                tracing::error!(
                    path = %self.path.display(), reserve_bytes = self.reserve_bytes,
                    "the disk has less room than stratalog.log.dir.reserve.bytes: produce is refused, and nothing is compacted, until it \
                     has more"
                );
            } else {
                tracing::info!(path = %self.path.display(), "the disk has room again: produce is accepted");
            }
        }
    }

    /// A write found no room, or no file could be opened for it. Producers try again at once, so not every one is worth a
    /// line.
    pub(in crate::log) fn tell_refused(&self, what: &str) {
        let now_ms = self.clock.now_ms();
        let told_ms = self.refusal_told_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(told_ms) >= REFUSAL_TOLD_EVERY_MS {
            self.refusal_told_ms.store(now_ms, Ordering::Relaxed);
            tracing::error!(path = %self.path.display(), "produce is refused: {what}");
        }
    }
}

/// In milliseconds: linear from twice the reserve down to the reserve.
fn throttle_ms(free_bytes: u64, reserve_bytes: u64) -> u32 {
    let missing = reserve_bytes.saturating_mul(2).saturating_sub(free_bytes).min(reserve_bytes);
    let share = u128::from(missing) * THROTTLE_MAX.as_millis() / u128::from(reserve_bytes.max(1));
    u32::try_from(share).unwrap_or(u32::MAX)
}
