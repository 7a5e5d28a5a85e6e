//! Consumer groups, from outside and as a member.
//!
//! Owns finding the coordinator, asking it again while it moves or loads, listing, describing and deleting groups, their
//! offsets, and a member of the classic protocol ([`GroupMember`]). Does not own when to commit: the caller knows what it
//! has processed.

mod describe;
mod member;
mod offsets;
mod protocol;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::{
    DeleteGroupsRequest, FindCoordinatorRequest, ListGroupsRequest, MetadataRequest, Request, Response,
};
use tokio::time::Instant;

use super::config::Address;
use super::{Client, Error, METADATA_VERSION_MAX, RETRY_PAUSE};

pub use describe::{DescribedGroup, DescribedMember, GroupState, GroupType};
pub use member::{GroupMember, MemberSettings, Membership};
pub use offsets::{CommittedOffset, NewOffset};

/// FindCoordinator with one key; several come with version 4.
const FIND_COORDINATOR_VERSION_MAX: i16 = 3;

/// Partitions by topic.
pub type TopicPartitions = BTreeMap<String, Vec<i32>>;

/// A group as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    pub group: String,
    /// `consumer`, `connect`, …; empty for a group that only commits.
    pub protocol_type: String,
    /// Empty where the broker is too old to tell.
    pub state: GroupState,
    pub group_type: GroupType,
    pub coordinator: i32,
}

impl Client {
    /// Every group of the cluster, in the order of names.
    pub async fn list_groups(&mut self) -> Result<Vec<ListedGroup>, Error> {
        let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
        let response = self.call_any(&request, METADATA_VERSION_MAX).await?;
        let mut groups = Vec::new();
        for broker in &response.brokers {
            self.learn_broker(broker.node_id, &broker.host, broker.port);
            groups.extend(self.list_groups_of(broker.node_id).await?);
        }
        groups.sort_by(|a: &ListedGroup, b| a.group.cmp(&b.group));
        Ok(groups)
    }

    /// The groups of one coordinator. While it loads, it is asked again within the deadline: half a list is none.
    async fn list_groups_of(&mut self, node: i32) -> Result<Vec<ListedGroup>, Error> {
        let deadline = Instant::now() + self.config.request_timeout;
        loop {
            let response = self.call(node, &ListGroupsRequest::default(), i16::MAX).await?;
            match response.error_code {
                ErrorCode::NONE => {
                    let listed = response.groups.into_iter().map(|listed| ListedGroup {
                        group: listed.group_id,
                        protocol_type: listed.protocol_type,
                        state: GroupState(listed.group_state),
                        group_type: GroupType(listed.group_type),
                        coordinator: node,
                    });
                    return Ok(listed.collect());
                }
                code if code.is_retriable() && Instant::now() < deadline => tokio::time::sleep(RETRY_PAUSE).await,
                code => return Err(Error::broker(format!("listing the groups of broker {node}"), code, None)),
            }
        }
    }

    /// Removes a group that has no members, with its offsets.
    pub async fn delete_group(&mut self, group: &str) -> Result<(), Error> {
        let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
        let code = |response: &stratalog_protocol::messages::DeleteGroupsResponse| {
            response.results.first().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |result| result.error_code)
        };
        let response = self.ask_coordinator(group, &request, i16::MAX, code).await?;
        Error::group(code(&response), group, "deleting")
    }

    /// Sends to the coordinator of `group` and waits, within the deadline, for one that is ready to answer. `code` is
    /// where the answer tells.
    async fn ask_coordinator<R: Request<Response: Response>>(
        &mut self,
        group: &str,
        request: &R,
        version_max: i16,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, Error> {
        self.ask_coordinator_within(group, request, version_max, self.config.request_timeout, code).await
    }

    async fn ask_coordinator_within<R: Request<Response: Response>>(
        &mut self,
        group: &str,
        request: &R,
        version_max: i16,
        timeout: Duration,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            let node = self.coordinator(group, deadline).await?;
            let answered = self.call_within(node, request, version_max, timeout).await;
            let moved = match &answered {
                Ok(response) => is_moving(code(response)),
                Err(error) => error.is_connection_lost(),
            };
            if !moved || Instant::now() + RETRY_PAUSE >= deadline {
                return answered;
            }
            self.coordinators.remove(group);
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// The node that coordinates `group`, from memory or from any broker. The first group of a cluster waits until the
    /// topic of its offsets has been created.
    async fn coordinator(&mut self, group: &str, deadline: Instant) -> Result<i32, Error> {
        if let Some(node) = self.coordinators.get(group) {
            return Ok(*node);
        }
        loop {
            let request = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
            let found = match self.call_any(&request, FIND_COORDINATOR_VERSION_MAX).await {
                // A broker that restarts is waited for, one that nobody has heard of yet is not.
                Err(error) if error.is_connection_lost() && !self.brokers.is_empty() && Instant::now() < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
                answered => answered?,
            };
            match found.error_code {
                ErrorCode::NONE => {
                    self.learn_broker(found.node_id, &found.host, found.port);
                    self.coordinators.insert(group.to_owned(), found.node_id);
                    return Ok(found.node_id);
                }
                code if code.is_retriable() && Instant::now() + RETRY_PAUSE < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                code => {
                    return Err(Error::broker(
                        format!("finding the coordinator of {group}"),
                        code,
                        found.error_message,
                    ));
                }
            }
        }
    }

    fn learn_broker(&mut self, node: i32, host: &str, port: i32) {
        if let Ok(port) = u16::try_from(port) {
            self.brokers.insert(node, Address { host: host.to_owned(), port });
        }
    }

    /// Closes every connection: after a call was given up half-way, its answer must not meet the next one.
    pub fn close_connections(&mut self) {
        self.connections.clear();
    }
}

/// The coordinator is elsewhere, or not ready yet.
fn is_moving(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
    )
}
