//! A partition that does not open is offline, and the rest serves; data directories fail one by one.

use std::path::Path;

use stratalog::broker::{self, Running};
use stratalog::config::{self, Sources};
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_log_dirs::DescribeLogDirsRequest;
use stratalog_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use stratalog_protocol::messages::find_coordinator::FindCoordinatorRequest;
use stratalog_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use stratalog_protocol::messages::metadata::MetadataRequest;

use super::Fixture;

const FIRST_LOG: &str = "00000000000000000000.log";

/// Damages the segment of a log below its recovery point: the last byte of the first batch.
fn flip(log: &Path) {
    let mut bytes = std::fs::read(log).unwrap();
    bytes[100] ^= 1;
    std::fs::write(log, bytes).unwrap();
}

fn unclean(directory: &Path) {
    std::fs::remove_file(directory.join(".kafka_cleanshutdown")).unwrap();
}

/// `(error, leader, offline replicas)` of each partition of a topic.
async fn leaders(fixture: &mut Fixture, topic: &str) -> Vec<(ErrorCode, i32, Vec<i32>)> {
    let mut all = fixture.ask(&MetadataRequest { topics: None, ..MetadataRequest::default() }, 12).await.topics;
    all.retain(|one| one.name.as_deref() == Some(topic));
    let mut partitions = all.remove(0).partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    partitions.into_iter().map(|p| (p.error_code, p.leader_id, p.offline_replicas)).collect()
}

async fn fetch_code(fixture: &mut Fixture, topic: &str, partition: i32) -> ErrorCode {
    let wanted = FetchPartition { partition, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topics = vec![FetchTopic { topic: topic.to_owned(), partitions: vec![wanted], ..FetchTopic::default() }];
    let request = FetchRequest { topics, max_bytes: 1 << 20, session_epoch: -1, ..FetchRequest::default() };
    fixture.ask(&request, 12).await.responses.remove(0).partitions.remove(0).error_code
}

async fn latest(fixture: &mut Fixture, topic: &str, partition_index: i32) -> Result<i64, ErrorCode> {
    let row = ListOffsetsPartition { partition_index, timestamp: -1, current_leader_epoch: -1 };
    let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions: vec![row] }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
    let row = fixture.ask(&request, 7).await.topics.remove(0).partitions.remove(0);
    if row.error_code.is_none() { Ok(row.offset) } else { Err(row.error_code) }
}

