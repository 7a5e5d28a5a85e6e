//! One member of a classic group: who it is, what it can do, what it was given, and what it waits for.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use stratalog_protocol::messages::join_group::JoinGroupRequestProtocol;

use crate::machine::Ticket;

/// Shared with the indexes and timers that name the member.
pub type MemberId = Arc<str>;

/// An assignment strategy that a member can follow, with what it has to say to the leader in that strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    pub name: Arc<str>,
    pub metadata: Bytes,
}

#[derive(Debug, Clone)]
pub struct Member {
    pub id: MemberId,
    /// Of a static member (KIP-345).
    pub instance_id: Option<Arc<str>>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// In the order of preference; no name twice.
    pub strategies: Vec<Strategy>,
    /// Empty until the leader has given one in this generation.
    pub assignment: Bytes,
    /// JoinGroup that waits.
    pub(super) join: Option<Ticket>,
    /// SyncGroup that waits.
    pub(super) sync: Option<Ticket>,
    /// It has never been in a generation: while it waits it cannot heartbeat, so its wait itself is bounded.
    pub(super) is_new: bool,
    /// It was told the generation and has not synced in it.
    pub(super) owes_sync: bool,
}

impl Member {
    pub fn new(id: MemberId, instance_id: Option<Arc<str>>, client_id: &str, client_host: &str) -> Member {
        Member {
            id,
            instance_id,
            client_id: client_id.to_owned(),
            client_host: client_host.to_owned(),
            rebalance_timeout_ms: 0,
            session_timeout_ms: 0,
            strategies: Vec::new(),
            assignment: Bytes::new(),
            join: None,
            sync: None,
            is_new: false,
            owes_sync: false,
        }
    }

    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// What it has to say in a strategy; nothing if it does not have it.
    pub fn metadata(&self, strategy: &str) -> Bytes {
        self.strategies
            .iter()
            .find(|known| &*known.name == strategy)
            .map(|known| known.metadata.clone())
            .unwrap_or_default()
    }

    /// Whether a rejoin brings nothing new.
    pub(super) fn matches(&self, strategies: &[Strategy]) -> bool {
        self.strategies == strategies
    }

    /// A wait for an answer of ours stands for a heartbeat, except for a new member.
    pub(super) fn wait_is_heartbeat(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }
}

/// The strategies of a request, copied out of its frame; a name that comes twice counts once, or it would be counted as
/// two votes.
pub(super) fn strategies(protocols: &[JoinGroupRequestProtocol]) -> Vec<Strategy> {
    let mut seen = HashSet::new();
    protocols
        .iter()
        .filter(|protocol| seen.insert(protocol.name.as_str()))
        .map(|protocol| Strategy {
            name: protocol.name.as_str().into(),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        })
        .collect()
}
