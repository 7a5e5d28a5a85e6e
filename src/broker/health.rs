//! Whether the broker is ready: what `/health/ready` says, and why.
//!
//! Ready means: what is produced is kept as promised. A bucket that is somebody else's, or that refuses us before it ever
//! took us, is a mistake in the set-up that a roll-out must stop at: not ready. So is it when every data directory failed;
//! one of several, or a partition that is damaged, leaves the others: degraded. A
//! bucket that is slow or away, or refuses later, is degraded and ready: produce goes on, on local disk.

use std::sync::Arc;
use std::time::Duration;

use stratalog_tiering::cluster::ClaimError;
use stratalog_tiering::store::StoreError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::admin::Readiness;
use crate::api::Node;
use crate::partition::tier::{Tier, chain};

/// Between two looks at what needs no request.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Between two questions to a bucket that answered well.
const ASK_INTERVAL: Duration = Duration::from_secs(30);
/// A bucket that needs longer is slow.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// What the bucket said last.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bucket {
    /// There is none, or it is ours and answers.
    Well,
    Ill(String),
    NotOurs(String),
}

/// Looks and tells until the broker drains.
pub async fn watch(node: Arc<Node>, told: watch::Sender<Readiness>, mut stopped: watch::Receiver<bool>) {
    let mut bucket = Bucket::Well;
    let mut accepted = false;
    let mut ask_at = Instant::now();
    loop {
        let round = async {
            if let Some(tier) = node.partitions.tier()
                && Instant::now() >= ask_at
            {
                bucket = ask(tier, accepted).await;
                accepted |= bucket == Bucket::Well;
                ask_at = Instant::now() + if bucket == Bucket::Well { ASK_INTERVAL } else { LOOK_INTERVAL };
            }
            tell(&told, judge(&bucket, &Disks::of(&node)));
            sleep(LOOK_INTERVAL).await;
        };
        tokio::select! {
            _ = stopped.changed() => return,
            () = round => {}
        }
    }
}

/// `accepted`: the bucket has taken us since the start.
async fn ask(tier: &Tier, accepted: bool) -> Bucket {
    match timeout(ANSWER_WAIT, tier.confirm()).await {
        Ok(Ok(())) => Bucket::Well,
        Ok(Err(error)) => of_claim(&error, accepted),
        Err(_) => Bucket::Ill(format!("it did not answer within {ANSWER_WAIT:?}")),
    }
}

fn of_claim(error: &ClaimError, accepted: bool) -> Bucket {
    let what = chain(error);
    match error {
        ClaimError::Foreign { .. } | ClaimError::TakenOver { .. } | ClaimError::Missing { .. } => Bucket::NotOurs(what),
        ClaimError::Store { source: StoreError::Refused { .. }, .. } if !accepted => Bucket::NotOurs(what),
        ClaimError::Store { .. } | ClaimError::Corrupt { .. } | ClaimError::Contended { .. } => Bucket::Ill(what),
    }
}

/// What the data directories say.
#[derive(Debug, Default)]
struct Disks {
    /// Nothing is kept any more.
    all_offline: Option<String>,
    /// Those that failed while others serve.
    offline: Option<String>,
    offline_partitions: usize,
}

impl Disks {
    fn of(node: &Node) -> Disks {
        let dirs = node.partitions.log_dirs();
        let named = dirs.states().find_map(|state| Some(format!("{}: {}", state.path.display(), state.offline?)));
        Disks {
            all_offline: dirs.all_offline().map(str::to_owned),
            offline: named,
            offline_partitions: node.partitions.offline_count(),
        }
    }
}

fn judge(bucket: &Bucket, disks: &Disks) -> Readiness {
    if let Some(reason) = &disks.all_offline {
        return Readiness::NotReady { why: format!("the data directory is offline: {reason}") };
    }
    match bucket {
        Bucket::Ill(_) | Bucket::Well if disks.offline_partitions > 0 || disks.offline.is_some() => {
            let directory = disks.offline.as_ref().map_or(String::new(), |named| format!(", data directory {named}"));
            Readiness::Degraded { why: format!("{} partitions are offline{directory}", disks.offline_partitions) }
        }
        Bucket::NotOurs(what) => Readiness::NotReady { why: format!("nothing is tiered: {what}") },
        Bucket::Ill(what) => Readiness::Degraded { why: format!("the bucket is away, tiering waits: {what}") },
        Bucket::Well => Readiness::Ready,
    }
}

/// Told when it changes, and logged then; a broker that stops stays so.
fn tell(told: &watch::Sender<Readiness>, now: Readiness) {
    told.send_if_modified(|before| {
        if *before == now || *before == Readiness::Stopping {
            return false;
        }
        match &now {
            Readiness::NotReady { why } => tracing::error!("not ready: {why}"),
            Readiness::Degraded { why } => tracing::warn!("degraded: {why}"),
            // Not the line of a start, which names the address.
            Readiness::Ready if matches!(before, Readiness::NotReady { .. } | Readiness::Degraded { .. }) => {
                tracing::info!("well again");
            }
            Readiness::Ready | Readiness::Starting { .. } | Readiness::Stopping => {}
        }
        *before = now;
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_as_a_mistake_until_the_bucket_took_us_once() {
        let refused = || ClaimError::Store {
            key: "v1/cluster".to_owned(),
            source: StoreError::Refused { key: "v1/cluster".to_owned(), reason: "403".to_owned() },
        };
        assert!(matches!(of_claim(&refused(), false), Bucket::NotOurs(_)));
        assert!(matches!(of_claim(&refused(), true), Bucket::Ill(_)));
        let foreign = ClaimError::Foreign { found: "a".to_owned(), ours: "b".to_owned() };
        assert!(matches!(of_claim(&foreign, true), Bucket::NotOurs(_)));
    }

    #[test]
    fn the_disk_comes_first_and_a_stop_is_not_taken_back() {
        let why = |readiness| match readiness {
            Readiness::NotReady { why } | Readiness::Degraded { why } => why,
            other => panic!("{other:?}"),
        };
        assert!(
            why(judge(
                &Bucket::Ill("x".to_owned()),
                &Disks { all_offline: Some("EIO".to_owned()), ..Disks::default() }
            ))
            .contains("EIO")
        );
        assert_eq!(judge(&Bucket::Well, &Disks::default()), Readiness::Ready);
        let one = Disks { offline: Some("/b: EIO".to_owned()), offline_partitions: 3, ..Disks::default() };
        assert!(matches!(judge(&Bucket::Well, &one), Readiness::Degraded { why } if why.contains("3 partitions")));
        let (told, now) = watch::channel(Readiness::Stopping);
        tell(&told, Readiness::Ready);
        assert_eq!(*now.borrow(), Readiness::Stopping);
    }
}
