//! One script of everything that a leader does, stopped or disturbed at each of its calls to the store in turn.
//!
//! After each disturbance the broker restarts, leads again, and must come to rest: every invariant holds, nothing
//! unreferenced is left, every acknowledged record is readable.

use std::sync::Arc;

use super::bucket::Fault;
use super::world::{G_MS, L_MS, OF, World};
use crate::cluster::ClusterClaim;
use crate::gc::topic::{PurgeProgress, TopicLife};
use crate::manifest::ManifestError;
use crate::manifest::session::lock;
use crate::object_key;

const FAULTS: [Fault; 5] = [Fault::CrashBefore, Fault::CrashAfter, Fault::LostAnswer, Fault::Late, Fault::Unavailable];

/// Start, uploads with two levels of spills, retention over segments and pages, replace, reap, sweep, eviction.
async fn script(world: &mut World) -> Result<(), ManifestError> {
    world.lead_again(0, true).await?;
    for _ in 0..11 {
        world.append(2, &[]);
        world.upload(0).await?;
    }
    world.evict(0);
    world.begin_reading(0);
    world.expire(0, 3).await?;
    world.expire(0, 9).await?;
    world.brokers[0].manifest.spill().await?;
    world.delete_records(0, 11, &[]);
    world.append(2, &[]);
    world.upload(0).await?;
    world.check();
    world.pass(G_MS);
    world.brokers[0].manifest.reap(3).await?;
    world.brokers[0].manifest.reap(100).await?;
    replace(world).await?;
    world.brokers[0].manifest.sweep(true).await?;
    world.brokers[0].manifest.sweep(false).await?;
    world.retain(0, 500).await?;
    world.expire(0, 20).await?;
    world.pass(G_MS);
    world.brokers[0].manifest.reap(100).await?;
    Ok(())
}

