//! A member of a classic consumer group: joins, shares out if it leads, beats, commits, leaves. Eager: while the group
//! rebalances it owns nothing.
//!
//! It has no task of its own. Whoever owns it calls [`GroupMember::heartbeat`] between two fetches; one who stays away
//! longer than the session timeout is taken for dead, and its partitions go to others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::join_group::JoinGroupRequestProtocol;
use stratalog_protocol::messages::sync_group::SyncGroupRequestAssignment;
use stratalog_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
    SyncGroupResponse,
};
use tokio::time::Instant;

use super::offsets::{Committer, NewOffset};
use super::protocol::{
    Subscriber, assign_range, read_assignment, read_subscription, write_assignment, write_subscription,
};
use super::{Client, Error, TopicPartitions};
use crate::net::client::RETRY_PAUSE;

const PROTOCOL_TYPE: &str = "consumer";
const RANGE: &str = "range";

/// LeaveGroup of one member; several leave at a time since version 3.
const LEAVE_GROUP_VERSION_MAX: i16 = 2;
/// Who leaves does not wait long for a broker that does not answer: the session timeout does the same.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct MemberSettings {
    /// Silence after which the coordinator gives the member up.
    pub session_timeout: Duration,
    /// How long the coordinator waits for a member to rejoin.
    pub rebalance_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// How often the leader looks whether partitions were added.
    pub metadata_age_max: Duration,
}

impl Default for MemberSettings {
    fn default() -> MemberSettings {
        MemberSettings {
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(3),
            metadata_age_max: Duration::from_secs(60),
        }
    }
}

/// Whether what was assigned still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    Stable,
    /// The group shares out anew: commit, then join again.
    Rebalancing,
    /// Others own the partitions by now: a commit is refused. Join again.
    Lost,
}

#[derive(Debug)]
pub struct GroupMember {
    group: String,
    topics: Vec<String>,
    settings: MemberSettings,
    /// Empty before the first join.
    member_id: String,
    /// -1 outside of a generation.
    generation: i32,
    next_heartbeat: Instant,
    led: Option<Led>,
}

/// What the leader shared out.
#[derive(Debug)]
struct Led {
    topics: Vec<String>,
    partitions: BTreeMap<String, Vec<i32>>,
    look_again: Instant,
}

/// A round of joining ended without an assignment.
enum Round {
    Again,
    Assigned(TopicPartitions),
}

impl GroupMember {
    pub fn new(group: &str, topics: &[String], settings: MemberSettings) -> GroupMember {
        GroupMember {
            group: group.to_owned(),
            topics: topics.to_vec(),
            settings,
            member_id: String::new(),
            generation: -1,
            next_heartbeat: Instant::now(),
            led: None,
        }
    }

    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Joins, or joins again, until there is an assignment. Takes as long as the others need to rejoin.
    pub async fn join(&mut self, client: &mut Client) -> Result<TopicPartitions, Error> {
        loop {
            if let Round::Assigned(assigned) = self.join_once(client).await? {
                self.next_heartbeat = Instant::now() + self.settings.heartbeat_interval;
                return Ok(assigned);
            }
        }
    }

