//! What a session takes from its surroundings: time and randomness, injected so that a test decides them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

type Source<T> = Box<dyn Fn() -> T + Send + Sync>;

pub struct Ambient {
    /// Never goes back; graces are measured on it.
    pub monotonic: Source<Duration>,
    /// Milliseconds since the epoch, written for people and compared by nothing but time retention.
    pub wall_ms: Source<i64>,
    pub uuid: Source<Uuid>,
}

impl Ambient {
    pub fn system() -> Ambient {
        let origin = Instant::now();
        Ambient {
            monotonic: Box::new(move || origin.elapsed()),
            wall_ms: Box::new(|| {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }),
            uuid: Box::new(Uuid::new_v4),
        }
    }
}
