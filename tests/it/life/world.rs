//! A broker without clients, moved by hand: its clock stands still, its own rounds never come.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stratalog::broker::{self, Running};
use stratalog::clock::Clock;
use stratalog::config::{self, Sources};
use stratalog::log::{CleanError, CleanOptions, Pace};
use stratalog::partition::{Handed, Isolation, Located, OffsetSpec, Partition};
use stratalog::platform::disk::Disk;
use stratalog_protocol::records::{BatchBuilder, BatchIter, CodecId, NewRecord};
use stratalog_tiering::manifest::RetentionPolicy;
use stratalog_types::Offset;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::model::{Entry, Model};
use crate::broker::{client, topic};
use crate::log::crash_disk::{CrashDisk, Dice, Unsynced};
use crate::log::harness::{NOW_MS, range_bytes};

const MINUTE_MS: i64 = 60_000;
const RETENTION_MS: i64 = 60 * MINUTE_MS;
const RETENTION_BYTES: u64 = 6_000;
const TOMBSTONE_MS: i64 = 10 * MINUTE_MS;
const METADATA: &str = "stratalog-metadata.redb";

/// How its topic is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Local,
    Tiered,
    TieredBySize,
    Compacted,
    CompactedAndDeleted,
}

impl Kind {
    pub const ALL: [Kind; 5] =
        [Kind::Tiered, Kind::Compacted, Kind::Local, Kind::CompactedAndDeleted, Kind::TieredBySize];

    fn is_tiered(self) -> bool {
        matches!(self, Kind::Tiered | Kind::TieredBySize)
    }

    fn is_compacted(self) -> bool {
        matches!(self, Kind::Compacted | Kind::CompactedAndDeleted)
    }

    fn configs(self) -> Vec<(&'static str, String)> {
        let policy = match self {
            Kind::Compacted => "compact",
            Kind::CompactedAndDeleted => "compact,delete",
            Kind::Local | Kind::Tiered | Kind::TieredBySize => "delete",
        };
        let by_size = self == Kind::TieredBySize;
        vec![
            ("cleanup.policy", policy.to_owned()),
            ("remote.storage.enable", self.is_tiered().to_string()),
            ("retention.ms", if by_size { "-1".to_owned() } else { RETENTION_MS.to_string() }),
            ("retention.bytes", if by_size { RETENTION_BYTES.to_string() } else { "-1".to_owned() }),
            ("delete.retention.ms", TOMBSTONE_MS.to_string()),
            ("min.cleanable.dirty.ratio", "0.0".to_owned()),
            ("file.delete.delay.ms", "0".to_owned()),
            ("message.timestamp.after.max.ms", i64::MAX.to_string()),
            ("index.interval.bytes", "300".to_owned()),
        ]
    }
}

/// One incarnation of the broker.
struct Incarnation {
    runtime: Runtime,
    running: Option<Running>,
    partition: Arc<Partition>,
}

