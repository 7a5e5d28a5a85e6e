//! One scenario per planted bug: with the bug the checker reports a violation, without it none.

use std::sync::Arc;

use stratalog_types::Offset;

use super::bucket::Fault;
use super::world::{G_MS, L_MS, OF, World};
use crate::cluster::ClusterClaim;
use crate::gc::topic::{PurgeProgress, TopicError};
use crate::manifest::session::lock;
use crate::object_key;
use crate::planted::{Bug, plant, planted};
use crate::recovery::Started;
use crate::store::Store;

/// Runs `scenario` sound and with `bug`; the second must be caught, and by an invariant whose text has `by`.
async fn caught<F: Future<Output = World>>(bug: Bug, by: &str, scenario: impl Fn() -> F) {
    let sound = scenario().await.violations();
    assert_eq!(sound, Vec::<String>::new(), "without {bug:?}");
    let _planting = plant(Some(bug));
    let found = scenario().await.violations();
    assert!(found.iter().any(|violation| violation.contains(by)), "{bug:?} was not caught by {by}: {found:?}");
}

/// Two replicas in sync, broker 0 leads, `segments` of two records each are tiered.
async fn tiered(segments: usize) -> World {
    let mut world = World::new(2);
    world.lead(0, true).await.unwrap();
    world.append(segments * 2, &[1]);
    for _ in 0..segments {
        assert!(world.upload(0).await.unwrap());
    }
    world
}

/// Broker 0 stays behind as a zombie with a stored object, broker 1 leads and tiers.
async fn zombie_commits() -> World {
    let mut world = tiered(1).await;
    world.append(8, &[1]);
    let stored = world.store_segment(0).await.unwrap().unwrap();
    world.lead(1, true).await.unwrap();
    world.upload(1).await.unwrap();
    let _ = world.commit(0, &stored).await;
    let _ = world.upload(0).await;
    let _ = world.upload(0).await;
    world.settle().await;
    world
}

#[tokio::test]
async fn no_token_compare() {
    caught(Bug::NoTokenCompare, "I5", zombie_commits).await;
}

#[tokio::test]
async fn put_without_if_match() {
    caught(Bug::PutWithoutIfMatch, "I5", zombie_commits).await;
}

/// A commit held back by the network, given up by its broker; then a sweep; then it lands.
async fn late_commit_meets_sweep() -> World {
    let mut world = World::new(1);
    world.attempts_max = 1;
    world.restart(0);
    world.lead(0, true).await.unwrap();
    world.append(4, &[]);
    world.upload(0).await.unwrap();
    {
        let stored = world.store_segment(0).await.unwrap().unwrap();
        world.brokers[0].store.fault_next(Fault::Late);
        world.commit(0, &stored).await.unwrap_err();
    }
    world.brokers[0].manifest.sweep(false).await.unwrap();
    world.bucket.land_all();
    world.settle().await;
    world
}

#[tokio::test]
async fn sweep_without_fence() {
    caught(Bug::SweepWithoutFence, "I2", late_commit_meets_sweep).await;
}

#[tokio::test]
async fn no_version_and_no_nonce() {
    caught(Bug::SameBytes, "I2", late_commit_meets_sweep).await;
}

/// The commit in doubt lands after all.
async fn doubtful_commit_lands() -> World {
    let mut world = World::new(1);
    world.attempts_max = 1;
    world.restart(0);
    world.lead(0, true).await.unwrap();
    world.append(4, &[]);
    {
        let stored = world.store_segment(0).await.unwrap().unwrap();
        world.brokers[0].store.fault_next(Fault::Late);
        world.commit(0, &stored).await.unwrap_err();
    }
    world.bucket.land_all();
    world.settle().await;
    world
}

#[tokio::test]
async fn delete_own_upload_on_doubt() {
    caught(Bug::DeleteOnDoubt, "I2", doubtful_commit_lands).await;
}

#[tokio::test]
async fn unlink_before_commit() {
    caught(Bug::UnlinkBeforeCommit, "I1", || async {
        let world = tiered(0).await;
        let mut world = world;
        world.append(4, &[1]);
        let stored = world.store_segment(0).await.unwrap();
        world.check();
        drop(stored);
        world
    })
    .await;
}

#[tokio::test]
async fn sweeper_ignores_uploads_in_progress() {
    caught(Bug::SweeperIgnoresPending, "I2", || async {
        let mut world = tiered(1).await;
        world.append(4, &[1]);
        let stored = world.store_segment(0).await.unwrap().unwrap();
        world.brokers[0].manifest.sweep(false).await.unwrap();
        world.commit(0, &stored).await.unwrap();
        world.settle().await;
        world
    })
    .await;
}

