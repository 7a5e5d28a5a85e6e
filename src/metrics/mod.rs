//! Metrics: floor 0.
//!
//! Owns the declaration of every metric, once each, and their text form. Handles are cheap to clone; hot paths take the
//! one they need at start. Label values are few: APIs, topics, purposes; never a partition or a client. A topic's series
//! go with the topic (`forget_topic`).

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[cfg(test)]
mod tests;

/// A figure that goes up and down and is not whole.
pub type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiLabel {
    /// Kafka's name of the API.
    pub api: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TopicLabel {
    pub topic: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabel {
    /// `local` or `tier`.
    pub lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DirectoryLabel {
    pub directory: String,
}

/// A request to the object store: what it was, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StoreRequestLabels {
    /// `put`, `get`, `head`, `list`, `delete`, `part`.
    pub operation: &'static str,
    /// `upload`, `manifest`, `fetch`, `retention`, `verify`, `sweep`.
    pub purpose: &'static str,
    /// `ok`, `retry`, `error`.
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StoreBytesLabels {
    pub topic: String,
    pub purpose: &'static str,
    /// `sent` or `received`.
    pub direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// Counts one in a gauge as long as it lives.
pub struct Held(Gauge);

impl Held {
    pub fn of(gauge: &Gauge) -> Held {
        gauge.inc();
        Held(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What is measured of one API's requests.
#[derive(Clone)]
pub struct ApiMetrics {
    requests: Counter,
    duration: Histogram,
    in_flight: Gauge,
}

impl ApiMetrics {
    /// `api` is Kafka's name.
    pub fn of(metrics: &Metrics, api: &'static str) -> ApiMetrics {
        let label = ApiLabel { api };
        ApiMetrics {
            requests: metrics.requests.get_or_create_owned(&label),
            duration: metrics.request_duration.get_or_create_owned(&label),
            in_flight: metrics.requests_in_flight.clone(),
        }
    }

    /// Counts a request, whose last byte came at `received_at`.
    pub fn begin(&self, received_at: Instant) -> Measured {
        self.requests.inc();
        Measured { duration: self.duration.clone(), received_at, _in_flight: Held::of(&self.in_flight) }
    }
}

/// A request that is not answered yet. One that is dropped, because its connection went, has no duration.
pub struct Measured {
    duration: Histogram,
    received_at: Instant,
    _in_flight: Held,
}

impl Measured {
    pub fn answered(self) {
        self.duration.observe(self.received_at.elapsed().as_secs_f64());
    }
}

/// 100 us to 52 s, doubling.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 20))
}

/// One row: field, type, how it is made, name, unit, meaning. The struct and the registry both come from it.
macro_rules! metrics {
    ($( $field:ident: $kind:ty = $new:expr, $name:literal $(in $unit:ident)?, $help:literal; )*) => {
        /// Every metric of the broker.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $( #[doc = $help] pub $field: $kind, )*
        }

        impl Metrics {
            pub fn new() -> Metrics {
                let mut registry = Registry::with_prefix("stratalog");
                $(
                    let $field: $kind = $new;
                    metrics!(@register registry, $field, $name, $help $(, $unit)?);
                )*
                let build = Family::<BuildLabels, Gauge>::default();
                build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
                registry.register("build_info", "The running version", build);
                Metrics { registry, $( $field, )* }
            }
        }
    };
    (@register $registry:ident, $field:ident, $name:literal, $help:literal) => {
        $registry.register($name, $help, $field.clone());
    };
    (@register $registry:ident, $field:ident, $name:literal, $help:literal, $unit:ident) => {
        $registry.register_with_unit($name, $help, Unit::$unit, $field.clone());
    };
}

metrics! {
    connections: Gauge = Gauge::default(), "connections", "Open client connections";
    connections_accepted: Counter = Counter::default(), "connections_accepted", "Connections accepted";
    connections_refused: Family<ReasonLabel, Counter> = Family::default(),
        "connections_refused", "Connections closed by the broker, by reason";
    network_bytes_in: Counter = Counter::default(), "network_in" in Bytes, "Bytes read from clients";
    network_bytes_out: Counter = Counter::default(), "network_out" in Bytes, "Bytes sent to clients";

    requests: Family<ApiLabel, Counter> = Family::default(), "requests", "Requests served, by API";
    request_duration: Family<ApiLabel, Histogram> = Family::new_with_constructor(seconds),
        "request_duration" in Seconds, "From a request's last byte to its answer, by API";
    requests_in_flight: Gauge = Gauge::default(), "requests_in_flight", "Requests that are not answered yet";
    request_memory: Gauge = Gauge::default(),
        "request_memory" in Bytes, "Memory held for requests that are read or served, of queued.max.request.bytes";
    answer_memory: Gauge = Gauge::default(),
        "answer_memory" in Bytes, "Memory held for fetched records until they are sent, of stratalog.fetch.memory.bytes";

    topics: Gauge = Gauge::default(), "topics", "Topics";
    partitions: Gauge = Gauge::default(), "partitions", "Partitions hosted here";
    partitions_offline: Gauge = Gauge::default(),
        "partitions_offline", "Partitions that nobody can read or write: damaged, or in a data directory that failed";
    topic_bytes_in: Family<TopicLabel, Counter> = Family::default(), "topic_in" in Bytes, "Bytes appended, by topic";
    topic_bytes_out: Family<TopicLabel, Counter> = Family::default(), "topic_out" in Bytes, "Bytes fetched, by topic";
    topic_messages_in: Family<TopicLabel, Counter> = Family::default(), "topic_messages_in", "Records appended, by topic";
    produce_throttled: Counter = Counter::default(),
        "produce_throttled", "Produce requests that were told to pause: the disk has little room left";
    produce_refused: Family<ReasonLabel, Counter> = Family::default(),
        "produce_refused", "Batches that were not appended, by reason";
    produce_unsynced: Counter = Counter::default(),
        "produce_unsynced", "Batches acknowledged before they were synced, because flush.messages allows it";
    fetch_bytes: Family<LaneLabel, Counter> = Family::default(), "fetch" in Bytes, "Bytes fetched, by where they lay";
    fetches_waiting: Gauge = Gauge::default(), "fetches_waiting", "Fetches that wait for data";

    log_syncs: Counter = Counter::default(), "log_syncs", "Syncs of log files";
    log_sync_duration: Histogram = seconds(), "log_sync_duration" in Seconds, "Time of one sync";
    log_sync_wait: Histogram = seconds(), "log_sync_wait" in Seconds, "Wait of an acknowledgement for its sync";
    log_segments_rolled: Counter = Counter::default(), "log_segments_rolled", "Segments closed";
    log_segments_deleted: Counter = Counter::default(), "log_segments_deleted", "Local segments deleted";
    log_directory_bytes: Family<DirectoryLabel, Gauge> = Family::default(),
        "log_directory_used" in Bytes, "Bytes of segments, by data directory";
    log_directory_free_bytes: Family<DirectoryLabel, Gauge> = Family::default(),
        "log_directory_free" in Bytes, "Free bytes of the disk, by data directory";
    log_directories_offline: Gauge = Gauge::default(), "log_directories_offline", "Data directories that failed";
    log_segments_damaged: Counter = Counter::default(),
        "log_segments_damaged", "Segments in which a read, an upload or a start found bytes that are not what was written";
    log_scrub_bytes: Counter = Counter::default(), "log_scrub" in Bytes, "Bytes of closed segments that the scrub read";
    log_scrub_segments: Counter = Counter::default(), "log_scrub_segments", "Closed segments that the scrub read through";
    log_scrub_indexes_wrong: Counter = Counter::default(),
        "log_scrub_indexes_wrong", "Indexes of closed segments in which the scrub found what no batch says; made anew";
    log_scrub_rounds: Counter = Counter::default(), "log_scrub_rounds", "Rounds of the scrub over all partitions";
    log_segments_healed: Counter = Counter::default(),
        "log_segments_healed", "Damaged segments that were put aside because the tier has their records";
    log_recovery_bytes_cut: Counter = Counter::default(),
        "log_recovery_cut" in Bytes, "Bytes cut off torn tails at recovery, kept in side files";

    log_cleaner_runs: Counter = Counter::default(), "log_cleaner_runs", "Rounds of compaction that came to their end";
    log_cleaner_bytes_before: Counter = Counter::default(),
        "log_cleaner_before" in Bytes, "Bytes of segments before they were compacted";
    log_cleaner_bytes_after: Counter = Counter::default(),
        "log_cleaner_after" in Bytes, "Bytes that compaction left of them";
    log_cleaner_keyless: Counter = Counter::default(),
        "log_cleaner_keyless", "Records without a key that compaction dropped";
    log_cleaner_map_utilization: FloatGauge = FloatGauge::default(),
        "log_cleaner_map_utilization", "Part of the key map that the last round used";
    log_cleaner_dirty_ratio: FloatGauge = FloatGauge::default(),
        "log_cleaner_dirty_ratio", "Largest dirty share of a compacted log, when the cleaner looked last";
    log_cleaner_overdue: FloatGauge = FloatGauge::default(),
        "log_cleaner_overdue" in Seconds, "Longest time that a record waits for the cleaner beyond max.compaction.lag.ms";
    log_cleaner_idle: FloatGauge = FloatGauge::default(),
        "log_cleaner_idle" in Seconds, "Time since a cleaner thread last looked for something to clean";
    log_cleaner_threads: Gauge = Gauge::default(),
        "log_cleaner_threads", "Threads that compact, of log.cleaner.threads";
    log_cleaner_io: Counter = Counter::default(),
        "log_cleaner_io" in Bytes, "Bytes that compaction read and wrote";
    log_cleaner_uncleanable_partitions: Gauge = Gauge::default(),
        "log_cleaner_uncleanable_partitions", "Partitions set aside because their compaction failed";
    log_cleaner_uncleanable_bytes: Gauge = Gauge::default(),
        "log_cleaner_uncleanable" in Bytes, "Bytes of them that wait to be compacted";

    groups: Gauge = Gauge::default(), "groups", "Consumer groups coordinated here";
    group_offsets: Gauge = Gauge::default(), "group_offsets", "Partitions with a committed offset, over all groups";
    group_requests_waiting: Gauge = Gauge::default(),
        "group_requests_waiting", "Requests of members that wait for the others of their group";
    group_records_loaded: Counter = Counter::default(), "group_records_loaded", "Records of groups read at start";

    store_requests: Family<StoreRequestLabels, Counter> = Family::default(),
        "store_requests", "Requests to the object store, by operation, purpose and outcome";
    store_bytes: Family<StoreBytesLabels, Counter> = Family::default(),
        "store" in Bytes, "Bytes to and from the object store, by topic and purpose";
    tier_segments_uploaded: Family<TopicLabel, Counter> = Family::default(),
        "tier_segments_uploaded", "Segments stored and committed, by topic";
    tier_raw_bytes_uploaded: Family<TopicLabel, Counter> = Family::default(),
        "tier_uploaded_raw" in Bytes, "Log bytes stored and committed, by topic";
    tier_stored_bytes_uploaded: Family<TopicLabel, Counter> = Family::default(),
        "tier_uploaded_stored" in Bytes, "Object bytes stored and committed, by topic";
    tier_bytes: Family<TopicLabel, Gauge> = Family::default(), "tier" in Bytes, "Object bytes in the tier, by topic";
    tier_untiered_age: FloatGauge = FloatGauge::default(),
        "tier_untiered_age" in Seconds, "Age of the oldest closed segment that is not tiered yet";
    tier_upload_errors: Family<ReasonLabel, Counter> = Family::default(),
        "tier_upload_errors", "Uploads that failed and will be tried again, by reason";
    tier_corruptions: Counter = Counter::default(), "tier_corruptions", "Chunks or objects that failed their check";
    tier_cache_bytes: Gauge = Gauge::default(), "tier_cache" in Bytes, "Bytes of chunks held in memory";
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// The OpenMetrics text of every metric.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Drops the series of a deleted topic.
    pub fn forget_topic(&self, topic: &str) {
        let label = TopicLabel { topic: topic.to_owned() };
        for family in [
            &self.topic_bytes_in,
            &self.topic_bytes_out,
            &self.topic_messages_in,
            &self.tier_segments_uploaded,
            &self.tier_raw_bytes_uploaded,
            &self.tier_stored_bytes_uploaded,
        ] {
            family.remove(&label);
        }
        self.tier_bytes.remove(&label);
        for purpose in ["upload", "manifest", "fetch", "retention", "verify", "sweep"] {
            for direction in ["sent", "received"] {
                self.store_bytes.remove(&StoreBytesLabels { topic: topic.to_owned(), purpose, direction });
            }
        }
    }
}
