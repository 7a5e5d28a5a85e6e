//! The names that Kafka gives to directories and files.

use std::path::{Path, PathBuf};

use stratalog_types::TopicPartition;

pub const LOG_SUFFIX: &str = "log";
pub const OFFSET_INDEX_SUFFIX: &str = "index";
pub const TIME_INDEX_SUFFIX: &str = "timeindex";
pub const TXN_INDEX_SUFFIX: &str = "txnindex";
/// Ours: offsets may be missing in this log, because somebody gave their records up.
pub const GIVEN_UP: &str = "records-given-up";
/// Ours: the directory was lost and made anew, and the tier, which may have the records, has not been asked yet.
pub const LOST: &str = "directory-was-lost";
/// Those that stand beside a segment and go with it.
pub const INDEX_SUFFIXES: [&str; 3] = [OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX];
/// All files of a segment. The log first: without its transaction index it would show aborted records.
pub const SEGMENT_SUFFIXES: [&str; 4] = [LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX];
pub const SNAPSHOT_SUFFIX: &str = "snapshot";
/// Ours: bytes that recovery cut off, kept for a person to look at.
pub const CUT_SUFFIX: &str = "cut";
/// Follows the name of a file that waits for its removal.
pub const DELETED_SUFFIX: &str = "deleted";
/// Ours: a segment that was found damaged, and whose records are elsewhere.
pub const DAMAGED_SUFFIX: &str = "damaged";
/// Ends the name of a file that is written aside, to take the place of another.
pub const IN_WORK_SUFFIX: &str = ".tmp";
/// Follows the suffix of a segment's file that compaction writes, and that takes the place of others.
pub const CLEANED_SUFFIX: &str = "cleaned";
pub const SWAP_SUFFIX: &str = "swap";
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
pub const PARTITION_METADATA: &str = "partition.metadata";
pub const META_PROPERTIES: &str = "meta.properties";
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Ours: a directory that was made, and may be an empty mount point.
pub const NEW_DIRECTORY: &str = "new-directory";
/// Ours: partitions that the clean mark does not vouch for.
pub const UNRECOVERED: &str = "unrecovered-partitions";
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub const CLEANER_POINTS: &str = "cleaner-offset-checkpoint";
pub const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// Kafka's, of what consumers may see; here what is synced is.
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
pub const LOCK: &str = ".lock";
/// Ours: room that is given up when the disk is full.
pub const SPARE: &str = "spare-room";
/// Ends the name of a partition directory on its way out.
pub const DELETED_DIRECTORY_SUFFIX: &str = "-delete";

/// Whether a file with this suffix stands beside a segment.
pub fn is_index(suffix: &str) -> bool {
    INDEX_SUFFIXES.contains(&suffix)
}

/// `00000000000000000042.log`
pub fn offset_file(directory: &Path, offset: i64, suffix: &str) -> PathBuf {
    directory.join(format!("{offset:020}.{suffix}"))
}

/// The offset and the suffix of a file named after an offset.
pub fn parse_offset_file(name: &str) -> Option<(i64, &str)> {
    let (digits, suffix) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, suffix))
}

/// The partition whose directory has this name. Names with a suffix (`-delete`, `-future`, `-stray`) have none.
pub fn parse_partition_directory(name: &str) -> Option<TopicPartition> {
    let (topic, digits) = name.rsplit_once('-')?;
    if topic.is_empty() || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let partition: i32 = digits.parse().ok()?;
    let parsed = TopicPartition::new(topic, partition);
    (parsed.to_string() == name).then_some(parsed)
}
