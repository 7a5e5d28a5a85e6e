//! One look at every partition of a fetch.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use stratalog_protocol::messages::fetch::{AbortedTransaction, EpochEndOffset, PartitionData};
use stratalog_protocol::part::{FileRange, Part};
use stratalog_protocol::{ErrorCode, Records};
use stratalog_types::{LeaderEpoch, Offset};
use tokio::time::Instant;

use super::Terms;
use super::session::TopicKey;
use crate::api::error;
use crate::api::node::Node;
use crate::log;
use crate::net::{AnswerAccount, AnswerRoom};
use crate::partition::{Isolation, Located, Partition, ReadError, RemoteRecords};
use crate::platform::page_cache::read_if_cached;
use crate::watermark::{Registration, Waiter};

/// Records up to this size are copied into the response; larger ones are left to `sendfile`.
const COPY_BYTES_MAX: u32 = 32 * 1024;
/// Records up to this size become part of the response's own bytes: they need no room.
const INLINE_BYTES_MAX: u32 = 2048;
/// Slices of a chunk up to this size are copied: a slice keeps its whole chunk in memory.
const SLICE_COPY_BYTES_MAX: usize = 128 * 1024;
/// Room for what rounding takes of one read's pieces.
const ROUNDING_BYTES: usize = 16 * 1024;
/// Rows that are looked at before others may run.
const ROWS_AT_ONCE: usize = 256;

/// One partition of a fetch.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub topic: TopicKey,
    pub partition: i32,
    pub fetch_offset: i64,
    pub bytes_max: u32,
    /// -1: the client does not know.
    pub current_leader_epoch: i32,
    /// -1: the client does not ask whether it diverged (KIP-595).
    pub last_fetched_epoch: i32,
}

/// One partition's row of the response, and where its records came from.
pub struct Answer {
    pub row: PartitionData,
    partition: Option<Arc<Partition>>,
    from_tier: bool,
}

/// What came back from the tier for the partition at `index`.
pub struct RemoteRead {
    pub index: usize,
    pub result: Result<RemoteRecords, ReadError>,
}

/// Reads from the tier that a fetch has started, and the bytes of its answer that are kept for them: how much a read
/// brings is not known before, so that each counts with all that it may bring.
#[derive(Default)]
pub struct Remote {
    running: FuturesUnordered<BoxFuture<'static, RemoteRead>>,
    /// Reads that wait for room for what they bring.
    waiting: Option<Waiting>,
    room: Option<AnswerRoom>,
    started: bool,
    reserved: usize,
}

struct Waiting {
    room: BoxFuture<'static, Option<AnswerRoom>>,
    reads: Vec<BoxFuture<'static, RemoteRead>>,
}

impl Remote {
    /// Each partition once: after the first look that needed the tier, no other read is started.
    pub fn start(&mut self, pass: &mut Pass<'_>, account: &Arc<AnswerAccount>) {
        if self.started || pass.remote.is_empty() {
            return;
        }
        let reads = std::mem::take(&mut pass.remote);
        let rounding = reads.len().saturating_mul(ROUNDING_BYTES);
        let bytes = pass.reserved.max(pass.batch_bytes_max).saturating_add(rounding);
        self.started = true;
        self.reserved = pass.reserved;
        match account.try_take(bytes) {
            Some(room) => {
                self.room = Some(room);
                self.running.extend(reads);
            }
            None => self.waiting = Some(Waiting { room: account.clone().take(bytes).boxed(), reads }),
        }
    }

    /// Whether nothing will come.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_none() && self.running.is_empty()
    }

    /// What comes next. Safe to cancel.
    pub async fn next(&mut self) -> Option<RemoteRead> {
        if let Some(waiting) = &mut self.waiting {
            self.room = (&mut waiting.room).await;
            self.running.extend(self.waiting.take().into_iter().flat_map(|waiting| waiting.reads));
        }
        self.running.next().await
    }

    /// `pieces`, tied to the room that was taken for them.
    fn bind(&mut self, pieces: Vec<Bytes>) -> Option<Vec<Part>> {
        let room = self.room.as_mut()?;
        let bind = |piece: Bytes| {
            let small = piece.len() <= SLICE_COPY_BYTES_MAX;
            room.bind(if small { Bytes::copy_from_slice(&piece) } else { piece }).map(Part::Bytes)
        };
        pieces.into_iter().map(bind).collect()
    }
}

/// One look at all partitions.
pub struct Pass<'a> {
    node: &'a Node,
    terms: &'a Terms,
    started: Instant,
    pub answers: Vec<Answer>,
    bytes: usize,
    /// Kept for reads from the tier, of this look or of an earlier one.
    reserved: usize,
    /// The largest batch that one of these reads may bring, however little it asks for.
    batch_bytes_max: usize,
    may_start_remote: bool,
    failed: bool,
    remote_answered: bool,
    remote: Vec<BoxFuture<'static, RemoteRead>>,
}

