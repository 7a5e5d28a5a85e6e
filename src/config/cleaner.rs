//! What of the broker's settings the log cleaner and the scrub go by; read anew for each round, so that changes take effect.

use std::time::Duration;

use super::settings::Settings;

/// The keys that a running cleaner looks up each time: those that Kafka's takes over too.
pub const CLEANER_KEYS: &[&str] = &[
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.threads",
];

/// What a running scrub looks up each time.
pub const SCRUB_KEY: &str = "stratalog.log.scrub.bytes.per.second";

/// 0: closed segments are not read for damage.
pub fn scrub_bytes_per_second(settings: &Settings) -> u64 {
    settings.unsigned(SCRUB_KEY).unwrap_or(0)
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanerConfig {
    pub enable: bool,
    pub threads: usize,
    /// Between two looks where nothing was worth cleaning.
    pub backoff: Duration,
    /// Of the key maps of all threads.
    pub dedupe_buffer_bytes: u64,
    pub load_factor: f64,
    /// Of the read and write buffers of all threads.
    pub io_buffer_bytes: u64,
    pub io_bytes_per_second: f64,
}

/// A key map smaller than this would take a pass for every few thousand keys.
const THREAD_MAP_BYTES_MIN: u64 = 1 << 20;
const THREAD_BUFFER_BYTES_MIN: u64 = 64 << 10;

impl CleanerConfig {
    pub fn of(settings: &Settings) -> CleanerConfig {
        let unsigned = |name: &str| settings.unsigned(name).unwrap_or(0);
        CleanerConfig {
            enable: settings.boolean("log.cleaner.enable").unwrap_or(true),
            threads: usize::try_from(unsigned("log.cleaner.threads")).unwrap_or(1),
            backoff: Duration::from_millis(unsigned("log.cleaner.backoff.ms")),
            dedupe_buffer_bytes: unsigned("log.cleaner.dedupe.buffer.size"),
            load_factor: settings.double("log.cleaner.io.buffer.load.factor").unwrap_or(0.9),
            io_buffer_bytes: unsigned("log.cleaner.io.buffer.size"),
            io_bytes_per_second: settings.double("log.cleaner.io.max.bytes.per.second").unwrap_or(f64::MAX),
        }
    }

    /// A thread's part of the key maps.
    pub fn thread_map_bytes(&self) -> u64 {
        (self.dedupe_buffer_bytes / self.threads.max(1) as u64).max(THREAD_MAP_BYTES_MIN)
    }

    /// A thread's part of the buffers; half of it reads, half writes.
    pub fn thread_buffer_bytes(&self) -> usize {
        let bytes = (self.io_buffer_bytes / self.threads.max(1) as u64 / 2).max(THREAD_BUFFER_BYTES_MIN);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}