/// Rewrites the newest two segments of the head as one.
async fn replace(world: &World) -> Result<(), ManifestError> {
    let manifest = &world.brokers[0].manifest;
    let view = manifest.snapshot();
    let entries = view.head().map(|head| head.entries.clone()).unwrap_or_default();
    let [.., one, two] = entries.as_slice() else { return Ok(()) };
    let objects = world.bucket.objects();
    let body: Vec<u8> = [one, two].iter().flat_map(|entry| objects[&OF.segment_of(entry)].0.to_vec()).collect();
    let upload = manifest.begin_upload(one.base_offset).await?;
    let entry = crate::entry::Entry {
        end_offset: two.end_offset,
        uuid: upload.name().uuid,
        leader_epoch: upload.name().leader_epoch,
        object_bytes: body.len() as u64,
        raw_bytes: one.raw_bytes + two.raw_bytes,
        max_timestamp: two.max_timestamp,
        generation: 1,
        ..one.clone()
    };
    if world.put(0, &upload.key(), body.into()).await {
        manifest.replace(&upload, &[one.clone(), two.clone()], entry).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_script_alone_is_sound() {
    let mut world = World::new(1);
    world.epoch = 1;
    script(&mut world).await.unwrap();
    let calls = world.brokers[0].store.calls();
    assert!(calls > 60, "the script makes {calls} calls");
    let journal = world.brokers[0].store.journal();
    let pages = journal.iter().filter(|call| call.contains("create") && call.contains(".page")).count();
    assert!(pages > 5, "{pages} pages, none of a second level");
    world.settle().await;
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_leader_survives_every_fault_at_every_call() {
    let mut histories = 0;
    for fault in FAULTS {
        for call in 0.. {
            let mut world = World::new(1);
            world.epoch = 1;
            world.brokers[0].store.fault_at(call, fault);
            let outcome = script(&mut world).await;
            let ended = world.brokers[0].store.calls() <= call;
            if outcome.is_ok() && ended {
                break;
            }
            world.check();
            // What is late lands before the restart, or long after.
            if call % 2 == 0 {
                world.bucket.land_all();
            }
            world.settle().await;
            assert_eq!(world.violations(), Vec::<String>::new(), "{fault:?} at call {call}: {outcome:?}");
            histories += 1;
        }
    }
    assert!(histories > 300, "only {histories} histories");
}

/// Delete, undelete, delete, purge of a topic with two tiered partitions' worth of objects.
async fn topic_script(world: &World, life: &TopicLife) -> Result<bool, crate::gc::topic::TopicError> {
    life.create(OF.topic_id, "orders", 1).await?;
    let first = life.delete(OF.topic_id, "orders", 1).await?;
    lock(&world.truth).deletions = 1;
    life.undelete(&first).await?;
    let second = life.delete(OF.topic_id, "orders", 1).await?;
    lock(&world.truth).deletions = 2;
    lock(&world.truth).purge_of = Some(2);
    let mut purge = life.purge(&second).await?;
    finish(world, &mut purge).await
}

async fn finish(world: &World, purge: &mut crate::gc::topic::Purge) -> Result<bool, crate::gc::topic::TopicError> {
    for _ in 0..40 {
        match purge.step(3).await? {
            PurgeProgress::Done { .. } => return Ok(true),
            PurgeProgress::More { .. } => {}
            PurgeProgress::Waiting { remaining, .. } => {
                assert!(remaining <= std::time::Duration::from_millis(L_MS));
                world.pass(L_MS / 2);
            }
        }
    }
    Ok(false)
}

async fn purge_with(fault: Option<(u64, Fault)>) -> u64 {
    let mut world = World::new(2);
    world.lead(0, true).await.unwrap();
    world.append(16, &[]);
    world.upload_all(0).await;
    let store = Arc::clone(&world.brokers[1].store);
    if let Some((call, fault)) = fault {
        store.fault_at(call, fault);
    }
    let outcome = topic_script(&world, &world.life(&store)).await;
    let calls = store.calls();
    if !matches!(outcome, Ok(true)) {
        // A new process finds out how far it came, and what was late arrives before L is over.
        store.clear_faults();
        world.restart(1);
        let life = world.life(&world.brokers[1].store);
        world.bucket.land_all();
        let marker = life.read(OF.topic_id).await.unwrap();
        if marker.is_some() {
            let deletion = life.delete(OF.topic_id, "orders", 1).await.unwrap();
            {
                let mut truth = lock(&world.truth);
                truth.deletions = 3;
                truth.purge_of = Some(3);
            }
            let resumed = life.resume_purge(OF.topic_id).await.unwrap();
            let mut purge = match resumed {
                Some(purge) => purge,
                None => life.purge(&deletion).await.unwrap(),
            };
            assert!(finish(&world, &mut purge).await.unwrap());
        }
    }
    let left = world.bucket.objects();
    let left: Vec<_> = left.keys().filter(|key| key.starts_with(&object_key::topic_prefix(OF.topic_id))).collect();
    // Before the first marker was written there is nothing to resume.
    if !left.iter().all(|key| key.ends_with("/head") || key.ends_with(".seg") || key.ends_with(".page"))
        || (!left.is_empty() && fault.is_none_or(|(call, _)| call > 1))
    {
        panic!("{fault:?}: {outcome:?} left {left:?}");
    }
    assert_eq!(world.violations(), Vec::<String>::new(), "{fault:?}");
    calls
}

#[tokio::test]
async fn a_topic_goes_whatever_happens_on_the_way() {
    let calls = purge_with(None).await;
    assert!(calls > 20, "{calls} calls");
    for fault in FAULTS {
        for call in 0..calls {
            purge_with(Some((call, fault))).await;
        }
    }
}

#[tokio::test]
async fn a_claim_and_a_take_over_survive_every_fault() {
    for fault in [None].into_iter().chain(FAULTS.map(Some)) {
        for call in 0..14 {
            let mut world = World::new(2);
            let claim = |world: &World, index: usize| {
                let (store, ambient) = (world.brokers[index].store.clone(), Arc::clone(&world.ambient));
                ClusterClaim::new(store, ambient, "one".to_owned(), format!("node {index}"), world.retry())
            };
            let first = claim(&world, 0).claim(None).await.unwrap();
            assert_eq!(claim(&world, 0).claim(Some(first.owner_epoch)).await.unwrap(), first);
            world.lead(0, true).await.unwrap();
            world.append(8, &[1]);
            world.upload_all(0).await;
            if let Some(fault) = fault {
                world.brokers[1].store.fault_at(call, fault);
            }
            let taken = async {
                let taken = claim(&world, 1).take_over().await?;
                claim(&world, 1).fence(&taken).await.map(|fenced| (taken, fenced))
            };
            let mut taken = taken.await;
            if taken.is_err() {
                world.restart(1);
                let again = claim(&world, 1).take_over().await.unwrap();
                taken = claim(&world, 1).fence(&again).await.map(|fenced| (again, fenced));
            }
            let (owner, fenced) = taken.unwrap();
            world.brokers[1].store.clear_faults();
            world.bucket.land_all();
            lock(&world.truth).fenced_owner = owner.owner_epoch;
            assert_eq!(fenced.len(), 1, "{fault:?} at {call}");
            let old = claim(&world, 0).claim(Some(first.owner_epoch)).await.unwrap_err();
            assert!(old.to_string().contains("taken over"), "{old}");
            world.append(2, &[1]);
            let refused = world.upload(0).await.unwrap_err();
            assert!(!refused.is_retriable(), "{refused}");
            world.owner_epoch = owner.owner_epoch;
            world.lead(1, true).await.unwrap();
            world.upload_all(1).await;
            world.settle().await;
            assert_eq!(world.violations(), Vec::<String>::new(), "{fault:?} at {call}");
        }
    }
}
