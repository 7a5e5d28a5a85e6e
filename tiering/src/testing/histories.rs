//! Random histories of two brokers, faults included. Each prints its seed; `STRATALOG_TEST_SEED` repeats one and
//! `STRATALOG_TEST_HISTORIES` says how many.

use super::bucket::Fault;
use super::world::{G_MS, World};
use crate::manifest::session::lock;
use crate::planted::{Bug, plant};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn history(seed: u64, steps: usize) -> Vec<String> {
    let mut dice = Dice(seed);
    let mut world = World::new(2);
    world.attempts_max = 1 + dice.roll(3) as u32;
    world.restart(0);
    world.restart(1);
    let _ = world.lead(0, true).await;
    for _ in 0..steps {
        step(&mut world, &mut dice).await;
        world.check();
        if !world.violations().is_empty() {
            return world.violations();
        }
    }
    world.settle().await;
    world.violations()
}

async fn step(world: &mut World, dice: &mut Dice) {
    let leader = world.leader;
    let other = 1 - leader;
    // Mostly the leader acts; sometimes the one that does not know that it was deposed.
    let actor = if dice.roll(5) == 0 { other } else { leader };
    if dice.roll(6) == 0 {
        let faults = [Fault::LostAnswer, Fault::Late, Fault::Unavailable, Fault::CrashBefore, Fault::CrashAfter];
        let store = &world.brokers[actor].store;
        store.fault_at(store.calls() + dice.roll(6), faults[dice.roll(5) as usize]);
    }
    let manifest = world.brokers[actor].manifest.clone();
    match dice.roll(16) {
        0..=2 => world.append(1 + dice.roll(4) as usize, &[other]),
        3..=5 => drop(world.upload(actor).await),
        6 => {
            let start = lock(&world.truth).ordered_start;
            let end = manifest.snapshot().next_offset().get();
            if actor == leader && dice.roll(2) == 0 {
                let _ = world.retain(actor, 100 * dice.roll(30)).await;
            } else if actor == leader && end > start {
                let _ = world.expire(actor, start + dice.roll((end - start) as u64 + 1) as i64).await;
            }
        }
        7 => {
            let start = lock(&world.truth).ordered_start;
            let end = world.committed_end();
            if end > start && dice.roll(3) == 0 {
                let target = start + dice.roll((end - start) as u64 + 1) as i64;
                world.delete_records(leader, target, &[other]);
            }
        }
        8 => {
            let _ = manifest.reap(1 + dice.roll(6)).await;
        }
        9 => {
            let _ = manifest.sweep(dice.roll(4) == 0).await;
        }
        10 => {
            let _ = manifest.spill().await;
        }
        11 => world.pass(dice.roll(G_MS)),
        12 => {
            world.begin_reading(leader);
            world.evict(leader);
        }
        13 if dice.roll(2) == 0 => {
            let new = if dice.roll(2) == 0 { other } else { leader };
            if world.brokers[new].store.is_dead() {
                world.restart(new);
            }
            let _ = world.lead(new, true).await;
        }
        14 => {
            let late = world.bucket.late().len() as u64;
            if late > 0 {
                world.bucket.land(dice.roll(late) as usize);
            }
        }
        _ => {
            if world.brokers[leader].store.is_dead() {
                world.restart(leader);
                let _ = world.lead(leader, true).await;
            }
        }
    }
}

#[tokio::test]
async fn random_histories_are_sound() {
    if let Some(seed) = number("STRATALOG_TEST_SEED") {
        assert_eq!(history(seed, 80).await, Vec::<String>::new(), "seed {seed}");
        return;
    }
    let first = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("first seed {first}");
    for seed in (0..number("STRATALOG_TEST_HISTORIES").unwrap_or(150)).map(|run| first.wrapping_add(run)) {
        assert_eq!(history(seed, 80).await, Vec::<String>::new(), "seed {seed}");
    }
}

/// The walk is not blind: it finds these bugs by itself, always by the same seeds.
#[tokio::test]
async fn random_histories_find_bugs() {
    for bug in [Bug::NoGrace, Bug::SweeperIgnoresPages, Bug::PageDeletedAtOnce, Bug::PutWithoutIfMatch] {
        let _planting = plant(Some(bug));
        let mut found = false;
        for seed in 0..120 {
            if !history(seed, 80).await.is_empty() {
                found = true;
                break;
            }
        }
        assert!(found, "{bug:?} was not found in 120 histories");
    }
}
