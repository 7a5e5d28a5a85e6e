//! What the APIs of groups share: who asks, and the way to the coordinator.

use std::sync::Arc;

use stratalog_coordinator::machine::{Caller, Reply, Request};
use stratalog_protocol::ErrorCode;

use super::create_topics::Creation;
use super::error;
use super::node::Node;
use crate::config::Settings;
use crate::coordinator::{OFFSETS_TOPIC, offsets_topic_configs, offsets_topic_partitions};
use crate::net::RequestContext;

/// The caller as coordinators record it.
pub fn caller(context: &RequestContext, version: i16) -> Caller {
    Caller {
        client_id: context.client_id.as_str().into(),
        client_host: format!("/{}", context.client_address.ip().to_canonical()).into(),
        api_version: version,
    }
}

/// The topic of groups as it is made when it is first needed.
pub fn offsets_creation(settings: &Settings) -> Creation {
    Creation {
        name: OFFSETS_TOPIC.to_owned(),
        partitions: Some(offsets_topic_partitions(settings)),
        // As many replicas as there are brokers: this one.
        replication_factor: Some(1),
        assignment: None,
        configs: offsets_topic_configs(settings),
    }
}

/// Asks the coordinator of `group` here.
pub async fn ask(node: &Node, group: &str, caller: &Caller, request: Request) -> Result<Reply, ErrorCode> {
    let groups: &Arc<_> = &node.groups;
    groups.ask(group, caller, request).await.map_err(error::of_coordinator)
}

/// The answer's kind follows from the request's.
macro_rules! answer_of {
    ($reply:expr, $kind:ident) => {
        match $reply {
            Ok(stratalog_coordinator::machine::Reply::$kind(answer)) => Ok(answer),
            Ok(other) => unreachable!("a coordinator answered with {other:?}"),
            Err(error) => Err(error),
        }
    };
}
pub(super) use answer_of;