impl<'a> Pass<'a> {
    pub fn new(node: &'a Node, terms: &'a Terms, started: Instant, remote: &Remote) -> Pass<'a> {
        Pass {
            node,
            terms,
            started,
            answers: Vec::new(),
            bytes: 0,
            reserved: remote.reserved,
            batch_bytes_max: 0,
            may_start_remote: !remote.started,
            failed: false,
            remote_answered: false,
            remote: Vec::new(),
        }
    }

    /// Looks at every partition. `waiter`, if there is one, is registered with each before the look; the registrations
    /// end when they are dropped.
    pub async fn run(&mut self, wanted: &[Wanted], waiter: Option<&Arc<Waiter>>) -> Vec<Registration> {
        let image = self.node.image();
        let mut registrations = Vec::new();
        for (index, wanted) in wanted.iter().enumerate() {
            let_others_run(index).await;
            let topic = match &wanted.topic {
                TopicKey::Name(name) => image.topic(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                TopicKey::Id(id) => image.topic_by_id(*id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
            };
            let partition = topic
                .and_then(|topic| self.node.partitions.find(topic.id, wanted.partition).map_err(error::of_unserved));
            let row = match &partition {
                Ok(partition) => {
                    if let Some(waiter) = waiter {
                        let visible = partition.visible(self.terms.isolation);
                        registrations.push(visible.subscribe(waiter, visible.get().next()));
                    }
                    self.read(index, wanted, partition).await
                }
                Err(code) => Err(*code),
            };
            let row = row.unwrap_or_else(|code| {
                self.failed = true;
                failure(wanted.partition, code)
            });
            self.bytes += row.records.length();
            self.answers.push(Answer { row, partition: partition.ok(), from_tier: false });
        }
        registrations
    }

    /// The rows to answer, counted: a fetch may look often before it answers once.
    pub fn into_answers(self) -> Vec<Answer> {
        for answer in &self.answers {
            let Some(partition) = &answer.partition else { continue };
            let (counters, bytes) = (partition.counters(), answer.row.records.length() as u64);
            counters.bytes_out.inc_by(bytes);
            if answer.from_tier { &counters.tier_out } else { &counters.local_out }.inc_by(bytes);
        }
        self.answers
    }

    /// Whether the client need not wait: enough bytes, or something to be told.
    pub fn is_enough(&self) -> bool {
        self.failed || self.remote_answered || self.bytes >= self.terms.bytes_min || self.answers.is_empty()
    }

    /// Puts what the tier gave into its row. The tier gives at least one batch, which may be larger than what was kept
    /// for it: it stands alone, or waits for the next fetch, which finds it in the cache (KIP-74).
    pub fn fill(&mut self, read: RemoteRead, remote: &mut Remote) {
        let Some(answer) = self.answers.get_mut(read.index) else { return };
        self.remote_answered = true;
        match read.result {
            Ok(RemoteRecords { batches: pieces, aborted }) => {
                let length: usize = pieces.iter().map(Bytes::len).sum();
                if self.bytes > 0 && self.bytes.saturating_add(length) > self.terms.bytes_max as usize {
                    return;
                }
                let Some(parts) = remote.bind(pieces) else { return };
                answer.row.records = Records::Parts(parts);
                // None where nothing came in time.
                if let Some(aborted) = aborted {
                    answer.row.aborted_transactions = Some(named(aborted));
                }
                answer.from_tier = true;
                self.bytes += length;
            }
            Err(error) => {
                self.failed = true;
                tracing::warn!(partition = answer.row.partition_index, "fetch from the tier failed: {error}");
                answer.row = failure(answer.row.partition_index, error::of_read(&error));
            }
        }
    }

    async fn read(
        &mut self,
        index: usize,
        wanted: &Wanted,
        partition: &Arc<Partition>,
    ) -> Result<PartitionData, ErrorCode> {
        check_epoch(partition.leader_epoch(), wanted.current_leader_epoch)?;
        // A watermark that is closed wakes at once: there is nothing to wait for, also where nothing may be read now.
        self.failed |= partition.high_watermark().is_closed();
        let mut row = self.row(wanted, partition);
        if let Some(diverging) = divergence(partition, wanted) {
            row.diverging_epoch = diverging;
            return Ok(row);
        }
        let taken = self.bytes.saturating_add(self.reserved);
        let left = (self.terms.bytes_max as usize).saturating_sub(taken);
        let bytes_max = wanted.bytes_max.min(u32::try_from(left).unwrap_or(u32::MAX));
        let first = taken == 0;
        if bytes_max == 0 && !first {
            return Ok(row);
        }
        let from = Offset(wanted.fetch_offset);
        match partition.locate_gently(from, bytes_max, self.terms.isolation, first).await {
            Ok(Located::Local { slice, aborted }) => {
                row.aborted_transactions = aborted.map(named);
                row.records = Records::Parts(vec![Part::File(slice.range)]);
            }
            // Nothing will come: what could still be read has been.
            Ok(Located::AtEnd) => {
                if let Some(ended) = partition.ended() {
                    return Err(error::of_ended(ended, true, false));
                }
            }
            Ok(Located::Remote) if self.may_start_remote => {
                let deadline = self.started + self.terms.wait.max(self.terms.remote_wait_min);
                self.reserved = self.reserved.saturating_add(bytes_max as usize);
                self.batch_bytes_max = self.batch_bytes_max.max(partition.config().max_message_bytes as usize);
                self.remote.push(remote_read(index, partition, from, bytes_max, self.terms.isolation, deadline));
            }
            Ok(Located::Remote) => {}
            Err(error) => {
                if !matches!(error, ReadError::OutOfRange { .. }) {
                    tracing::error!(partition = %partition.topic_partition(), offset = wanted.fetch_offset, "fetch failed: {error}");
                }
                let code = error::of_read(&error);
                self.failed = true;
                return Ok(PartitionData {
                    log_start_offset: partition.log_start_offset().0,
                    ..failure(wanted.partition, code)
                });
            }
        }
        Ok(row)
    }

    fn row(&self, wanted: &Wanted, partition: &Partition) -> PartitionData {
        // Before the high watermark, which it follows.
        let last_stable_offset = partition.last_stable_offset().0;
        PartitionData {
            partition_index: wanted.partition,
            high_watermark: partition.high_watermark().get().0,
            last_stable_offset,
            log_start_offset: partition.log_start_offset().0,
            aborted_transactions: (self.terms.isolation == Isolation::ReadCommitted).then(Vec::new),
            records: Records::Bytes(Bytes::new()),
            ..PartitionData::default()
        }
    }
}

fn named(aborted: Vec<log::AbortedTransaction>) -> Vec<AbortedTransaction> {
    let named = |one: log::AbortedTransaction| AbortedTransaction {
        producer_id: one.producer_id,
        first_offset: one.first_offset,
    };
    aborted.into_iter().map(named).collect()
}

fn failure(partition_index: i32, error_code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code,
        high_watermark: -1,
        records: Records::Bytes(Bytes::new()),
        ..PartitionData::default()
    }
}