#[tokio::test]
async fn sweeper_ignores_pages() {
    caught(Bug::SweeperIgnoresPages, "I2", || async {
        let mut world = tiered(9).await;
        world.brokers[0].manifest.sweep(false).await.unwrap();
        world.settle().await;
        world
    })
    .await;
}

/// The new leader stores a segment; the old one, who does not know yet, sweeps; the new one commits.
#[tokio::test]
async fn upload_before_bump() {
    caught(Bug::UploadBeforeBump, "I2", || async {
        let mut world = tiered(1).await;
        world.append(4, &[1]);
        if planted(Bug::UploadBeforeBump) {
            let stored = world.store_range(1, 2, 6).await.unwrap().unwrap();
            world.brokers[0].manifest.sweep(false).await.unwrap();
            world.lead(1, true).await.unwrap();
            world.commit(1, &stored).await.unwrap();
        } else {
            world.store_range(1, 2, 6).await.map(|_| ()).unwrap_err();
            world.lead(1, true).await.unwrap();
            let stored = world.store_range(1, 2, 6).await.unwrap().unwrap();
            world.brokers[0].manifest.sweep(false).await.unwrap_err();
            world.commit(1, &stored).await.unwrap();
        }
        world.settle().await;
        world
    })
    .await;
}

#[tokio::test]
async fn a_name_used_twice() {
    caught(Bug::NameReuse, "I2", || async {
        let mut world = World::new(1);
        world.attempts_max = 1;
        world.restart(0);
        world.lead(0, true).await.unwrap();
        world.append(6, &[]);
        let first = world.store_range(0, 0, 2).await.unwrap().unwrap();
        world.brokers[0].store.fault_next(Fault::Late);
        world.commit(0, &first).await.unwrap_err();
        drop(first);
        let second = world.store_range(0, 0, 4).await.unwrap().unwrap();
        world.bucket.land_all();
        let _ = world.commit(0, &second).await;
        drop(second);
        world.settle().await;
        world
    })
    .await;
}

#[tokio::test]
async fn commit_of_an_unverified_object() {
    caught(Bug::CommitUnverified, "I2", || async {
        let mut world = tiered(1).await;
        world.append(2, &[1]);
        world.brokers[0].store.damage_next_put();
        while !world.upload(0).await.unwrap() {}
        world.settle().await;
        world
    })
    .await;
}

/// A retention commit lands long after it was sent; a reader has begun meanwhile.
#[tokio::test]
async fn grace_from_deleted_at() {
    caught(Bug::GraceFromDeletedAt, "I3", || async {
        let mut world = World::new(1);
        world.attempts_max = 1;
        world.restart(0);
        world.lead(0, true).await.unwrap();
        world.append(6, &[]);
        world.upload_all(0).await;
        world.brokers[0].store.fault_next(Fault::Late);
        world.expire(0, 2).await.unwrap_err();
        world.pass(G_MS + 1);
        world.begin_reading(0);
        world.bucket.land_all();
        // Loses its first attempt to the commit that landed, and thereby learns of the mark.
        world.brokers[0].manifest.sweep(false).await.unwrap_err();
        world.brokers[0].manifest.reap(10).await.unwrap();
        world.settle().await;
        world
    })
    .await;
}

#[tokio::test]
async fn no_grace() {
    caught(Bug::NoGrace, "I3", || async {
        let mut world = tiered(3).await;
        world.begin_reading(0);
        world.expire(0, 2).await.unwrap();
        world.brokers[0].manifest.reap(10).await.unwrap();
        world.settle().await;
        world
    })
    .await;
}

#[tokio::test]
async fn a_page_deleted_at_once() {
    caught(Bug::PageDeletedAtOnce, "I3", || async {
        let mut world = tiered(8).await;
        world.begin_reading(0);
        world.expire(0, 14).await.unwrap();
        world.settle().await;
        world
    })
    .await;
}

#[tokio::test]
async fn a_page_committed_before_it_is_stored() {
    caught(Bug::PageCommittedBeforePut, "I2", || async {
        let mut world = tiered(8).await;
        world.settle().await;
        world
    })
    .await;
}

/// History was evicted, the process restarts: its files begin late, the log did not.
#[tokio::test]
async fn log_start_from_files() {
    caught(Bug::LogStartFromFiles, "I11", || async {
        let mut world = tiered(3).await;
        world.evict(0);
        world.append(2, &[1]);
        world.restart(0);
        world.lead(0, true).await.unwrap();
        world.upload(0).await.unwrap();
        world.settle().await;
        world
    })
    .await;
}

/// The log start is exposed, the copy cannot be saved, the process dies, the bucket is away.
#[tokio::test]
async fn no_log_start_checkpoint() {
    caught(Bug::NoLogStartCheckpoint, "I10", || async {
        let mut world = tiered(3).await;
        let in_the_way = lock(&world.brokers[0].disk).directory.path().join("tier-manifest.tmp");
        std::fs::create_dir(&in_the_way).unwrap();
        world.expire(0, 4).await.unwrap();
        std::fs::remove_dir(&in_the_way).unwrap();
        world.restart(0);
        world.settle().await;
        world
    })
    .await;
}