    async fn join_once(&mut self, client: &mut Client) -> Result<Round, Error> {
        self.led = None;
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: millis(self.settings.session_timeout),
            rebalance_timeout_ms: millis(self.settings.rebalance_timeout),
            member_id: self.member_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: RANGE.to_owned(),
                metadata: write_subscription(&self.topics)?,
            }],
            ..Default::default()
        };
        let code = |response: &JoinGroupResponse| response.error_code;
        let wait = self.rebalance_wait(client);
        let joined = client.ask_coordinator_within(&self.group, &request, i16::MAX, wait, code).await?;
        if joined.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            self.member_id = joined.member_id;
            return Ok(Round::Again);
        }
        if self.refused(joined.error_code, "joining")? != Membership::Stable {
            tokio::time::sleep(RETRY_PAUSE).await;
            return Ok(Round::Again);
        }
        self.generation = joined.generation_id;
        self.member_id.clone_from(&joined.member_id);
        let leads = joined.leader == joined.member_id;
        let assignments = if leads { self.share_out(client, &joined).await? } else { Vec::new() };
        self.sync(client, assignments).await
    }

    /// The leader's work: who gets what.
    async fn share_out(
        &mut self,
        client: &mut Client,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, Error> {
        // A member whose subscription cannot be read gets nothing; it is not for us to fail for it.
        let subscriber = |member: &stratalog_protocol::messages::join_group::JoinGroupResponseMember| Subscriber {
            member_id: member.member_id.clone(),
            instance_id: member.group_instance_id.clone(),
            topics: read_subscription(member.metadata.clone()).unwrap_or_default(),
        };
        let subscribers: Vec<Subscriber> = joined.members.iter().map(subscriber).collect();
        let topics: BTreeSet<String> = subscribers.iter().flat_map(|of| of.topics.iter().cloned()).collect();
        let topics: Vec<String> = topics.into_iter().collect();
        let partitions = existing_partitions(client, &topics).await?;
        let assigned = assign_range(&subscribers, &partitions);
        let look_again = Instant::now() + self.settings.metadata_age_max;
        self.led = Some(Led { topics, partitions, look_again });
        let assignment = |(member_id, assigned): (String, TopicPartitions)| {
            Ok(SyncGroupRequestAssignment { member_id, assignment: write_assignment(&assigned)? })
        };
        assigned.into_iter().map(assignment).collect()
    }

    async fn sync(
        &mut self,
        client: &mut Client,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<Round, Error> {
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(RANGE.to_owned()),
            assignments,
            ..Default::default()
        };
        let code = |response: &SyncGroupResponse| response.error_code;
        let wait = self.rebalance_wait(client);
        let synced = client.ask_coordinator_within(&self.group, &request, i16::MAX, wait, code).await?;
        if self.refused(synced.error_code, "synchronizing with")? != Membership::Stable {
            tokio::time::sleep(RETRY_PAUSE).await;
            return Ok(Round::Again);
        }
        Ok(Round::Assigned(read_assignment(synced.assignment)?))
    }

    /// A join is answered when the last member has joined, or is given up.
    fn rebalance_wait(&self, client: &Client) -> Duration {
        self.settings.rebalance_timeout + client.config.request_timeout
    }

    /// Beats if it is time to.
    pub async fn heartbeat(&mut self, client: &mut Client) -> Result<Membership, Error> {
        if Instant::now() < self.next_heartbeat {
            return Ok(Membership::Stable);
        }
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            ..Default::default()
        };
        let code = |response: &HeartbeatResponse| response.error_code;
        let response = client.ask_coordinator(&self.group, &request, i16::MAX, code).await?;
        self.next_heartbeat = Instant::now() + self.settings.heartbeat_interval;
        match self.refused(response.error_code, "beating for")? {
            Membership::Stable if self.has_grown(client).await? => Ok(Membership::Rebalancing),
            membership => Ok(membership),
        }
    }

    /// Whether the leader has to share out anew: topics came, went or grew.
    async fn has_grown(&mut self, client: &mut Client) -> Result<bool, Error> {
        let Some(led) = self.led.as_mut().filter(|led| Instant::now() >= led.look_again) else { return Ok(false) };
        led.look_again = Instant::now() + self.settings.metadata_age_max;
        Ok(existing_partitions(client, &led.topics).await? != led.partitions)
    }

    /// Stores how far the owner has come. What is not stored because others own it by now is no error.
    pub async fn commit(&mut self, client: &mut Client, offsets: &[NewOffset]) -> Result<Membership, Error> {
        if offsets.is_empty() {
            return Ok(Membership::Stable);
        }
        let from = Committer { group: &self.group, generation: self.generation, member_id: &self.member_id };
        match client.commit_as(from, offsets).await {
            Ok(()) => Ok(Membership::Stable),
            Err(Error::Broker { code, what, message }) => match self.membership(code) {
                Some(membership) => Ok(membership),
                None => Err(Error::Broker { code, what, message }),
            },
            Err(error) => Err(error),
        }
    }

    /// Leaves, so that the others need not wait for the session to end.
    pub async fn leave(&mut self, client: &mut Client) -> Result<(), Error> {
        if self.member_id.is_empty() {
            return Ok(());
        }
        let request = LeaveGroupRequest {
            group_id: self.group.clone(),
            member_id: std::mem::take(&mut self.member_id),
            ..Default::default()
        };
        self.generation = -1;
        let code = |response: &stratalog_protocol::messages::LeaveGroupResponse| response.error_code;
        let response =
            client.ask_coordinator_within(&self.group, &request, LEAVE_GROUP_VERSION_MAX, LEAVE_TIMEOUT, code).await?;
        Error::group(response.error_code, &self.group, "leaving")
    }

    fn refused(&mut self, code: ErrorCode, doing: &str) -> Result<Membership, Error> {
        if code.is_none() {
            return Ok(Membership::Stable);
        }
        match self.membership(code) {
            Some(membership) => Ok(membership),
            None => Error::group(code, &self.group, doing).map(|()| Membership::Stable),
        }
    }

    /// What a refusal says of the membership; `None` for those that say something else.
    fn membership(&mut self, code: ErrorCode) -> Option<Membership> {
        match code {
            ErrorCode::REBALANCE_IN_PROGRESS => Some(Membership::Rebalancing),
            ErrorCode::ILLEGAL_GENERATION => {
                self.generation = -1;
                Some(Membership::Lost)
            }
            ErrorCode::UNKNOWN_MEMBER_ID => {
                self.generation = -1;
                self.member_id.clear();
                Some(Membership::Lost)
            }
            _ => None,
        }
    }
}

/// The partitions of those topics that exist.
async fn existing_partitions(client: &mut Client, topics: &[String]) -> Result<BTreeMap<String, Vec<i32>>, Error> {
    let response = client.metadata_response(Some(topics), false).await?;
    let mut partitions = BTreeMap::new();
    for topic in response.topics {
        let mut indexes: Vec<i32> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        indexes.sort_unstable();
        if let (Some(name), false) = (topic.name, indexes.is_empty()) {
            partitions.insert(name, indexes);
        }
    }
    Ok(partitions)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
