//! One shard: a partition's log, the machine that it feeds, and those who wait for an answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use stratalog_coordinator::machine::{Durable, Machine, StepOf, Ticket};
use stratalog_protocol::ErrorCode;
use stratalog_protocol::records::{BatchBuilder, BatchHeader, CodecId, NewRecord};
use stratalog_types::Offset;
use tokio::sync::oneshot;

use super::Error;
use crate::log;
use crate::partition::{AppendError, Partition};
use crate::platform::lock;

/// An answer, and from when on it may be given.
pub type Delivery<A> = Result<(A, Offset), Error>;

/// What a shard is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Loading,
    Active,
    Closed,
}

/// Behind the shard's lock.
pub struct State<M: Machine> {
    pub stage: Stage,
    pub machine: M,
    waiting: HashMap<Ticket, oneshot::Sender<Delivery<M::Reply>>>,
    next_ticket: u64,
    /// One past what this shard appended last.
    appended: Offset,
}

pub struct Shard<M: Machine> {
    pub partition: Arc<Partition>,
    state: Mutex<State<M>>,
    /// When the machine wants to be woken, in milliseconds since 1970; `i64::MAX` if never.
    deadline_ms: AtomicI64,
}

/// What became of a request under the lock.
pub enum Submitted<A> {
    Answered(Delivery<A>),
    Waiting(oneshot::Receiver<Delivery<A>>),
}

impl<M: Machine> Shard<M> {
    pub fn new(partition: Arc<Partition>, machine: M) -> Shard<M> {
        let state =
            State { stage: Stage::Loading, machine, waiting: HashMap::new(), next_ticket: 0, appended: Offset::ZERO };
        Shard { partition, state: Mutex::new(state), deadline_ms: AtomicI64::new(i64::MAX) }
    }

    pub fn lock(&self) -> MutexGuard<'_, State<M>> {
        lock(&self.state)
    }

    pub fn deadline_ms(&self) -> i64 {
        self.deadline_ms.load(Ordering::SeqCst)
    }

    /// Everybody who waits is told, and nobody is served from now on.
    pub fn close(&self) {
        let mut state = self.lock();
        state.stage = Stage::Closed;
        state.waiting.clear();
        self.deadline_ms.store(i64::MAX, Ordering::SeqCst);
    }
}

/// What the machine is asked after an append.
pub enum After<'a> {
    /// The records were replayed.
    Replayed,
    /// They are not in the log: these groups want to know.
    Failed(&'a [Arc<str>], ErrorCode),
}

/// Steps that one input leads to, its own included. Nothing should take more than three.
const FOLLOWING_STEPS_MAX: usize = 8;

/// What an append needs to know besides the records.
#[derive(Debug, Clone, Copy)]
pub struct Appending {
    pub now_ms: i64,
    pub codec: CodecId,
}

impl<M: Machine> State<M> {
    /// The log was replayed into `machine`, up to `end`.
    pub fn activate(&mut self, machine: M, end: Offset) {
        if self.stage == Stage::Loading {
            self.stage = Stage::Active;
            self.machine = machine;
            self.appended = end;
        }
    }

    pub fn check(&self) -> Result<(), Error> {
        match self.stage {
            Stage::Loading => Err(Error::Loading),
            Stage::Active => Ok(()),
            Stage::Closed => Err(Error::NotCoordinator),
        }
    }

