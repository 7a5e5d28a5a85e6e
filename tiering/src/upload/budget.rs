//! A rate for bytes: uploads must leave the disk and the line to producers.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// Clones do not exist: share it behind an `Arc`, so that all uploads together stay below the rate.
#[derive(Debug)]
pub struct ByteBudget {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None`: no limit.
    bytes_per_second: Option<u64>,
    /// When what was taken so far is paid for.
    paid_at: Instant,
}

impl ByteBudget {
    pub fn unlimited() -> ByteBudget {
        ByteBudget::new(None)
    }

    pub fn per_second(bytes: u64) -> ByteBudget {
        ByteBudget::new(Some(bytes.max(1)))
    }

    fn new(bytes_per_second: Option<u64>) -> ByteBudget {
        ByteBudget { state: Mutex::new(State { bytes_per_second, paid_at: Instant::now() }) }
    }

    /// Takes effect from the next `take` on.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        self.lock().bytes_per_second = bytes_per_second.map(|bytes| bytes.max(1));
    }

    /// Waits until the bytes taken before are paid for, then takes these: a piece may be larger than the rate.
    pub async fn take(&self, bytes: u64) {
        let wait_until = {
            let mut state = self.lock();
            let Some(rate) = state.bytes_per_second else { return };
            let now = Instant::now();
            let start = state.paid_at.max(now);
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
            state.paid_at = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX >> 8));
            start
        };
        tokio::time::sleep_until(wait_until).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_over_many_pieces() {
        let budget = ByteBudget::per_second(1000);
        let began = Instant::now();
        for _ in 0..11 {
            budget.take(500).await;
        }
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        budget.set(None);
        budget.take(u64::MAX).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }
}
