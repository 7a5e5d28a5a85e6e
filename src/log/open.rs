//! Creating and opening a log.
//!
//! Order of effects of a creation: what a predecessor of the same name left in the checkpoints goes, then directory,
//! `partition.metadata`, the first segment, then both directories are synced. A crash in between leaves a directory
//! without a `.log` file, which the next creation or opening completes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex, RwLock};

use stratalog_types::{Offset, TopicId, TopicPartition};

use super::append::{Appender, jitter_ms};
use super::checkpoint;
use super::config::LogConfig;
use super::dir::LogDir;
use super::epochs::{EpochStart, LeaderEpochs};
use super::error::Error;
use super::names;
use super::partition_log::Log;
use super::recovery::{self, Recovered};
use super::segment::Segment;
use super::sync::LogSync;
use super::unstable::Unstable;
use crate::platform::disk::DiskFile;
use crate::platform::lock;
use crate::watermark::Watermark;

impl Log {
    /// Creates the log of a new partition.
    pub fn create(
        dir: &Arc<LogDir>,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<Arc<Log>, Error> {
        let path = make_directory(dir, &topic_partition)?;
        dir.forget_checkpoints(std::slice::from_ref(&topic_partition))?;
        checkpoint::write_topic_id(&dir.disk, &path, topic_id)?;
        Log::load(dir, topic_partition, topic_id, config, path)
    }

    /// Creates the log of a partition whose directory was lost: it is empty, its log start, which consumers have seen,
    /// does not go back, and until [`Log::settle_loss`] each start knows that it was lost.
    pub fn create_again(
        dir: &Arc<LogDir>,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<Arc<Log>, Error> {
        let path = make_directory(dir, &topic_partition)?;
        note_loss(dir, &path)?;
        dir.lower_recovery_point(&topic_partition, Offset::ZERO)?;
        checkpoint::write_topic_id(&dir.disk, &path, topic_id)?;
        Log::load(dir, topic_partition, topic_id, config, path)
    }

    /// Whether there is something to open in a partition's directory: a creation that was cut short has nothing yet.
    pub fn is_begun(directory: &Path) -> bool {
        has_segments(directory).unwrap_or(false)
    }

    /// Whether its directory was lost, and nobody has said yet where it goes on.
    pub fn was_lost(&self) -> Result<bool, Error> {
        let path = self.path.join(names::LOST);
        path.try_exists().map_err(Error::io("look for", &path))
    }

    /// It goes on where it is; durable when this returns.
    pub fn settle_loss(&self) -> Result<(), Error> {
        let appender = lock(&self.append);
        appender.check_not_closed()?;
        let path = self.path.join(names::LOST);
        self.dir.disk.unlink_if_exists(&path).map_err(Error::io("remove", &path))?;
        self.dir.disk.sync_directory(&self.path).map_err(Error::io("sync directory", &self.path))
    }

    /// Opens a log that is on disk, and recovers it if the last stop was not clean. On a full disk that goes into the room
    /// that is kept: before anything can be removed, it has to be open.
    pub fn open(
        dir: &Arc<LogDir>,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<Arc<Log>, Error> {
        dir.with_spare(|| Log::open_once(dir, topic_partition.clone(), topic_id, config.clone()))
    }

    fn open_once(
        dir: &Arc<LogDir>,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<Arc<Log>, Error> {
        check_online(dir)?;
        let path = dir.path().join(topic_partition.to_string());
        match checkpoint::read_topic_id(&path)? {
            Some(found) if found != topic_id => {
                return Err(Error::WrongTopicId { path, found: found.to_string(), wanted: topic_id.to_string() });
            }
            Some(_) => {}
            None => {
                // A creation was cut short, perhaps that of one that was lost.
                if !has_segments(&path)? {
                    note_loss(dir, &path)?;
                }
                checkpoint::write_topic_id(&dir.disk, &path, topic_id)?;
            }
        }
        Log::load(dir, topic_partition, topic_id, config, path)
    }

    fn load(
        dir: &Arc<LogDir>,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        path: PathBuf,
    ) -> Result<Arc<Log>, Error> {
        let recovered = recovery::recover(dir, &path, &topic_partition, &config, !dir.believes(&topic_partition))?;
        let (unclean, cut_bytes) = (recovered.unclean, recovered.cut_bytes);
        let log_start_offset = recovered.log_start_offset;
        let given_up = path.join(names::GIVEN_UP).exists();
        let (flushed, unsynced) = (recovered.flushed, recovered.unsynced.clone());
        let Opened { mut appender, segments, epochs, log_end_offset } = assemble(dir, &path, &config, recovered)?;
        let log = Arc::new(Log {
            dir: Arc::clone(dir),
            sync: LogSync::behind(&path, appender.file.clone(), log_end_offset, flushed, unsynced),
            path,
            topic_id,
            config: RwLock::new(Arc::new(config)),
            segments: RwLock::new(segments),
            epochs: RwLock::new(LeaderEpochs::new(epochs)),
            log_start: AtomicI64::new(log_start_offset.0),
            log_end: Watermark::new(log_end_offset),
            unstable: Arc::new(Unstable::new(&mut appender.producers)),
            append: Mutex::new(appender),
            epochs_unsaved: AtomicBool::new(false),
            deleted: Mutex::new(false),
            unclean,
            cut_bytes,
            given_up,
            topic_partition,
        });
        dir.register(&log);
        dir.sync_recovered(&log);
        Ok(log)
    }
}

/// The parts of a log that a truncation replaces.
pub struct Opened {
    pub appender: Appender,
    pub segments: BTreeMap<i64, Arc<Segment>>,
    pub epochs: Vec<EpochStart>,
    pub log_end_offset: Offset,
}

/// Makes the last segment the active one, or creates it.
pub fn assemble(dir: &LogDir, path: &Path, config: &LogConfig, recovered: Recovered) -> Result<Opened, Error> {
    let Recovered { mut segments, log_end_offset, producers, epochs, .. } = recovered;
    let (active, file) = match segments.last_key_value() {
        Some((_, last)) => {
            let file = last.file_to_write().map_err(Error::io("open the active segment of", path))?;
            last.pin(file.clone());
            (Arc::clone(last), file)
        }
        None => first_segment(dir, path, log_end_offset, &mut segments)?,
    };
    let appender = Appender {
        size_bytes: active.size_bytes(),
        producers,
        bytes_since_index_entry: recovered.bytes_since_index_entry,
        first_timestamp: recovered.first_timestamp,
        created_ms: dir.clock.now_ms(),
        jitter_ms: jitter_ms(config.segment_jitter_ms, active.base_offset, path),
        settled: recovered.settled,
        closed: None,
        file,
        active,
    };
    Ok(Opened { appender, segments, epochs, log_end_offset })
}

fn first_segment(
    dir: &LogDir,
    path: &Path,
    base_offset: Offset,
    segments: &mut BTreeMap<i64, Arc<Segment>>,
) -> Result<(Arc<Segment>, DiskFile), Error> {
    let created = Segment::create(&dir.files, path, base_offset.0);
    let (segment, file) = created.map_err(Error::io("create a segment in", path))?;
    dir.disk.sync_directory(path).map_err(Error::io("sync directory", path))?;
    dir.disk.sync_directory(dir.path()).map_err(Error::io("sync directory", dir.path()))?;
    let segment = Arc::new(segment);
    segments.insert(base_offset.0, Arc::clone(&segment));
    Ok((segment, file))
}

/// The directory of a log to be created: made now, or by a creation that was cut short.
fn make_directory(dir: &LogDir, topic_partition: &TopicPartition) -> Result<PathBuf, Error> {
    check_online(dir)?;
    let path = dir.path().join(topic_partition.to_string());
    if !path.try_exists().map_err(Error::io("look for", &path))? {
        dir.disk.create_directory(&path).map_err(Error::io("create directory", &path))?;
    } else if has_segments(&path)? {
        return Err(Error::AlreadyExists { path });
    }
    Ok(path)
}

fn note_loss(dir: &LogDir, path: &Path) -> Result<(), Error> {
    checkpoint::replace(&dir.disk, &path.join(names::LOST), "")
}

fn check_online(dir: &LogDir) -> Result<(), Error> {
    match dir.offline() {
        Some(reason) => Err(Error::Offline { path: dir.path().to_owned(), reason: reason.to_owned() }),
        None => Ok(()),
    }
}

fn has_segments(path: &Path) -> Result<bool, Error> {
    let files = recovery::list(path)?;
    Ok(files.iter().any(|(_, suffix)| suffix == names::LOG_SUFFIX))
}
