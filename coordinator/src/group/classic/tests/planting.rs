//! Each planted bug is seen by the checker of histories; without it the same histories are sound.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::group::classic::planted::{Bug, plant};

use super::model::World;

/// The first seed whose history shows the bug, and how.
fn caught(bug: Bug) -> Option<(u64, String)> {
    let _planting = plant(Some(bug));
    (1..=40).find_map(|seed| {
        let mut world = World::new(seed);
        let ended = catch_unwind(AssertUnwindSafe(|| world.run(6_000)));
        match (ended, world.violations.first()) {
            (_, Some(violation)) => Some((seed, violation.clone())),
            (Err(panic), None) => {
                let text = panic.downcast_ref::<String>().cloned();
                Some((seed, text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))?))
            }
            (Ok(()), None) => None,
        }
    })
}

macro_rules! planted {
    ($($name:ident $bug:ident $by:literal;)*) => {
        $(#[test]
        fn $name() {
            let (seed, how) = caught(Bug::$bug).expect("no history shows it");
            println!("seed {seed}: {how}");
            assert!(how.contains($by), "caught by something else: {how}");
        })*
    };
}

planted! {
    a_generation_that_is_not_bumped GenerationNotBumped "";
    a_heartbeat_of_an_old_generation StaleHeartbeat "stale heartbeat";
    a_sync_of_an_old_generation StaleSync "";
    a_commit_of_an_old_generation StaleCommit "stale commit";
    a_static_member_that_is_not_fenced StaticNotFenced "";
    a_member_that_never_expires MemberNeverExpired "";
    a_member_that_expires_while_it_waits WaitingMemberExpired "waited was dropped";
    a_join_that_is_never_answered LostJoinAnswer "";
    a_session_that_a_sync_lost SessionLostOnSync "can never expire";
    a_lead_that_a_replacement_lost LeadLostOnReplace "not there";
    sessions_that_a_load_lost NoSessionAfterLoad "can never expire";
    an_assignment_shown_before_it_is_committed AssignmentBeforeCommit "";
    a_failed_append_that_stands FailedAppendStands "";
    a_sync_that_is_owed_for_ever SyncOwedForEver "not settled";
    a_missing_member_that_is_counted_in MissingKept "has not joined";
}
