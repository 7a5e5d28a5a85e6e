//! Fetch: records from local segments and from the tier, at once or when there are enough.
//!
//! The session is stepped while the request is placed, so that pipelined fetches see it in order. What waits is woken
//! per partition, never by polling. A slow tier holds back nobody: what is ready is answered, a read that was started
//! goes on and is found in the cache by the next fetch.
//!
//! What an answer keeps in memory until it is sent has its room (`net::AnswerAccount`): reads from the tier start when
//! there is some, and small local records are copied only then. A fetch that gets none in its time answers without.

mod read;
mod session;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::call::Outcome;
use super::node::Node;
use crate::metrics::Held;
use crate::net::{AnswerAccount, RequestContext};
use crate::partition::Isolation;
use crate::watermark::Waiter;

use read::{Answer, Pass, Remote, Wanted, copy_small};
pub use session::Sessions;
use session::{Step, TopicKey};

/// The first version that names topics by id (KIP-516).
const TOPIC_ID_SINCE: i16 = 13;

/// The terms of one fetch.
#[derive(Debug, Clone, Copy)]
struct Terms {
    isolation: Isolation,
    bytes_min: usize,
    bytes_max: u32,
    wait: Duration,
    /// A fetch that needs the tier waits at least this long for it (`remote.fetch.max.wait.ms`), however short its own
    /// `max_wait_ms` is: an empty answer would only bring the same fetch again.
    remote_wait_min: Duration,
}

pub fn place(
    node: Arc<Node>,
    context: RequestContext,
    request: FetchRequest,
    version: i16,
) -> BoxFuture<'static, Outcome<FetchResponse>> {
    let terms = Terms {
        isolation: if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
        bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
        bytes_max: u32::try_from(request.max_bytes).unwrap_or(0).min(node.config.network.fetch_bytes_max),
        // A peer that vanished without a word is not waited for longer than an idle one.
        wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0))
            .min(node.config.network.connections_idle_max),
        remote_wait_min: node.config.tier.as_ref().map_or(Duration::ZERO, |tier| tier.fetch_wait_max),
    };
    let step = match node.fetch_sessions.step(&request, version) {
        Ok(step) => step,
        Err(error_code) => {
            let refusal = FetchResponse { error_code, ..FetchResponse::default() };
            return std::future::ready(Outcome::Answer(refusal)).boxed();
        }
    };
    async move {
        let mut answers = gather(&node, &terms, &step.wanted, context.peer_gone, &context.answers).await;
        copy_small(&mut answers, &context.answers).await;
        Outcome::Answer(respond(step, answers))
    }
    .boxed()
}

/// Reads until there is enough, something is wrong, or the wait is over.
async fn gather(
    node: &Node,
    terms: &Terms,
    wanted: &[Wanted],
    mut peer_gone: watch::Receiver<bool>,
    account: &Arc<AnswerAccount>,
) -> Vec<Answer> {
    let started = Instant::now();
    let mut draining = node.draining.clone();
    let mut remote = Remote::default();
    let mut waiter: Option<Arc<Waiter>> = None;
    loop {
        // The waiter is registered before the look, so that an append between the two wakes it. The first look, which
        // mostly finds enough, goes without.
        let mut pass = Pass::new(node, terms, started, &remote);
        let registrations = pass.run(wanted, waiter.as_ref()).await;
        remote.start(&mut pass, account);
        while let Some(Some(read)) = remote.next().now_or_never() {
            pass.fill(read, &mut remote);
        }
        let wait = if remote.is_idle() { terms.wait } else { terms.wait.max(terms.remote_wait_min) };
        let deadline = started + wait;
        if pass.is_enough() || Instant::now() >= deadline || *draining.borrow() || *peer_gone.borrow() {
            return pass.into_answers();
        }
        let Some(woken) = waiter.replace(Waiter::new()) else { continue };
        let _waiting = Held::of(&node.metrics.fetches_waiting);
        tokio::select! {
            () = woken.woken() => {}
            Some(read) = remote.next(), if !remote.is_idle() => {
                pass.fill(read, &mut remote);
                return pass.into_answers();
            }
            () = sleep_until(deadline) => return pass.into_answers(),
            _ = draining.changed() => {}
            // Its sender is gone with the connection, and this future too.
            _ = peer_gone.changed() => {}
        }
        drop(registrations);
    }
}

fn respond(step: Step, answers: Vec<Answer>) -> FetchResponse {
    let rows: Vec<(TopicKey, PartitionData)> =
        step.wanted.iter().zip(answers).map(|(wanted, answer)| (wanted.topic.clone(), answer.row)).collect();
    let rows = match &step.session {
        Some(session) => session.changed_rows(rows, step.full),
        None => rows,
    };
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    for (topic, row) in rows {
        match responses.last_mut() {
            Some(last) if topic.is_of(last) => last.partitions.push(row),
            _ => responses.push(topic.response(row)),
        }
    }
    FetchResponse { error_code: ErrorCode::NONE, session_id: step.session_id, responses, ..FetchResponse::default() }
}