pub struct World {
    kind: Kind,
    dice: Dice,
    clock: Clock,
    disk: Arc<CrashDisk>,
    directory: tempfile::TempDir,
    broker: Option<Incarnation>,
    model: Model,
    next_value: u64,
    /// What happened so far, told when it ends badly.
    story: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.story.len().saturating_sub(40);
            let _ = std::process::Command::new("cp").arg("-r").arg(self.directory.path()).arg("/tmp/lifefail").status();
            println!("{:?}, lately:\n  {}", self.kind, self.story[from..].join("\n  "));
        }
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl World {
    pub fn new(kind: Kind, seed: u64) -> World {
        let mut world = World {
            kind,
            dice: Dice(seed),
            clock: Clock::manual(NOW_MS),
            disk: Arc::default(),
            directory: scratch(),
            broker: None,
            model: Model::default(),
            next_value: 0,
            story: Vec::new(),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (directory, clock, disk) = (self.directory.path(), self.clock.clone(), self.disk.clone());
        let configs = self.kind.configs();
        let (running, partition) = runtime.block_on(async {
            let config = configuration(directory);
            let running = broker::start_with(config, clock, Disk::observed(disk)).await.unwrap();
            if running.node.image().topic("t").is_none() {
                let configs: Vec<_> = configs.iter().map(|(key, value)| (*key, value.as_str())).collect();
                client(&running).create_topic(&topic("t", &configs), false).await.unwrap();
            }
            let id = running.node.image().topic("t").unwrap().id;
            let partition = running.node.partitions.get(id, 0).expect("the partition is served");
            // The service asks the tier at once; until it answered, clients are told to try again.
            partition.upload_next().await.unwrap();
            assert!(!partition.is_behind_tier());
            // What recovery found is shown when it is synced.
            partition.high_watermark().wait_for(partition.log().log_end_offset()).await.unwrap();
            (running, partition)
        });
        self.broker = Some(Incarnation { runtime, running: Some(running), partition });
    }

    fn partition(&self) -> Arc<Partition> {
        self.broker.as_ref().unwrap().partition.clone()
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        self.broker.as_ref().unwrap().runtime.block_on(future)
    }

    pub fn step(&mut self) {
        let what = match self.dice.below(100) {
            0..35 => self.append(),
            35..50 => self.read(),
            50..62 => self.look_up(),
            62..70 => format!("roll to {}", self.partition().log().roll().unwrap()),
            70..76 => self.wait_minutes(),
            76..81 => self.retain(),
            81..84 => self.delete_records(),
            84..89 => self.tier(),
            89..92 => format!("evict {:?}", self.partition().evict().unwrap()),
            92..97 => self.clean(),
            97 => self.stop(true),
            98 => self.stop(false),
            _ => self.cut_power(),
        };
        self.story.push(what);
        self.compare();
    }

    /// Everything is there and readable at the end too.
    pub fn end(mut self) {
        self.stop(true);
        self.compare();
        self.check_from(self.model.start, usize::MAX);
        self.stop_broker(true);
    }

    fn batch(&mut self) -> (Bytes, Vec<Entry>) {
        let codecs = [CodecId::NONE, CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD];
        let codec = codecs[self.dice.below(5) as usize];
        let mut builder = BatchBuilder::new(0).codec(codec);
        let mut entries = Vec::new();
        // Clocks of producers go back and forth.
        let base = self.clock.now_ms() + i64::try_from(self.dice.below(20)).unwrap() * MINUTE_MS - 12 * MINUTE_MS;
        for _ in 0..=self.dice.below(4) {
            let key = self.dice.below(10) as u8;
            let value = (self.dice.below(6) > 0).then(|| self.next_value.to_be_bytes().to_vec());
            let padded = value.clone().map(|mut value| {
                value.resize(8 + self.dice.below(200) as usize, key);
                value
            });
            let timestamp = base + i64::try_from(self.dice.below(3000)).unwrap();
            let record = NewRecord { timestamp, key: Some(&[key]), value: padded.as_deref(), headers: &[] };
            builder.append(&record).unwrap();
            entries.push(Entry { key, value: value.map(|_| self.next_value), timestamp });
            self.next_value += 1;
        }
        (builder.build().unwrap(), entries)
    }

    fn wait_minutes(&mut self) -> String {
        let minutes = i64::try_from(self.dice.below(15)).unwrap();
        self.clock.advance_ms(minutes * MINUTE_MS);
        format!("wait {minutes} minutes")
    }

    fn append(&mut self) -> String {
        let (batch, entries) = self.batch();
        let partition = self.partition();
        let appended = match partition.hand_in(&batch, true).unwrap() {
            Handed::Placed(appended) => appended,
            Handed::Later(preparation) => self.wait(preparation.prepare()).unwrap().place().unwrap(),
        };
        assert_eq!(appended.base_offset.0, self.model.end);
        self.wait(partition.high_watermark().wait_for(appended.visible_at)).unwrap();
        let told = format!("append {} at {}", entries.len(), appended.base_offset);
        self.model.append(entries);
        told
    }

    fn somewhere(&mut self) -> i64 {
        let span = u64::try_from(self.model.end - self.model.start).unwrap();
        self.model.start + i64::try_from(self.dice.below(span + 1)).unwrap()
    }

    fn read(&mut self) -> String {
        let from = self.somewhere();
        self.check_from(from, 1 + self.dice.0 as usize % 30);
        format!("read from {from}")
    }

    /// Reads as consumers do, until so many records have come.
    fn check_from(&self, from: i64, count: usize) {
        let expected = self.model.from(from, count);
        let partition = self.partition();
        let (mut found, mut at) = (Vec::new(), Offset(from));
        while found.len() < expected.len() && at.0 < self.model.end {
            let (bytes, next) = self.fetch(&partition, at);
            for batch in BatchIter::new(&bytes) {
                let batch = batch.expect("a batch");
                assert!(batch.crc_matches(), "checksum at {}", batch.header.base_offset);
                for record in &batch.records(1 << 20).expect("records") {
                    let record = record.expect("a record");
                    if record.offset < from || found.len() == expected.len() {
                        continue;
                    }
                    let value = record.value.map(|value| u64::from_be_bytes(*value.first_chunk().expect("8 bytes")));
                    let key = record.key.expect("a key")[0];
                    found.push((record.offset, Entry { key, value, timestamp: record.timestamp }));
                }
            }
            assert!(next > at, "a read at {at} goes on to {next}");
            at = next;
        }
        assert_eq!(found, expected, "read from {from}");
    }

    fn fetch(&self, partition: &Partition, at: Offset) -> (Vec<u8>, Offset) {
        let bytes_max = 700;
        match partition.locate(at, bytes_max, Isolation::ReadUncommitted, true).unwrap() {
            Located::Local { slice, .. } => (range_bytes(&slice.range), slice.next_offset),
            Located::Remote => {
                let deadline = Instant::now() + Duration::from_secs(30);
                let batches = self
                    .wait(partition.read_remote(at, bytes_max, Isolation::ReadUncommitted, deadline))
                    .unwrap()
                    .batches;
                let bytes = batches.concat();
                let last = BatchIter::new(&bytes).last().expect("a batch").unwrap().header;
                (bytes.clone(), Offset(last.next_offset()))
            }
            Located::AtEnd => panic!("nothing at {at}, and the end is {}", self.model.end),
        }
    }

    fn look_up(&mut self) -> String {
        let partition = self.partition();
        let wanted = self.clock.now_ms() + i64::try_from(self.dice.below(90)).unwrap() * MINUTE_MS - 75 * MINUTE_MS;
        let deadline = Instant::now() + Duration::from_secs(30);
        let ask = |spec| self.wait(partition.list_offset(spec, Isolation::ReadUncommitted, deadline)).unwrap();
        let found = ask(OffsetSpec::Timestamp(wanted));
        assert_eq!((found.offset, found.timestamp), self.model.at_time(wanted).unwrap_or((-1, -1)), "time {wanted}");
        let newest = ask(OffsetSpec::MaxTimestamp);
        assert_eq!(newest.timestamp, self.model.newest().unwrap_or(-1), "the newest: {newest:?}");
        assert_eq!(ask(OffsetSpec::Earliest).offset, self.model.start);
        assert_eq!(ask(OffsetSpec::Latest).offset, self.model.end);
        format!("look up {wanted}")
    }

    /// As the service's rounds do it: what goes was old, or too much; what is old goes.
    fn retain(&mut self) -> String {
        let partition = self.partition();
        let (config, now_ms) = (partition.config(), self.clock.now_ms());
        partition.retain_local(&config, now_ms).unwrap();
        if let Some(tiered) = partition.tiered().filter(|_| self.kind.is_tiered()) {
            let policy = RetentionPolicy {
                retention_ms: config.retention_ms.map(|ms| i64::try_from(ms).unwrap()),
                retention_bytes: config.retention_bytes,
                now_ms,
                bytes_beyond_tier: partition.log().bytes_beyond(tiered.view().next_offset()),
            };
            self.wait(tiered.retain(partition.leader_epoch(), &policy, partition.tierable_end())).unwrap();
        }
        let start = partition.log_start_offset().0;
        assert!(start >= self.model.start && start <= self.model.end);
        let cutoff = now_ms - RETENTION_MS;
        match self.kind {
            Kind::Compacted => assert_eq!(start, self.model.start, "retention of a topic that is only compacted"),
            Kind::TieredBySize => {}
            Kind::Local | Kind::Tiered | Kind::CompactedAndDeleted => {
                let gone = self.model.entries.range(..start);
                let young: Vec<_> = gone.filter(|(_, entry)| entry.timestamp >= cutoff).collect();
                assert!(young.is_empty(), "younger than retention.ms and gone: {young:?}");
                if !self.kind.is_tiered() {
                    let oldest = partition.log().closed_segments().into_iter().next();
                    let newest_of_it = oldest.and_then(|segment| segment.newest_ms);
                    assert!(
                        newest_of_it.is_none_or(|newest| newest >= cutoff),
                        "{newest_of_it:?} is older than {cutoff}"
                    );
                }
            }
        }
        self.model.move_start(start);
        format!("retain from {start} on")
    }

    fn delete_records(&mut self) -> String {
        if self.kind == Kind::Compacted {
            return "delete no records".to_owned();
        }
        let start = self.model.start + (self.somewhere() - self.model.start) / 4;
        self.partition().log().set_log_start_offset(Offset(start)).unwrap();
        self.model.move_start(start);
        format!("delete records below {start}")
    }

    fn tier(&mut self) -> String {
        let partition = self.partition();
        let mut uploaded = 0;
        while self.wait(partition.upload_next()).unwrap().is_some() {
            uploaded += 1;
        }
        format!("upload {uploaded}")
    }

    fn clean(&mut self) -> String {
        let mut rounds = 0;
        if !self.kind.is_compacted() {
            return "clean nothing".to_owned();
        }
        let partition = self.partition();
        partition.log().roll().unwrap();
        // A small map: several rounds for one log.
        let options = CleanOptions { memory_bytes: 24 * (4 + self.dice.below(20)), ..CleanOptions::default() };
        loop {
            let dirt = partition.log().dirt(partition.high_watermark().get()).unwrap();
            if dirt.dirty_bytes == 0 {
                return format!("clean in {rounds} rounds up to {}", dirt.end_offset);
            }
            rounds += 1;
            match partition.clean(&dirt, &options, &Pace::unlimited()) {
                Ok(cleaned) => {
                    let local_start = partition.log().local_log_start_offset().0;
                    self.model.clean(local_start, cleaned.end_offset.0, self.clock.now_ms(), TOMBSTONE_MS);
                    self.check_from(self.model.start, usize::MAX);
                }
                Err(CleanError::Changed) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn stop_broker(&mut self, clean: bool) {
        let Some(Incarnation { runtime, running, partition }) = self.broker.take() else { return };
        drop(partition);
        match running {
            Some(running) if clean => runtime.block_on(running.stop()).unwrap(),
            running => drop(running),
        }
        runtime.shutdown_timeout(Duration::from_secs(30));
    }

    /// A clean stop, or as by kill -9: what was written is in the page cache still.
    fn stop(&mut self, clean: bool) -> String {
        self.stop_broker(clean);
        self.start();
        format!("stop, clean: {clean}")
    }

    /// The disk has what was synced, and of the rest nothing, or some.
    fn cut_power(&mut self) -> String {
        let operations = self.disk.operations();
        self.stop_broker(false);
        let unsynced = if self.dice.below(2) == 0 { Unsynced::Lost } else { Unsynced::Torn(self.dice.0) };
        let image = scratch();
        self.disk.build_image(self.directory.path(), operations, unsynced, image.path());
        self.disk = Arc::new(CrashDisk::of(image.path()));
        // Not under the observed disk: both sync what they answer for.
        std::fs::copy(self.directory.path().join(METADATA), image.path().join(METADATA)).unwrap();
        copy(&self.directory.path().join("tier"), &image.path().join("tier"));
        self.directory = image;
        self.start();
        format!("cut the power: {unsynced:?}")
    }

    fn compare(&self) {
        let partition = self.partition();
        assert_eq!(partition.log_start_offset().0, self.model.start);
        assert_eq!(partition.high_watermark().get().0, self.model.end);
    }
}

fn copy(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).unwrap();
    for entry in entries {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path() {
            directory if directory.is_dir() => copy(&directory, &to),
            file => assert!(std::fs::copy(file, to).is_ok()),
        }
    }
}

fn configuration(directory: &Path) -> config::BrokerConfig {
    let never = "3600000";
    let flags = [
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", directory.to_str().unwrap()),
        ("stratalog.admin.listener", ""),
        ("log.retention.check.interval.ms", never),
        ("remote.log.manager.task.interval.ms", never),
        ("log.cleaner.enable", "false"),
        ("stratalog.tier.delete.grace.ms", "0"),
    ];
    let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    config::load(&Sources { flags, ..Sources::default() }).unwrap().config
}
