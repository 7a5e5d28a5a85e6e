//! Whose data directory it is, when the file that says so is lost.

use std::fs;
use std::path::Path;

use stratalog::broker::{self, Running, StartError};
use stratalog::config::{self, Sources};

use super::tiering::moved_up;
use super::{client, start, topic};

async fn try_start(dirs: &[&Path], settings: &[(&str, &str)]) -> Result<Running, StartError> {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let own =
        [("listeners", "PLAINTEXT://127.0.0.1:0"), ("stratalog.admin.listener", ""), ("log.dirs", &dirs.join(","))];
    let flags = own.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let loaded = config::load(&Sources { flags, ..Sources::default() }).unwrap();
    broker::start(loaded.config).await
}

async fn refused(dirs: &[&Path], settings: &[(&str, &str)]) -> String {
    match try_start(dirs, settings).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

/// A broker with a topic that is tiered; answers its cluster.
async fn filled(dir: &Path) -> String {
    let running = start(dir, &[]).await;
    drop(moved_up(&running, 100).await);
    let cluster_id = running.node.cluster_id.clone();
    running.stop().await.unwrap();
    cluster_id
}

fn lose(dir: &Path) {
    fs::remove_file(dir.join("meta.properties")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_identity_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let cluster_id = filled(dir.path()).await;
    lose(dir.path());
    // Another one is not taken for it, and leaves nothing.
    for setting in [("stratalog.cluster.id", "4L6g3nShT-eMCtK--X86sw"), ("node.id", "7")] {
        let told = refused(&[dir.path()], &[setting]).await;
        assert!(told.contains(setting.0.trim_start_matches("stratalog.")) && told.contains(setting.1), "{told}");
        assert!(!dir.path().join("meta.properties").exists());
    }
    for _ in 0..2 {
        let running = start(dir.path(), &[]).await;
        assert_eq!(running.node.cluster_id, cluster_id);
        assert_eq!(running.node.partitions.offline().len(), 0);
        running.stop().await.unwrap();
    }
    // A broker that has it open is named, whoever asks.
    let running = start(dir.path(), &[]).await;
    lose(dir.path());
    let told = refused(&[dir.path()], &[]).await;
    assert!(told.contains("is in use by"), "{told}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_nothing_knows_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let cluster_id = filled(dir.path()).await;
    lose(dir.path());
    let metadata = dir.path().join("stratalog-metadata.redb");
    let kept = fs::read(&metadata).unwrap();
    fs::remove_file(&metadata).unwrap();
    let empty = tempfile::tempdir().unwrap();
    // Nor does the empty one get an id, which would be the other's then.
    let dirs = [empty.path(), dir.path()];
    let told = refused(&dirs, &[]).await;
    let file = dir.path().join("meta.properties").display().to_string();
    for part in [&file, "stratalog.cluster.id", &cluster_id] {
        assert!(told.contains(part), "{told} has no {part}");
    }
    assert!(dirs.iter().all(|dir| !dir.join("meta.properties").exists()));
    // Without a tier.
    for entry in fs::read_dir(dir.path()).unwrap().flatten() {
        let _ = fs::remove_file(entry.path().join("tier-manifest"));
    }
    let told = refused(&[dir.path()], &[]).await;
    assert!(told.contains(&file) && told.contains("stratalog.cluster.id") && !told.contains(&cluster_id), "{told}");
    // As it asks: first the metadata are missed, which were there all the time.
    let id = [("stratalog.cluster.id", cluster_id.as_str())];
    let told = refused(&[dir.path()], &id).await;
    assert!(told.contains("stratalog-metadata.redb"), "{told}");
    fs::write(&metadata, kept).unwrap();
    let running = try_start(&[dir.path()], &id).await.unwrap();
    assert_eq!(running.node.cluster_id, cluster_id);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_takes_its_identity_from_the_others() {
    let base = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| base.path().join(name));
    let running = try_start(&[&a, &b], &[]).await.unwrap();
    let cluster_id = running.node.cluster_id.clone();
    let two = stratalog::net::client::NewTopic { partitions: Some(2), ..topic("t", &[]) };
    client(&running).create_topic(&two, false).await.unwrap();
    running.stop().await.unwrap();
    for lost in [&[&b][..], &[&a], &[&a, &b]] {
        lost.iter().for_each(|dir| lose(dir));
        let running = try_start(&[&a, &b], &[]).await.unwrap();
        assert_eq!(running.node.cluster_id, cluster_id, "{lost:?}");
        assert_eq!(running.node.partitions.log_dirs().online().count(), 2, "{lost:?}");
        assert_eq!(running.node.partitions.offline().len(), 0, "{lost:?}");
        running.stop().await.unwrap();
    }
}