#[tokio::test]
async fn tier_above_what_is_committed() {
    caught(Bug::TierAboveCommitted, "I4", || async {
        let mut world = tiered(1).await;
        world.append_as(0, 4, &[]);
        let _ = world.upload(0).await;
        world
    })
    .await;
}

/// Broker 1 fell out of sync and is elected all the same, with a log that ends below the tier.
#[tokio::test]
async fn unclean_append_before_the_fence() {
    caught(Bug::UncleanAppendOnCopy, "I1", || async {
        let mut world = tiered(1).await;
        world.append(4, &[]);
        world.upload_all(0).await;
        world.leader = 1;
        if planted(Bug::UncleanAppendOnCopy) {
            world.brokers[1].leader_epoch = world.epoch + 1;
            world.append(2, &[]);
        }
        let started = world.lead(1, false).await.unwrap();
        assert!(matches!(started, Started::ReconcileNeeded(_)));
        world.append(2, &[]);
        world.settle().await;
        world
    })
    .await;
}

/// The old leader's commit lands between the new leader's read of the head and its fence.
#[tokio::test]
async fn reconcile_against_an_unfenced_head() {
    caught(Bug::ReconcileUnfenced, "I1", || async {
        let mut world = World::new(2);
        world.attempts_max = 1;
        world.restart(0);
        world.lead(0, true).await.unwrap();
        world.append(2, &[1]);
        world.upload(0).await.unwrap();
        world.append(2, &[]);
        let stored = world.store_segment(0).await.unwrap().unwrap();
        world.brokers[0].store.fault_next(Fault::Late);
        world.commit(0, &stored).await.unwrap_err();
        let (bucket, store) = (Arc::clone(&world.bucket), Arc::clone(&world.brokers[1].store));
        store.before_call(store.calls() + 1, move || bucket.land_all());
        world.lead(1, false).await.unwrap();
        world.append(2, &[]);
        world.settle().await;
        world
    })
    .await;
}

/// The answer is lost and the request never arrives; the broker evicts what it believes tiered.
#[tokio::test]
async fn a_lost_answer_trusted() {
    caught(Bug::TrustLostAnswer, "I1", || async {
        let mut world = tiered(1).await;
        world.append(2, &[1]);
        let stored = world.store_segment(0).await.unwrap().unwrap();
        world.brokers[0].store.fault_next(Fault::Late);
        let _ = world.commit(0, &stored).await;
        world.bucket.forget_late();
        world.evict(0);
        world.check();
        world
    })
    .await;
}

#[tokio::test]
async fn base_is_the_first_local_offset() {
    caught(Bug::BaseIsFirstLocal, "stuck", || async {
        let mut world = tiered(1).await;
        world.append(6, &[1]);
        world.lead(1, true).await.unwrap();
        let uploaded = world.upload(1).await;
        if let Err(error) = uploaded {
            lock(&world.truth).violate(format!("upload stuck: {error}"));
        }
        world
    })
    .await;
}

#[tokio::test]
async fn a_head_created_over_a_lost_one() {
    caught(Bug::CreateOverMissingHead, "I2 a head was created", || async {
        let mut world = tiered(2).await;
        world.bucket.remove(&OF.head());
        world.restart(0);
        let _ = world.lead(0, true).await;
        world
    })
    .await;
}

fn claim_of(world: &World, index: usize) -> ClusterClaim {
    let (store, ambient) = (world.brokers[index].store.clone(), Arc::clone(&world.ambient));
    ClusterClaim::new(store, ambient, "one".to_owned(), format!("node {index}"), world.retry())
}

/// Broker 1 restores the bucket for itself while a commit of broker 0 is under way.
#[tokio::test]
async fn restore_without_fencing_the_heads() {
    caught(Bug::RestoreWithoutHeadFence, "I", || async {
        let mut world = World::new(2);
        world.attempts_max = 1;
        world.restart(0);
        claim_of(&world, 0).claim(None).await.unwrap();
        world.lead(0, true).await.unwrap();
        world.append(2, &[1]);
        world.upload(0).await.unwrap();
        world.append(2, &[]);
        let stored = world.store_segment(0).await.unwrap().unwrap();
        world.brokers[0].store.fault_next(Fault::Late);
        world.commit(0, &stored).await.unwrap_err();
        // What only the old owner acknowledged is not part of the cut.
        lock(&world.truth).acked.split_off(&2);
        let claim = claim_of(&world, 1).take_over().await.unwrap();
        assert_eq!(claim.owner_epoch, 2);
        let fenced = claim_of(&world, 1).fence(&claim).await.unwrap();
        lock(&world.truth).fenced_owner = 2;
        assert_eq!(fenced.first().unwrap().next_offset, Offset(2));
        world.owner_epoch = 2;
        world.bucket.land_all();
        world.lead(1, true).await.unwrap();
        world.append(2, &[]);
        world.settle().await;
        world
    })
    .await;
}

