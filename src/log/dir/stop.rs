//! The clean stop of a data directory.
//!
//! Order of effects: every log takes its last sync and writes its producer snapshot, the checkpoints follow, then what
//! the clean mark does not vouch for, and the mark is last. A crash before that finds no mark: every log is recovered.

use std::sync::Mutex;

use stratalog_types::Offset;

use super::{LogDir, PartitionDir, checkpoints};
use crate::log::checkpoint::{self, OffsetsByPartition};
use crate::log::error::Error;
use crate::log::names;
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
        self.write_unrecovered()?;
        self.log_starts.change(|_| Some(Vec::new()))?;
        checkpoint::replace(&self.disk, &self.path.join(names::CLEAN_SHUTDOWN), "{\"version\":0,\"brokerEpoch\":-1}")
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

    /// Lists what the clean mark does not vouch for; durable when this returns.
    fn write_unrecovered(&self) -> Result<(), Error> {
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
            return self.disk.unlink_if_exists(&path).map_err(Error::io("remove", &path));
        }
        checkpoint::write_offsets(&self.disk, &path, &partitions)
    }
}
