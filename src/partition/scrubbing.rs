//! The local scrub: one thread that reads closed segments, one after the other and over and over, at
//! `stratalog.log.scrub.bytes.per.second`.
//!
//! Owns the order and the metrics. All state is in memory: a restart begins with another partition than the last one did,
//! so that a slow scrub comes to all of them.

use std::sync::Arc;
use std::time::Duration;

use stratalog_types::Offset;
use tokio::sync::watch;

use super::cleaning::lower_priority;
use super::{Partition, Partitions};
use crate::clock::Clock;
use crate::log::{CleanError, Pace};
use crate::metrics::Metrics;

/// Between two rounds over everything: a log that is small is not read without a pause.
const ROUND_PAUSE: Duration = Duration::from_secs(60);

/// The scrub of a broker.
pub struct Scrubber {
    partitions: Arc<Partitions>,
    metrics: Arc<Metrics>,
    clock: Clock,
    pace: Pace,
}

impl Scrubber {
    /// `bytes_per_second` is above 0.
    pub fn new(
        partitions: Arc<Partitions>,
        metrics: Arc<Metrics>,
        clock: Clock,
        bytes_per_second: u64,
    ) -> Arc<Scrubber> {
        let pace = Pace::unlimited();
        pace.set_bytes_per_second(bytes_per_second as f64);
        Arc::new(Scrubber { partitions, metrics, clock, pace })
    }

    /// Runs until `stopped` turns true.
    pub async fn run(self: Arc<Scrubber>, mut stopped: watch::Receiver<bool>) {
        let scrubber = Arc::clone(&self);
        let started = std::thread::Builder::new().name("log-scrub".to_owned()).spawn(move || scrubber.work());
        let worker = match started {
            Ok(worker) => worker,
            Err(error) => return tracing::warn!(%error, "no scrub: its thread does not start"),
        };
        // Gone with its sender, it is a stop too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        self.pace.stop();
        let _ = tokio::task::spawn_blocking(move || drop(worker.join())).await;
    }

    fn work(&self) {
        lower_priority();
        let mut begin = usize::try_from(self.clock.now_ms()).unwrap_or(0);
        loop {
            match self.round(begin) {
                Ok(()) => self.metrics.log_scrub_rounds.inc(),
                Err(_stopped) => return,
            };
            begin = 0;
            if self.pace.rest(ROUND_PAUSE) {
                return;
            }
        }
    }

    /// Every closed segment of every partition, once; begins with the partition of that number.
    pub fn round(&self, begin: usize) -> Result<(), CleanError> {
        let mut partitions = self.partitions.all();
        partitions.sort_by(|one, other| one.topic_partition().cmp(other.topic_partition()));
        let count = partitions.len();
        if count > 0 {
            partitions.rotate_left(begin % count);
        }
        for partition in partitions {
            self.partition(&partition)?;
        }
        Ok(())
    }

    fn partition(&self, partition: &Partition) -> Result<(), CleanError> {
        let mut from = Offset::ZERO;
        while let Some(scrubbed) = partition.log().scrub(from, &self.pace)? {
            self.metrics.log_scrub_bytes.inc_by(scrubbed.bytes);
            self.metrics.log_scrub_segments.inc();
            from = scrubbed.next;
        }
        Ok(())
    }
}
