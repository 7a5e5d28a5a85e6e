//! What readiness says of a bucket that is not ours, and of one that is away.

use std::time::Duration;

use stratalog::admin::Readiness;
use stratalog::broker::Running;

use super::tiering::produce;
use super::{client, start, topic};

/// The first readiness that is no longer `Starting`.
async fn readiness(running: &Running) -> Readiness {
    let settled = async {
        loop {
            match running.control.readiness() {
                Readiness::Starting { .. } => tokio::time::sleep(Duration::from_millis(5)).await,
                settled => return settled,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_another_cluster_is_not_ready() {
    let (one, other, bucket) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = format!("file://{}", bucket.path().display());
    let running = start(one.path(), &[("stratalog.tier.url", &url)]).await;
    assert_eq!(readiness(&running).await, Readiness::Ready);
    running.stop().await.unwrap();
    let running = start(other.path(), &[("stratalog.tier.url", &url)]).await;
    let Readiness::NotReady { why } = readiness(&running).await else { panic!("a foreign bucket is ready") };
    assert!(why.contains("belongs to cluster"), "{why}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_away_is_degraded_and_produce_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let settings = [
        ("stratalog.tier.url", "s3://bucket/prefix"),
        ("stratalog.tier.s3.endpoint", endpoint.as_str()),
        ("stratalog.tier.s3.access.key.id", "k"),
        ("stratalog.tier.s3.secret.access.key", "s"),
        ("stratalog.tier.s3.allow.http", "true"),
        ("stratalog.shutdown.timeout.ms", "1000"),
    ];
    let running = start(dir.path(), &settings).await;
    let Readiness::Degraded { .. } = readiness(&running).await else { panic!("{:?}", running.control.readiness()) };
    let mut one = client(&running);
    one.create_topic(&topic("t", &[]), false).await.unwrap();
    produce(&mut one, "t", 0, 10).await;
    running.stop().await.unwrap();
}
