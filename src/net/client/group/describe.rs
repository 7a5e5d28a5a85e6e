//! What a group is and who is in it, whichever protocol it speaks.

use std::fmt;

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::consumer_group_describe::{Assignment, Member};
use stratalog_protocol::messages::describe_groups::DescribedGroupMember;
use stratalog_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribeGroupsRequest, DescribeGroupsResponse,
};

use super::protocol::{read_assignment, read_subscription};
use super::{Client, Error, TopicPartitions};

/// A group's state in Kafka's words; a newer broker may have words that are not known here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupState(pub String);

impl GroupState {
    /// Nobody is in it: its offsets may be set from outside.
    pub fn is_empty(&self) -> bool {
        self.0 == "Empty" || self.0 == "Dead"
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// `classic` or `consumer`, and what later versions bring.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupType(pub String);

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[derive(Debug, Clone)]
pub struct DescribedGroup {
    pub group: String,
    pub group_type: GroupType,
    pub state: GroupState,
    pub protocol_type: String,
    /// The assignor.
    pub protocol: String,
    /// Of a group of the new protocol.
    pub epoch: Option<i32>,
    /// -1 where the coordinator moved between two answers.
    pub coordinator: i32,
    pub members: Vec<DescribedMember>,
}

#[derive(Debug, Clone)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed: Vec<String>,
    pub subscribed_regex: Option<String>,
    /// Of a member of the new protocol.
    pub epoch: Option<i32>,
    pub assigned: TopicPartitions,
    /// What it is to have, where that is told and differs.
    pub target: Option<TopicPartitions>,
}

impl Client {
    /// Describes a group: as a group of the new protocol, and, if it is none, as a classic one.
    pub async fn describe_group(&mut self, group: &str) -> Result<DescribedGroup, Error> {
        let request = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
        let code = |response: &ConsumerGroupDescribeResponse| {
            response.groups.first().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |group| group.error_code)
        };
        match self.ask_coordinator(group, &request, i16::MAX, code).await {
            Ok(response) => match code(&response) {
                ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION => {}
                code => {
                    Error::group(code, group, "describing")?;
                    return self.consumer_group(group, response);
                }
            },
            // A broker that knows classic groups only.
            Err(Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
        self.describe_classic(group).await
    }

    fn consumer_group(&self, group: &str, response: ConsumerGroupDescribeResponse) -> Result<DescribedGroup, Error> {
        let unknown = || Error::UnknownGroup { group: group.to_owned() };
        let described = response.groups.into_iter().next().ok_or_else(unknown)?;
        Ok(DescribedGroup {
            group: described.group_id,
            group_type: GroupType("consumer".to_owned()),
            state: GroupState(described.group_state),
            protocol_type: "consumer".to_owned(),
            protocol: described.assignor_name,
            epoch: Some(described.group_epoch),
            coordinator: self.known_coordinator(group),
            members: described.members.into_iter().map(consumer_member).collect(),
        })
    }

    async fn describe_classic(&mut self, group: &str) -> Result<DescribedGroup, Error> {
        let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
        let code = |response: &DescribeGroupsResponse| {
            response.groups.first().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |group| group.error_code)
        };
        let response = self.ask_coordinator(group, &request, i16::MAX, code).await?;
        Error::group(code(&response), group, "describing")?;
        let unknown = || Error::UnknownGroup { group: group.to_owned() };
        let described = response.groups.into_iter().next().ok_or_else(unknown)?;
        // Before version 6 that is how a broker says that there is none.
        if described.group_state == "Dead" {
            return Err(unknown());
        }
        let is_consumer = described.protocol_type == "consumer";
        Ok(DescribedGroup {
            group: described.group_id,
            group_type: GroupType("classic".to_owned()),
            state: GroupState(described.group_state),
            protocol: described.protocol_data,
            protocol_type: described.protocol_type,
            epoch: None,
            coordinator: self.known_coordinator(group),
            members: described.members.into_iter().map(|member| classic_member(member, is_consumer)).collect(),
        })
    }

    fn known_coordinator(&self, group: &str) -> i32 {
        self.coordinators.get(group).copied().unwrap_or(-1)
    }
}

fn consumer_member(member: Member) -> DescribedMember {
    let assigned = by_topic(member.assignment);
    let target = by_topic(member.target_assignment);
    DescribedMember {
        member_id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        subscribed: member.subscribed_topic_names,
        subscribed_regex: member.subscribed_topic_regex.filter(|regex| !regex.is_empty()),
        epoch: Some(member.member_epoch),
        target: (target != assigned).then_some(target),
        assigned,
    }
}

/// The bytes of another protocol type are nobody's business here; damaged ones say nothing.
fn classic_member(member: DescribedGroupMember, is_consumer: bool) -> DescribedMember {
    let read = |bytes: Bytes| if is_consumer && !bytes.is_empty() { Some(bytes) } else { None };
    let subscription = read(member.member_metadata).and_then(|bytes| read_subscription(bytes).ok());
    let assigned = read(member.member_assignment).and_then(|bytes| read_assignment(bytes).ok());
    DescribedMember {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        subscribed: subscription.unwrap_or_default(),
        subscribed_regex: None,
        epoch: None,
        assigned: assigned.unwrap_or_default(),
        target: None,
    }
}

fn by_topic(assignment: Assignment) -> TopicPartitions {
    let mut topics = TopicPartitions::new();
    for topic in assignment.topic_partitions {
        let partitions: &mut Vec<i32> = topics.entry(topic.topic_name).or_default();
        partitions.extend(topic.partitions);
        partitions.sort_unstable();
    }
    topics
}