/// The old owner, with a high leader epoch, begins a session after the take-over.
#[tokio::test]
async fn a_token_without_the_owner() {
    caught(Bug::TokenWithoutOwner, "I8", || async {
        let mut world = tiered(1).await;
        world.epoch = 5;
        let claim = claim_of(&world, 1).take_over().await.unwrap();
        let claim = crate::cluster::Claim { owner_epoch: claim.owner_epoch + 1, ..claim };
        claim_of(&world, 1).fence(&claim).await.unwrap();
        lock(&world.truth).fenced_owner = claim.owner_epoch;
        world.owner_epoch = claim.owner_epoch;
        world.lead(1, true).await.unwrap();
        world.owner_epoch = 1;
        world.epoch = 9;
        let _ = world.lead_again(0, true).await;
        world.leader = 1;
        world
    })
    .await;
}

#[tokio::test]
async fn a_purge_without_a_claim() {
    caught(Bug::PurgeWithoutCas, "I", || async {
        let world = tiered(2).await;
        let life = world.life(&world.brokers[1].store);
        life.create(OF.topic_id, "orders", 1).await.unwrap();
        let deletion = life.delete(OF.topic_id, "orders", 1).await.unwrap();
        lock(&world.truth).deletions = 1;
        let undone = {
            lock(&world.truth).purge_of = Some(1);
            let mut purge = life.purge(&deletion).await.unwrap();
            let undone = life.undelete(&deletion).await;
            let _ = purge.step(100).await;
            undone
        };
        if !planted(Bug::PurgeWithoutCas) {
            assert!(matches!(undone, Err(TopicError::Purging { .. })));
        }
        world
    })
    .await;
}

#[tokio::test]
async fn a_marker_dropped_early() {
    caught(Bug::MarkerDroppedEarly, "I9", || async {
        let mut world = tiered(2).await;
        world.append(2, &[1]);
        let life = world.life(&world.brokers[1].store);
        life.create(OF.topic_id, "orders", 1).await.unwrap();
        world.brokers[0].store.fault_next(Fault::Late);
        assert!(world.store_segment(0).await.unwrap().is_none());
        let deletion = life.delete(OF.topic_id, "orders", 1).await.unwrap();
        lock(&world.truth).deletions = 1;
        lock(&world.truth).purge_of = Some(1);
        let mut purge = life.purge(&deletion).await.unwrap();
        while let PurgeProgress::More { .. } = purge.step(100).await.unwrap() {}
        world.pass(L_MS / 2);
        world.bucket.land_all();
        while let PurgeProgress::More { .. } = purge.step(100).await.unwrap() {}
        world.pass(L_MS / 2 + 1);
        while let PurgeProgress::More { .. } = purge.step(100).await.unwrap() {}
        let left = world.bucket.objects();
        if left.keys().any(|key| key.starts_with(&object_key::topic_prefix(OF.topic_id))) {
            lock(&world.truth).violate("I9 something of the topic is left");
        }
        world
    })
    .await;
}

/// A purge's claim is held back; the deletion is undone and the topic deleted again; the claim lands.
#[tokio::test]
async fn a_marker_without_a_nonce() {
    caught(Bug::MarkerWithoutNonce, "I12", || async {
        let mut world = tiered(1).await;
        world.attempts_max = 1;
        let life = world.life(&world.brokers[1].store);
        life.create(OF.topic_id, "orders", 1).await.unwrap();
        let deletion = life.delete(OF.topic_id, "orders", 1).await.unwrap();
        lock(&world.truth).deletions = 1;
        lock(&world.truth).purge_of = Some(1);
        let store = &world.brokers[1].store;
        store.fault_at(store.calls() + 1, Fault::Late);
        assert!(life.purge(&deletion).await.is_err());
        life.undelete(&deletion).await.unwrap();
        life.delete(OF.topic_id, "orders", 1).await.unwrap();
        lock(&world.truth).deletions = 2;
        world.bucket.land_all();
        world
    })
    .await;
}

/// What the tests rest on: a bucket that gives equal tags to equal bytes.
#[tokio::test]
async fn equal_bytes_have_equal_tags() {
    let world = World::new(1);
    let store = &world.brokers[0].store;
    let one = store.put_create("v1/a", "x".into(), crate::store::Purpose::Admin).await.unwrap();
    let two = store.put_create("v1/b", "x".into(), crate::store::Purpose::Admin).await.unwrap();
    assert_eq!(one, two);
}
