//! Operations on many partitions at a time: what they have in common is written once.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use stratalog::clock::Clock;
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use stratalog_protocol::records::{BatchBuilder, BatchHeader, NewRecord};
use stratalog_types::Offset;

use super::cleaner::{NOW_MS, start_on};
use super::{client, topic};
use crate::api::Fixture;

const PARTITIONS: i32 = 300;
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// Counts, by name, the checkpoints that are written, and the syncs of the data directory for anything else.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<String, usize>>);

impl DiskObserver for Counts {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        let name = match operation {
            DiskOp::Rename { to, .. } if to.to_string_lossy().ends_with("-offset-checkpoint") => to.file_name(),
            DiskOp::SyncDirectory(path) => path.file_name(),
            _ => None,
        };
        if let Some(name) = name {
            *self.0.lock().unwrap().entry(name.to_string_lossy().into_owned()).or_default() += 1;
        }
        Ok(())
    }
}

impl Counts {
    fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_over_many_partitions_writes_each_checkpoint_about_once() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("data");
    let counts = Arc::new(Counts::default());
    let running = start_on(&home, &Clock::manual(NOW_MS), Disk::observed(counts.clone())).await;
    let mut asked = topic("t", &[("remote.storage.enable", "false")]);
    asked.partitions = Some(PARTITIONS);
    client(&running).create_topic(&asked, false).await.unwrap();
    let node = running.node.clone();
    let id = node.image().topic("t").unwrap().id;
    let partitions = node.partitions.of_topic(id);
    let mut batch = BatchBuilder::new(0);
    batch.append(&NewRecord { timestamp: NOW_MS, value: Some(b"v"), ..NewRecord::default() }).unwrap();
    let batch = batch.build().unwrap();
    for partition in &partitions {
        partition.append_own(&batch, BatchHeader::decode(&batch).unwrap()).unwrap();
        partition.high_watermark().wait_for(Offset(1)).await.unwrap();
    }
    node.partitions.log_dirs().checkpoint_recovery_points().unwrap();
    drop(partitions);

    let mut fixture = Fixture::on(running).await;
    counts.take();
    let began = Instant::now();
    let all = (0..PARTITIONS).map(|partition_index| DeleteRecordsPartition { partition_index, offset: -1 }).collect();
    let topics = vec![DeleteRecordsTopic { name: "t".to_owned(), partitions: all }];
    let answer = fixture.ask(&DeleteRecordsRequest { topics, timeout_ms: 60_000 }, 2).await;
    let written = counts.take();
    println!(
        "DeleteRecords over {PARTITIONS} partitions: {:?}, {:?} log starts",
        began.elapsed(),
        written.get(LOG_STARTS)
    );
    assert!(answer.topics[0].partitions.iter().all(|of| of.error_code.is_none() && of.low_watermark == 1));
    // A log whose lock a round of the maintenance holds at that moment (it rolls, forgets producers) is left out and written
    // by itself.
    assert!((1..=3).contains(&written[LOG_STARTS]), "{written:?}");

    let began = Instant::now();
    fixture.delete("t").await;
    let written = counts.take();
    let of = |name: &str| written.get(name).copied().unwrap_or(0);
    println!("DeleteTopics over {PARTITIONS} partitions: {:?}, {written:?}", began.elapsed());
    // A round of the maintenance may come between.
    assert!((1..=3).contains(&of(RECOVERY_POINTS)), "{written:?}");
    assert!((1..=3).contains(&of(LOG_STARTS)), "{written:?}");
    assert!(of("data") < 20, "{written:?}");
    fixture.stop().await;
}
