//! What a log may be told: Kafka's topic settings that reach the file layer, with Kafka's defaults (durability apart).

/// Settings of one log; replaced as a whole by `Log::update_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub segment_bytes: u32,
    pub segment_ms: i64,
    /// A segment's age limit is shortened by a random part of this, so that partitions do not roll together.
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: u32,
    pub index_interval_bytes: u32,
    /// Records after which a sync starts. 1: after each append, and acknowledgements wait for it.
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub producer_id_expiration_ms: i64,
    /// How long the files of deleted records keep their room, under another name. 0: they go at once.
    pub file_delete_delay_ms: i64,
    /// Offsets may be missing between batches, as compaction leaves them; else a missing one is damage.
    pub may_have_holes: bool,
    pub compaction: CompactionConfig,
}

/// What of compaction the log itself goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionConfig {
    /// Records younger than this are left alone.
    pub min_lag_ms: i64,
    /// Records older than this are to have met the cleaner. `None`: no limit.
    pub max_lag_ms: Option<i64>,
    /// How long tombstones and markers stay once cleaning has met them.
    pub delete_retention_ms: i64,
}

impl Default for CompactionConfig {
    fn default() -> CompactionConfig {
        CompactionConfig { min_lag_ms: 0, max_lag_ms: None, delete_retention_ms: 24 * 3_600_000 }
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            flush_messages: 1,
            flush_ms: i64::MAX,
            producer_id_expiration_ms: 24 * 3_600_000,
            file_delete_delay_ms: 60_000,
            compaction: CompactionConfig::default(),
            may_have_holes: false,
        }
    }
}
