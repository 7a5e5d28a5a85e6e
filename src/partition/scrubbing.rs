//! The local scrub: one thread that reads closed segments, one after the other and over and over, at
//! `stratalog.log.scrub.bytes.per.second`, as that is now.
//!
//! Owns the order and the metrics. All state is in memory: a restart begins with another partition than the last one did,
//! so that a slow scrub comes to all of them.

use std::sync::Arc;
use std::thread::JoinHandle;
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

/// Between two looks at the configuration.
const TICK: Duration = Duration::from_secs(1);

/// Bytes a second, of this moment; 0 is off.
pub type RateNow = Box<dyn Fn() -> u64 + Send + Sync>;

/// The scrub of a broker.
pub struct Scrubber {
    partitions: Arc<Partitions>,
    metrics: Arc<Metrics>,
    clock: Clock,
    rate: RateNow,
}

/// A scrub that is on.
struct Worker {
    pace: Arc<Pace>,
    thread: JoinHandle<()>,
}

impl Scrubber {
    pub fn new(partitions: Arc<Partitions>, metrics: Arc<Metrics>, clock: Clock, rate: RateNow) -> Arc<Scrubber> {
        Arc::new(Scrubber { partitions, metrics, clock, rate })
    }

    /// Runs until `stopped` turns true.
    pub async fn run(self: Arc<Scrubber>, mut stopped: watch::Receiver<bool>) {
        let mut worker = None;
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                // Gone with its sender, it is a stop too.
                _ = stopped.wait_for(|stopped| *stopped) => break,
                _ = tick.tick() => self.keep_worker(&mut worker),
            }
        }
        if let Some(Worker { pace, thread }) = worker {
            pace.stop();
            let _ = tokio::task::spawn_blocking(move || drop(thread.join())).await;
        }
    }

    /// A thread where there is a rate, at that rate. One that is turned off ends its round.
    fn keep_worker(self: &Arc<Scrubber>, worker: &mut Option<Worker>) {
        if worker.as_ref().is_some_and(|worker| worker.thread.is_finished()) {
            *worker = None;
        }
        match (&worker, (self.rate)()) {
            (None, 0) => {}
            (Some(worker), 0) => worker.pace.stop(),
            (Some(worker), rate) => worker.pace.set_bytes_per_second(rate as f64),
            (None, rate) => *worker = self.start(rate),
        }
    }

    fn start(self: &Arc<Scrubber>, rate: u64) -> Option<Worker> {
        let pace = Arc::new(Pace::unlimited());
        pace.set_bytes_per_second(rate as f64);
        let (scrubber, its_pace) = (Arc::clone(self), Arc::clone(&pace));
        let started = std::thread::Builder::new().name("log-scrub".to_owned()).spawn(move || scrubber.work(&its_pace));
        let thread = started.inspect_err(|error| tracing::warn!(%error, "no scrub: its thread does not start"));
        thread.ok().map(|thread| Worker { pace, thread })
    }

    fn work(&self, pace: &Pace) {
        lower_priority();
        let mut begin = usize::try_from(self.clock.now_ms()).unwrap_or(0);
        loop {
            match self.round(begin, pace) {
                Ok(()) => self.metrics.log_scrub_rounds.inc(),
                Err(_stopped) => return,
            };
            begin = 0;
            if pace.rest(ROUND_PAUSE) {
                return;
            }
        }
    }

    /// Every closed segment of every partition, once; begins with the partition of that number.
    pub fn round(&self, begin: usize, pace: &Pace) -> Result<(), CleanError> {
        let mut partitions = self.partitions.all();
        partitions.sort_by(|one, other| one.topic_partition().cmp(other.topic_partition()));
        let count = partitions.len();
        if count > 0 {
            partitions.rotate_left(begin % count);
        }
        for partition in partitions {
            self.partition(&partition, pace)?;
        }
        Ok(())
    }

    fn partition(&self, partition: &Partition, pace: &Pace) -> Result<(), CleanError> {
        let mut from = Offset::ZERO;
        while let Some(scrubbed) = partition.log().scrub(from, pace)? {
            self.metrics.log_scrub_bytes.inc_by(scrubbed.bytes);
            self.metrics.log_scrub_segments.inc();
            self.metrics.log_scrub_indexes_wrong.inc_by(scrubbed.indexes_wrong);
            from = scrubbed.next;
        }
        Ok(())
    }
}