    pub fn next_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Those who wait for an answer.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Carries out a step, and hands its answers over. `own` is the ticket of the request that led to it: its answer, if
    /// there is one, is returned. `follow` asks the machine what comes of an append, and of one that failed.
    pub fn carry_out(
        &mut self,
        shard: &Shard<M>,
        mut step: StepOf<M>,
        own: Ticket,
        appending: Appending,
        mut follow: impl FnMut(&mut M, After<'_>) -> StepOf<M>,
    ) -> Submitted<M::Reply> {
        let mut answer = None;
        for _ in 0..FOLLOWING_STEPS_MAX {
            let records = std::mem::take(&mut step.records);
            let appended = !records.is_empty();
            for (group, reason) in step.rebalances.drain(..) {
                // Members may have given the reason: it is printed with what is in it escaped.
                tracing::info!(%group, ?reason, "the group rebalances");
            }
            let shown_at = match self.append(shard, records, appending) {
                Ok(()) if appended || step.after_appended => Ok(self.appended),
                Ok(()) => Ok(Offset::ZERO),
                Err(error) => Err(error),
            };
            for (ticket, reply) in step.replies.drain(..) {
                let delivery = shown_at.map(|at| (reply, at));
                if ticket == own {
                    answer = Some(delivery);
                } else if let Some(waiting) = self.waiting.remove(&ticket) {
                    // The client may have gone.
                    let _ = waiting.send(delivery);
                }
            }
            step = match shown_at {
                Ok(_) if !appended => break,
                Ok(_) => follow(&mut self.machine, After::Replayed),
                Err(error) => follow(&mut self.machine, After::Failed(&step.watching, code_of(error))),
            };
            step.after_appended = true;
        }
        shard.deadline_ms.store(self.machine.next_deadline().unwrap_or(i64::MAX), Ordering::SeqCst);
        match answer {
            Some(delivery) => Submitted::Answered(delivery),
            None => {
                let (sender, receiver) = oneshot::channel();
                self.waiting.insert(own, sender);
                Submitted::Waiting(receiver)
            }
        }
    }

    /// As [`State::carry_out`], for a step that no request led to.
    pub fn carry_out_own(
        &mut self,
        shard: &Shard<M>,
        step: StepOf<M>,
        appending: Appending,
        follow: impl FnMut(&mut M, After<'_>) -> StepOf<M>,
    ) {
        let nobody = self.next_ticket();
        drop(self.carry_out(shard, step, nobody, appending, follow));
        self.waiting.remove(&nobody);
    }

    /// Appends and replays.
    fn append(&mut self, shard: &Shard<M>, records: Vec<M::Record>, appending: Appending) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        let partition = shard.partition.topic_partition();
        let batch = encode(&records, appending)?;
        let header = BatchHeader::decode(&batch).map_err(|_| Error::TooLarge)?;
        let appended = shard.partition.append_own(&batch, header).map_err(|error| {
            tracing::warn!(%partition, "a coordinator's records are not appended: {error}");
            error_of(&error)
        })?;
        for (record, offset) in records.into_iter().zip(appended.base_offset.0..) {
            self.machine.replay(offset, None, record);
        }
        self.appended = appended.visible_at;
        Ok(())
    }
}

fn encode<R: Durable>(records: &[R], appending: Appending) -> Result<bytes::Bytes, Error> {
    let mut builder = BatchBuilder::new(0).codec(appending.codec);
    for record in records {
        // Strings longer than Kafka's 32,767 bytes cannot have come in by a request.
        let (key, value) = record.encode().map_err(|_| Error::TooLarge)?;
        let record = NewRecord { timestamp: appending.now_ms, key: Some(&key), value: value.as_deref(), headers: &[] };
        builder.append(&record).map_err(|_| Error::TooLarge)?;
    }
    builder.build().map_err(|_| Error::TooLarge)
}

fn error_of(error: &AppendError) -> Error {
    match error {
        AppendError::Log(log::AppendError::StorageFull | log::AppendError::TooManyOpenFiles) => Error::NotAvailable,
        AppendError::Log(log::AppendError::BatchTooLarge { .. }) => Error::TooLarge,
        AppendError::Log(_)
        | AppendError::BehindTier
        | AppendError::CutOff
        | AppendError::Batch(_)
        | AppendError::Transactional => Error::NotCoordinator,
    }
}

/// What members of a classic group that waited for the append are told by their machine.
fn code_of(error: Error) -> ErrorCode {
    match error {
        Error::Loading => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        Error::NotCoordinator => ErrorCode::NOT_COORDINATOR,
        Error::NotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        Error::TooLarge => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}