fn check_epoch(current: LeaderEpoch, claimed: i32) -> Result<(), ErrorCode> {
    match claimed {
        -1 => Ok(()),
        claimed if claimed < current.0 => Err(ErrorCode::FENCED_LEADER_EPOCH),
        claimed if claimed > current.0 => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

/// Where the client's history leaves ours, if it does (KIP-595).
fn divergence(partition: &Partition, wanted: &Wanted) -> Option<EpochEndOffset> {
    if wanted.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end_offset) = partition.end_offset_for_epoch(LeaderEpoch(wanted.last_fetched_epoch))?;
    let diverges = epoch.0 < wanted.last_fetched_epoch || end_offset.0 < wanted.fetch_offset;
    diverges.then_some(EpochEndOffset { epoch: epoch.0, end_offset: end_offset.0 })
}

/// Called before each row of many.
async fn let_others_run(index: usize) {
    if index % ROWS_AT_ONCE == ROWS_AT_ONCE - 1 {
        tokio::task::yield_now().await;
    }
}

/// Copies small ranges of files: cheaper than a system call for each when they are sent. What has no room, and what is
/// not in the page cache, is left to `sendfile`, which reads ahead off the worker.
pub async fn copy_small(answers: &mut [Answer], account: &Arc<AnswerAccount>) {
    for (index, answer) in answers.iter_mut().enumerate() {
        let_others_run(index).await;
        let Records::Parts(parts) = &answer.row.records else { continue };
        let [Part::File(range)] = parts.as_slice() else { continue };
        if range.length == 0 {
            continue;
        }
        match copy(range, account) {
            Ok(Some(copied)) => answer.row.records = Records::Bytes(copied),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(position = range.position, length = range.length, "segment not readable: {error}");
                answer.row = failure(answer.row.partition_index, ErrorCode::KAFKA_STORAGE_ERROR);
            }
        }
    }
}

fn copy(range: &FileRange, account: &Arc<AnswerAccount>) -> io::Result<Option<Bytes>> {
    let length = range.length as usize;
    if range.length > COPY_BYTES_MAX {
        return Ok(None);
    }
    let mut room = None;
    if range.length > INLINE_BYTES_MAX {
        room = account.try_take(length);
        if room.is_none() {
            return Ok(None);
        }
    }
    let mut copied = vec![0; length];
    if !read_if_cached(&range.file, &mut copied, range.position)? {
        return Ok(None);
    }
    let copied = Bytes::from(copied);
    Ok(match &mut room {
        Some(room) => room.bind(copied),
        None => Some(copied),
    })
}

fn remote_read(
    index: usize,
    partition: &Arc<Partition>,
    from: Offset,
    bytes_max: u32,
    isolation: Isolation,
    deadline: Instant,
) -> BoxFuture<'static, RemoteRead> {
    let partition = partition.clone();
    async move { RemoteRead { index, result: partition.read_remote(from, bytes_max, isolation, deadline).await } }
        .boxed()
}