#[tokio::test]
async fn a_damaged_partition_is_offline_and_the_others_serve() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 3, &[]).await;
    fixture.create("other", 1, &[]).await;
    for partition in 0..3 {
        assert_eq!(fixture.produce_batch("t", partition, &[7; 200], 5000).await, Ok(0));
    }
    let directory = fixture.data_dir().to_owned();
    let log = directory.join("t-1").join(FIRST_LOG);
    let mut fixture = fixture
        .restart_after(|| {
            flip(&log);
            unclean(&directory);
        })
        .await;
    let damaged = std::fs::read(&log).unwrap();

    let well = (ErrorCode::NONE, 1, vec![]);
    let gone = (ErrorCode::LEADER_NOT_AVAILABLE, -1, vec![1]);
    assert_eq!(leaders(&mut fixture, "t").await, [well.clone(), gone, well]);
    assert_eq!(fixture.produce_batch("t", 1, b"x", 5000).await, Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(fetch_code(&mut fixture, "t", 1).await, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(latest(&mut fixture, "t", 1).await, Err(ErrorCode::KAFKA_STORAGE_ERROR));
    // A partition that is not there at all stays what it was.
    assert_eq!(fixture.produce_batch("t", 3, b"x", 5000).await, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    for partition in [0, 2] {
        assert_eq!(fixture.produce_batch("t", partition, b"x", 5000).await, Ok(1));
        assert_eq!(latest(&mut fixture, "t", partition).await, Ok(2));
    }
    assert_eq!(fixture.produce_batch("other", 0, b"x", 5000).await, Ok(0));
    let dirs = fixture.ask(&DescribeLogDirsRequest { topics: None }, 4).await.results;
    let rows = dirs[0].topics.iter().find(|topic| topic.name == "t").unwrap();
    let lags: Vec<(i32, i64)> = rows.partitions.iter().map(|p| (p.partition_index, p.offset_lag)).collect();
    assert!(lags.contains(&(1, -1)) && lags.contains(&(0, 0)), "{lags:?}");
    fixture.until(|metrics| metrics.partitions_offline.get() == 1).await;
    assert_eq!(fixture.running.node.partitions.offline()[0].topic_partition.to_string(), "t-1");
    let reason = &fixture.running.node.partitions.offline()[0].reason;
    assert!(reason.contains(FIRST_LOG) && reason.contains("offsets 0 to 1"), "{reason}");
    // Nothing was touched, and it is still so after a clean stop.
    assert_eq!(std::fs::read(&log).unwrap(), damaged);
    let mut fixture = fixture.restart().await;
    assert_eq!(fixture.produce_batch("t", 0, b"x", 5000).await, Ok(2));
    // A topic with an offline partition can be deleted, with its directory.
    fixture.delete("t").await;
    assert!(!directory.join("t-1").exists());
    fixture.stop().await;
}

#[tokio::test]
async fn an_offline_partition_of_groups_has_no_coordinator() {
    let settings = [("offsets.topic.num.partitions", "2")];
    let mut fixture = Fixture::start_with(&settings).await;
    // "a" % 2 = 1, "b" % 2 = 0.
    let find = |key: &str| FindCoordinatorRequest {
        coordinator_keys: vec![key.to_owned()],
        ..FindCoordinatorRequest::default()
    };
    for key in ["a", "b"] {
        assert_eq!(fixture.ask(&find(key), 4).await.coordinators[0].error_code, ErrorCode::NONE);
    }
    let directory = fixture.data_dir().to_owned();
    let mut fixture = fixture
        .restart_after_with(&settings, || {
            std::fs::write(directory.join("__consumer_offsets-1/partition.metadata"), "?").unwrap()
        })
        .await;
    let of = |answer: stratalog_protocol::messages::find_coordinator::FindCoordinatorResponse| {
        (answer.coordinators[0].error_code, answer.coordinators[0].node_id)
    };
    assert_eq!(of(fixture.ask(&find("a"), 4).await), (ErrorCode::COORDINATOR_NOT_AVAILABLE, -1));
    assert_eq!(of(fixture.ask(&find("b"), 4).await), (ErrorCode::NONE, 1));
    fixture.stop().await;
}

async fn start_on(dirs: &[&Path], settings: &[(&str, &str)]) -> Result<Running, broker::StartError> {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let mut flags = vec![
        ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
        ("log.dirs".to_owned(), dirs.join(",")),
        ("stratalog.admin.listener".to_owned(), String::new()),
        ("stratalog.tier.default.enable".to_owned(), "false".to_owned()),
    ];
    flags.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    broker::start(config::load(&Sources { flags, ..Sources::default() }).unwrap().config).await
}

fn partitions_in(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // What is on its way out waits for its removal.
    names.filter(|name| name.starts_with("t-") && !name.ends_with("-delete")).count()
}

#[tokio::test]
async fn new_partitions_go_where_the_fewest_are_and_a_lost_directory_leaves_the_others() {
    let base = tempfile::tempdir().unwrap();
    let dirs = ["a", "b", "c"].map(|name| base.path().join(name));
    let all = dirs.each_ref().map(|dir| dir.as_path());
    let running = start_on(&all, &[]).await.unwrap();
    let mut fixture = Fixture::on(running).await;
    fixture.create("t", 7, &[]).await;
    assert_eq!(all.map(partitions_in), [3, 2, 2]);
    fixture.create("u", 1, &[]).await;
    assert!(dirs[1].join("u-0").is_dir());
    for partition in 0..7 {
        assert_eq!(fixture.produce_batch("t", partition, b"x", 5000).await, Ok(0));
    }
    let ids: Vec<String> =
        fixture.running.node.partitions.log_dirs().opened().map(|dir| dir.directory_id().to_owned()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    fixture.stop().await;

    // The third is a file now: it cannot be opened, and its partitions are neither served nor made anew.
    let away = base.path().join("away");
    std::fs::rename(&dirs[2], &away).unwrap();
    std::fs::write(&dirs[2], "").unwrap();
    let mut fixture = Fixture::on(start_on(&all, &[]).await.unwrap()).await;
    let offline = fixture.running.node.partitions.offline();
    assert_eq!(offline.len(), 2);
    assert_eq!(partitions_in(&dirs[0]) + partitions_in(&dirs[1]), 5);
    let lost: Vec<i32> = offline.iter().map(|partition| partition.topic_partition.partition.0).collect();
    for partition in 0..7 {
        let expected = if lost.contains(&partition) { Err(ErrorCode::KAFKA_STORAGE_ERROR) } else { Ok(1) };
        assert_eq!(fixture.produce_batch("t", partition, b"x", 5000).await, expected, "{partition}");
    }
    let results = fixture.ask(&DescribeLogDirsRequest { topics: None }, 4).await.results;
    let codes: Vec<ErrorCode> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::NONE, ErrorCode::KAFKA_STORAGE_ERROR]);
    fixture.until(|metrics| metrics.log_directories_offline.get() == 1).await;
    // What is new goes to those that are left.
    fixture.create("v", 2, &[]).await;
    assert_eq!(fixture.produce_batch("v", 1, b"x", 5000).await, Ok(0));
    fixture.stop().await;

    std::fs::remove_file(&dirs[2]).unwrap();
    std::fs::rename(&away, &dirs[2]).unwrap();
    let mut fixture = Fixture::on(start_on(&all, &[]).await.unwrap()).await;
    assert!(fixture.running.node.partitions.offline().is_empty());
    for partition in 0..7 {
        let expected = if lost.contains(&partition) { 1 } else { 2 };
        assert_eq!(latest(&mut fixture, "t", partition).await, Ok(expected), "{partition}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn mistakes_with_directories_are_named() {
    let base = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| base.path().join(name));
    let running = start_on(&[&a, &b], &[]).await.unwrap();
    let mut fixture = Fixture::on(running).await;
    fixture.create("t", 2, &[]).await;
    fixture.stop().await;
    let refused = |started: Result<Running, broker::StartError>| match started {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    };
    // The metadata stays where it is, whatever comes first.
    let moved = refused(start_on(&[&b, &a], &[]).await);
    assert!(moved.contains("metadata.log.dir"), "{moved}");
    let metadata_dir = a.display().to_string();
    start_on(&[&b, &a], &[("metadata.log.dir", &metadata_dir)]).await.unwrap().stop().await.unwrap();
    // Another cluster's.
    start_on(&[&c], &[]).await.unwrap().stop().await.unwrap();
    let foreign = refused(start_on(&[&a, &c], &[]).await);
    assert!(foreign.contains("cluster.id") && foreign.contains(&c.display().to_string()), "{foreign}");
    // A copy.
    std::fs::remove_dir_all(&c).unwrap();
    std::fs::create_dir(&c).unwrap();
    std::fs::copy(b.join("meta.properties"), c.join("meta.properties")).unwrap();
    let twin = refused(start_on(&[&a, &b, &c], &[]).await);
    assert!(twin.contains("directory.id"), "{twin}");
    std::fs::remove_file(c.join("meta.properties")).unwrap();
    // A partition in two of them is offline, and the other one is not.
    let running = start_on(&[&a, &b, &c], &[]).await.unwrap();
    running.stop().await.unwrap();
    let (home, name) = [(&a, "t-0"), (&b, "t-0")].into_iter().find(|(dir, name)| dir.join(name).exists()).unwrap();
    std::fs::create_dir(c.join(name)).unwrap();
    for entry in std::fs::read_dir(home.join(name)).unwrap().flatten() {
        std::fs::copy(entry.path(), c.join(name).join(entry.file_name())).unwrap();
    }
    let mut fixture = Fixture::on(start_on(&[&a, &b, &c], &[]).await.unwrap()).await;
    let offline = fixture.running.node.partitions.offline();
    assert_eq!(offline.len(), 1);
    assert!(offline[0].reason.contains("two data directories"), "{}", offline[0].reason);
    assert_eq!(fixture.produce_batch("t", 0, b"x", 5000).await, Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(fixture.produce_batch("t", 1, b"x", 5000).await, Ok(0));
    fixture.stop().await;
}

#[tokio::test]
async fn an_empty_directory_is_not_taken_for_one_whose_disk_is_not_mounted() {
    let base = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| base.path().join(name));
    let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
    fixture.create("t", 2, &[]).await;
    for partition in 0..2 {
        assert_eq!(fixture.produce_batch("t", partition, b"x", 5000).await, Ok(0));
    }
    fixture.stop().await;
    let away = base.path().join("away");
    std::fs::rename(&b, &away).unwrap();
    // Each time: the first does not make a directory of it that the second believes.
    for _ in 0..2 {
        std::fs::create_dir_all(&b).unwrap();
        let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
        let offline = fixture.running.node.partitions.offline();
        assert_eq!(offline.len(), 1);
        assert!(offline[0].reason.contains("not mounted"), "{}", offline[0].reason);
        assert_eq!(partitions_in(&a) + partitions_in(&b), 1);
        fixture.until(|metrics| metrics.log_directories_offline.get() == 1).await;
        fixture.create("v", 1, &[]).await;
        assert!(!b.join("v-0").exists());
        fixture.delete("v").await;
        fixture.stop().await;
    }
    // Mounted again.
    let mount_point = base.path().join("mount-point");
    std::fs::rename(&b, &mount_point).unwrap();
    std::fs::rename(&away, &b).unwrap();
    let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
    for partition in 0..2 {
        assert_eq!(latest(&mut fixture, "t", partition).await, Ok(1));
    }
    fixture.stop().await;
    // A new one beside all that is known.
    let fixture = Fixture::on(start_on(&[&a, &b, &c], &[]).await.unwrap()).await;
    assert_eq!(fixture.running.node.partitions.log_dirs().offline_count(), 0);
    fixture.stop().await;
    assert!(!c.join("new-directory").exists());
    // A disk that was replaced, as somebody says.
    std::fs::remove_dir_all(&b).unwrap();
    std::fs::rename(&mount_point, &b).unwrap();
    std::fs::remove_file(b.join("new-directory")).unwrap();
    let fixture = Fixture::on(start_on(&[&a, &b, &c], &[]).await.unwrap()).await;
    assert!(fixture.running.node.partitions.offline().is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn a_topic_deleted_while_a_data_directory_is_away_goes_with_it_and_its_name_is_free() {
    let base = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| base.path().join(name));
    let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
    fixture.create("t", 2, &[]).await;
    assert_eq!((partitions_in(&a), partitions_in(&b)), (1, 1));
    fixture.stop().await;
    let away = base.path().join("away");
    std::fs::rename(&b, &away).unwrap();
    std::fs::write(&b, "").unwrap();
    let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
    fixture.delete("t").await;
    let id = *fixture.running.node.metadata.image().deleting.keys().next().expect("the intent");
    assert!(fixture.running.node.partitions.remove_directories(id).is_err());
    fixture.stop().await;
    std::fs::remove_file(&b).unwrap();
    std::fs::rename(&away, &b).unwrap();
    let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
    assert_eq!((partitions_in(&a), partitions_in(&b)), (0, 0));
    // A directory of that name which nobody knows does not stand in the way either.
    std::fs::create_dir(b.join("t-0")).unwrap();
    std::fs::write(b.join("t-0/partition.metadata"), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAKg\n").unwrap();
    fixture.create("t", 1, &[]).await;
    assert!(a.join("t-0").is_dir());
    assert_eq!(fixture.produce_batch("t", 0, b"x", 5000).await, Ok(0));
    fixture.stop().await;
}

/// Puts a link to itself in place of a file or a directory, which goes to `away`: nobody can look at it.
fn make_unreadable(path: &Path, away: &Path) {
    std::fs::rename(path, away).unwrap();
    std::os::unix::fs::symlink(path.file_name().unwrap(), path).unwrap();
    path.metadata().unwrap_err();
}

fn mend(path: &Path, away: &Path) {
    std::fs::remove_file(path).unwrap();
    std::fs::rename(away, path).unwrap();
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_offline_and_not_made_anew() {
    let base = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| base.path().join(name));
    let away = base.path().join("away");
    let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
    fixture.create("t", 4, &[]).await;
    for partition in 0..4 {
        assert_eq!(fixture.produce_batch("t", partition, b"x", 5000).await, Ok(0));
    }
    fixture.stop().await;
    let in_b = |name: &i32| b.join(format!("t-{name}")).is_dir();
    let (there, here): (Vec<i32>, Vec<i32>) = (0..4).partition(in_b);
    assert_eq!((there.len(), here.len()), (2, 2));
    let directory = b.join(format!("t-{}", there[0]));
    let file = directory.join(FIRST_LOG);
    // A directory of a partition: who cannot look at it cannot tell what else is there. A file of one: it alone.
    for (path, offline) in [(&directory, &there[..]), (&file, &there[..1])] {
        make_unreadable(path, &away);
        let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
        let told = fixture.running.node.partitions.offline();
        let mut names: Vec<i32> = told.iter().map(|partition| partition.topic_partition.partition.0).collect();
        names.sort();
        assert_eq!(names, offline, "{told:?}");
        assert_eq!(fixture.running.node.partitions.log_dirs().offline_count(), usize::from(offline.len() == 2));
        for partition in 0..4 {
            let expected = if offline.contains(&partition) { Err(ErrorCode::KAFKA_STORAGE_ERROR) } else { Ok(()) };
            let produced = fixture.produce_batch("t", partition, b"x", 5000).await.map(drop);
            assert_eq!(produced, expected, "{partition}");
        }
        assert_eq!(partitions_in(&a), 2);
        fixture.stop().await;
        mend(path, &away);
    }
    let mut fixture = Fixture::on(start_on(&[&a, &b], &[]).await.unwrap()).await;
    assert!(fixture.running.node.partitions.offline().is_empty());
    for (partition, end) in [(there[0], 1), (there[1], 2), (here[0], 3), (here[1], 3)] {
        assert_eq!(latest(&mut fixture, "t", partition).await, Ok(end), "{partition}");
    }
    fixture.stop().await;
}
