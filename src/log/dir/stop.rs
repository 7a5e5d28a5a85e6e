//! The clean stop of a data directory.
//!
//! Order of effects: every log takes its last sync and writes its producer snapshot, the checkpoints follow, then what
//! the clean mark does not vouch for, and the mark is last, with the sum of that list: one that was lost is no empty one. A
//! crash before that finds no mark: every log is recovered.

use std::path::Path;
use std::sync::Mutex;

use stratalog_types::Offset;

use super::{LogDir, PartitionDir, checkpoints};
use crate::log::checkpoint::{self, OffsetsByPartition};
use crate::log::error::Error;
use crate::log::names;
use crate::log::unreadable::tells_of_bytes;
use crate::platform::lock;

/// Logs that are closed at a time.
const CLOSING_THREADS: usize = 16;

impl LogDir {
    /// The clean stop: every log takes its last sync and writes its producer snapshot, the checkpoints follow, the
    /// clean mark is last. Logs take no appends afterwards.
    pub fn close(&self) -> Result<(), Error> {
        self.upkeep.stop();
        self.syncer.stop();
        if let Some(reason) = self.offline() {
            return Err(Error::Offline { path: self.path.clone(), reason: reason.to_owned() });
        }
        self.close_logs()?;
        self.checkpoint_recovery_points()?;
        self.forget_damage()?;
        let unrecovered = self.write_unrecovered()?;
        self.log_starts.change(|_| Some(Vec::new()))?;
        let unrecovered = unrecovered.map(|list| format!(",{}", named(&list))).unwrap_or_default();
        let mark = format!("{{\"version\":0,\"brokerEpoch\":-1{unrecovered}}}");
        checkpoint::replace(&self.disk, &self.path.join(names::CLEAN_SHUTDOWN), &mark)
    }

    /// Logs with something to sync wait for the disk: side by side.
    fn close_logs(&self) -> Result<(), Error> {
        let logs = Mutex::new(self.open_logs().into_iter());
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let run = || {
            while let Some(log) = { lock(&logs).next() } {
                match log.close_clean() {
                    Ok(true) => drop(lock(&self.closed).insert(log.topic_partition().clone())),
                    Ok(false) => {}
                    Err(error) => drop(lock(&failed).get_or_insert(error)),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..CLOSING_THREADS {
                let _ = std::thread::Builder::new().name("log-close".to_owned()).spawn_scoped(scope, run);
            }
            run();
        });
        failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Checkpoints that were damaged are whole again once each partition that is here is open. A log start that was
    /// assumed gets no entry: the tier may know it better, and may not have been asked yet.
    fn forget_damage(&self) -> Result<(), Error> {
        if self.recovery_points.is_whole() && self.log_starts.is_whole() {
            return Ok(());
        }
        let here = self.partitions_on_disk()?;
        let is_known = |dir: &PartitionDir| self.recovery_points.get(&dir.topic_partition).is_some();
        if here.iter().all(is_known) {
            for name in [names::RECOVERY_POINTS, names::LOG_STARTS] {
                checkpoints::forget_damage(&self.disk, &self.path.join(name))?;
            }
        }
        Ok(())
    }

    /// Lists what the clean mark does not vouch for; durable when this returns. Answers the list, unless it is empty.
    fn write_unrecovered(&self) -> Result<Option<String>, Error> {
        let path = self.path.join(names::UNRECOVERED);
        let mut partitions = OffsetsByPartition::new();
        for found in self.partitions_on_disk()? {
            let partition = found.topic_partition;
            if !self.believes(&partition) && !lock(&self.closed).contains(&partition) {
                tracing::warn!(%partition, path = %found.path.display(), "not recovered at this stop: it is when it is opened");
                partitions.insert(partition, Offset::ZERO);
            }
        }
        if partitions.is_empty() {
            self.disk.unlink_if_exists(&path).map_err(Error::io("remove", &path))?;
            return Ok(None);
        }
        let list = checkpoint::text_of(&partitions);
        checkpoint::replace(&self.disk, &path, &list)?;
        Ok(Some(list))
    }
}

const UNRECOVERED_KEY: &str = "unrecoveredPartitions";

/// What a clean mark says of the list beside it. Apache Kafka passes over what it does not know there.
fn named(list: &str) -> String {
    format!("\"{UNRECOVERED_KEY}\":\"{:08x}\"", crc32c::crc32c(list.as_bytes()))
}

/// Whether the clean mark of a directory is of the list beside it, or was written without one.
pub fn is_of_its_list(directory: &Path) -> Result<bool, Error> {
    let mark = directory.join(names::CLEAN_SHUTDOWN);
    let mark = match std::fs::read(&mark) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if tells_of_bytes(&error) => return Ok(false),
        Err(error) => return Err(Error::io("read", &mark)(error)),
    };
    if !mark.contains(UNRECOVERED_KEY) {
        return Ok(true);
    }
    match checkpoint::read_optional(&directory.join(names::UNRECOVERED)) {
        Ok(list) => Ok(list.is_some_and(|list| mark.contains(&named(&list)))),
        Err(Error::InvalidFile { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
