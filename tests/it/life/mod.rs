//! Years of one partition in a minute: random histories of a whole broker against plain maps.
//!
//! Appends, reads from any offset and time, rolls, retention by time and by size, compaction, DeleteRecords, uploads,
//! evictions, clean stops, crashes, and power cuts that take what was not synced. `LIFE_STEPS` sets the length (a million
//! and more for the long form), `LIFE_SEED` the seed, which is printed; with `LIFE_KIND`, printed beside it,
//! one life is lived again alone.

mod model;
mod world;

use crate::log::crash_disk::Dice;
use world::{Kind, World};

const STEPS_PER_LIFE: u64 = 250;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn live(steps: u64) {
    let random = u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().unwrap());
    let seed = number("LIFE_SEED").unwrap_or(random) | 1;
    println!("LIFE_SEED={seed} LIFE_STEPS={steps}");
    let mut dice = Dice(seed);
    let (mut done, mut lives) = (0, 0);
    while done < steps {
        let asked = std::env::var("LIFE_KIND").ok();
        let kind = match Kind::ALL.iter().find(|kind| asked.as_ref().is_some_and(|asked| *asked == format!("{kind:?}")))
        {
            Some(asked) => *asked,
            None => Kind::ALL[lives % Kind::ALL.len()],
        };
        // Each life has its own seed, so that one that fails can be lived again alone.
        let own = if lives == 0 { seed } else { dice.below(u64::MAX) | 1 };
        println!("life {lives}: {kind:?}, LIFE_SEED={own}");
        let mut world = World::new(kind, own);
        for _ in 0..STEPS_PER_LIFE {
            world.step();
        }
        world.end();
        done += STEPS_PER_LIFE;
        lives += 1;
    }
}

#[test]
fn a_partition_lives_as_its_model_says() {
    live(number("LIFE_STEPS").unwrap_or(2_000));
}
