//! Members that go: by their own will, because their time ran out, or because somebody took them out.

use std::sync::Arc;

use stratalog_protocol::messages::JoinGroupResponse;

use super::group::ConsumerGroup;
use super::member::Member;
use super::migration;
use super::planted::{Bug, planted};
use super::presence::Presence;
use super::subscribe::names_hash;
use super::turn::Turn;
use crate::machine::{MigrationPolicy, Ticket};

/// The group became a classic one: its records are in the step. Once they are replayed its members' sessions are to be
/// started, and then a rebalance if one is called for.
#[derive(Debug, PartialEq)]
pub struct Downgrade {
    /// Why the classic group has to rebalance at once; `None` if its members have what they should have.
    pub rebalance: Option<String>,
    /// A join that led to it, to be answered with the records.
    pub joined: Option<(Ticket, JoinGroupResponse)>,
}

impl ConsumerGroup {
    /// Takes members out, all that are named, in one batch of records.
    pub(super) fn fence(
        &self,
        presence: &mut Presence,
        turn: &mut Turn<'_>,
        member_ids: &[Arc<str>],
    ) -> Option<Downgrade> {
        let members: Vec<&Member> = member_ids.iter().filter_map(|id| self.members.get(id)).collect();
        if members.is_empty() {
            return None;
        }
        for member in &members {
            turn.step.replies.extend(presence.dismiss(&member.member_id));
        }
        turn.step.watching.push(self.group_id.clone());
        if self.is_downgrade(&members, turn)
            && let Ok(records) = migration::downgrade(self, &members, None, turn)
        {
            turn.step.records.extend(records);
            turn.step.replies.extend(presence.disband());
            let reason = format!("Downgrade group {} from consumer to classic for member leaving.", self.group_id);
            return Some(Downgrade { rebalance: Some(reason), joined: None });
        }
        for member in &members {
            turn.step.records.extend(self.member_tombstones(&member.member_id));
        }
        let mut regexes: Vec<&str> = members.iter().filter_map(|member| member.regex()).collect();
        regexes.sort_unstable();
        let mut gone: Vec<&str> = Vec::new();
        for run in regexes.chunk_by(|a, b| a == b) {
            if let Some(regex) = run.first()
                && self.regexes.get(*regex) == Some(&run.len())
            {
                turn.step.records.push(self.regex_tombstone(regex));
                gone.push(regex);
            }
        }
        let hash = names_hash(&self.names_after(&members, None, &gone), turn.view);
        let epoch = match () {
            () if planted(Bug::EpochNotBumped) => self.epoch,
            () if planted(Bug::EpochGoesBack) => self.epoch - 1,
            () => self.epoch.saturating_add(1),
        };
        turn.step.records.push(self.epoch_record(epoch, hash));
        if members.len() < self.members.len() {
            let interval_ms = turn.settings(&self.group_id).assignment_interval_ms;
            presence.assignment_due(self, interval_ms, turn.now_ms);
        }
        None
    }

    /// Whether only classic members are left without these, and may have the group.
    fn is_downgrade(&self, leaving: &[&Member], turn: &Turn<'_>) -> bool {
        let leaving_classic = leaving.iter().filter(|member| member.uses_classic_protocol()).count();
        let left = self.members.len() - leaving.len().min(self.members.len());
        left > 0
            && self.classic_members - leaving_classic.min(self.classic_members) == left
            && downgrade_enabled(turn.view.config.migration_policy)
            && i32::try_from(left).unwrap_or(i32::MAX) <= turn.view.config.max_size
    }

    /// Whether only classic members are left when a classic one takes the place of `replaced`.
    pub(super) fn is_downgrade_by_replacing(&self, replaced: &Member, turn: &Turn<'_>) -> bool {
        self.classic_members + 1 == self.members.len()
            && !replaced.uses_classic_protocol()
            && downgrade_enabled(turn.view.config.migration_policy)
            && i32::try_from(self.members.len()).unwrap_or(i32::MAX) <= turn.view.config.max_size
    }
}

fn downgrade_enabled(policy: MigrationPolicy) -> bool {
    matches!(policy, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
}
