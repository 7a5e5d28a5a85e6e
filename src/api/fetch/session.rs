//! Fetch sessions (KIP-227): a client names its partitions once and then only what changed.
//!
//! Bounded: `max.incremental.fetch.session.cache.slots` sessions; a full cache gives up the one unused for longest once
//! that is over two minutes, else new clients fetch without a session. A session keeps what its client names, topics that
//! are not there too, so its partitions are bounded as well, and those of all sessions together: a client that goes past
//! either fetches without a session.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchTopic, FetchableTopicResponse, ForgottenTopic, PartitionData,
};
use stratalog_types::TopicId;

use super::TOPIC_ID_SINCE;
use super::read::Wanted;

const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;
/// Kafka's min.incremental.fetch.session.eviction.ms.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);
/// Partitions that one session remembers.
const SESSION_PARTITIONS_MAX: usize = 10_000;
/// Partitions that all sessions together remember.
const PARTITIONS_MAX: usize = 1_000_000;

/// A topic as the request named it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    Name(Arc<str>),
    Id(TopicId),
}

impl TopicKey {
    fn of(version: i16, name: &str, id: uuid::Uuid) -> TopicKey {
        if version >= TOPIC_ID_SINCE { TopicKey::Id(TopicId(id)) } else { TopicKey::Name(name.into()) }
    }

    pub fn is_of(&self, response: &FetchableTopicResponse) -> bool {
        match self {
            TopicKey::Name(name) => response.topic == name.as_ref(),
            TopicKey::Id(id) => response.topic_id == id.0,
        }
    }

    pub fn response(&self, row: PartitionData) -> FetchableTopicResponse {
        let mut response = FetchableTopicResponse { partitions: vec![row], ..FetchableTopicResponse::default() };
        match self {
            TopicKey::Name(name) => response.topic = name.to_string(),
            TopicKey::Id(id) => response.topic_id = id.0,
        }
        response
    }
}

/// What one request fetches, and under which session.
pub struct Step {
    pub wanted: Vec<Wanted>,
    pub session: Option<Arc<Session>>,
    /// What the response says; 0 without a session.
    pub session_id: i32,
    /// Every partition is answered, changed or not.
    pub full: bool,
}

type Key = (TopicKey, i32);

pub struct Session {
    id: i32,
    /// Whether its requests name topics by id; a client that changes its mind starts anew.
    by_id: bool,
    state: Mutex<State>,
}

struct State {
    /// The epoch that the next request must carry.
    next_epoch: i32,
    used_at: Instant,
    /// In the order in which they are served: what got records moves to the end, so that each has its turn.
    order: BTreeMap<u64, Key>,
    partitions: HashMap<Key, Cached>,
    next_place: u64,
    /// Partitions of all sessions; those of this one are counted in it until it is dropped.
    counted: Arc<AtomicUsize>,
}

struct Cached {
    place: u64,
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

impl State {
    fn new(now: Instant, counted: Arc<AtomicUsize>) -> State {
        State {
            next_epoch: 1,
            used_at: now,
            order: BTreeMap::new(),
            partitions: HashMap::new(),
            next_place: 0,
            counted,
        }
    }

    /// Whether there is room for `more` partitions, each of which may be new.
    fn may_grow(&self, bounds: Bounds, more: usize) -> bool {
        more == 0
            || (self.partitions.len().saturating_add(more) <= bounds.of_session
                && self.counted.load(Ordering::Relaxed).saturating_add(more) <= bounds.of_all)
    }

    fn put(&mut self, wanted: Wanted) {
        let key = (wanted.topic.clone(), wanted.partition);
        if let Some(cached) = self.partitions.get_mut(&key) {
            cached.wanted = wanted;
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.order.insert(place, key.clone());
        self.partitions.insert(key, Cached { place, wanted, high_watermark: -1, log_start_offset: -1 });
        self.counted.fetch_add(1, Ordering::Relaxed);
    }

    fn has(&self, wanted: &Wanted) -> bool {
        self.partitions.contains_key(&(wanted.topic.clone(), wanted.partition))
    }

    fn forget(&mut self, key: &Key) {
        if let Some(cached) = self.partitions.remove(key) {
            self.order.remove(&cached.place);
            self.counted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn wanted(&self) -> Vec<Wanted> {
        self.order.values().filter_map(|key| Some(self.partitions.get(key)?.wanted.clone())).collect()
    }

    /// Notes what is answered and whether it is news for the client.
    fn note(&mut self, topic: &TopicKey, row: &PartitionData) -> bool {
        let key = (topic.clone(), row.partition_index);
        let Some(cached) = self.partitions.get_mut(&key) else { return true };
        let has_records = !row.records.is_empty();
        let moved = cached.high_watermark != row.high_watermark || cached.log_start_offset != row.log_start_offset;
        let news = has_records || moved || row.error_code.is_error() || row.diverging_epoch.epoch >= 0;
        // An error is told until the client says it knows: a forgotten watermark makes the next answer news again.
        let failed = row.error_code.is_error();
        cached.high_watermark = if failed { -1 } else { row.high_watermark };
        cached.log_start_offset = if failed { -1 } else { row.log_start_offset };
        if has_records {
            let place = self.next_place;
            self.next_place += 1;
            let old = std::mem::replace(&mut cached.place, place);
            self.order.remove(&old);
            self.order.insert(place, key);
        }
        news
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.counted.fetch_sub(self.partitions.len(), Ordering::Relaxed);
    }
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows that the client must see: all of them when `full`, else those that changed.
    pub fn changed_rows(&self, rows: Vec<(TopicKey, PartitionData)>, full: bool) -> Vec<(TopicKey, PartitionData)> {
        let mut state = self.lock();
        rows.into_iter().filter(|(topic, row)| state.note(topic, row) || full).collect()
    }
}

/// Partitions that may be remembered.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    of_session: usize,
    of_all: usize,
}

/// All sessions of this broker.
pub struct Sessions {
    sessions_max: usize,
    bounds: Bounds,
    by_id: Mutex<HashMap<i32, Arc<Session>>>,
    /// Partitions of all sessions, those that a request still holds included.
    partitions: Arc<AtomicUsize>,
}

impl Sessions {
    pub fn new(sessions_max: usize) -> Sessions {
        let bounds = Bounds { of_session: SESSION_PARTITIONS_MAX, of_all: PARTITIONS_MAX };
        Sessions { sessions_max, bounds, by_id: Mutex::default(), partitions: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Arc<Session>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Steps the session that a request names, or opens or closes one.
    pub fn step(&self, request: &FetchRequest, version: i16) -> Result<Step, ErrorCode> {
        match request.session_epoch {
            FINAL_EPOCH => {
                self.lock().remove(&request.session_id);
                Ok(Step { wanted: wanted_of(request, version), session: None, session_id: 0, full: true })
            }
            INITIAL_EPOCH => {
                self.lock().remove(&request.session_id);
                let wanted = wanted_of(request, version);
                let session = if wanted.is_empty() { None } else { self.open(&wanted, version) };
                let session_id = session.as_ref().map_or(0, |session| session.id);
                Ok(Step { wanted, session, session_id, full: true })
            }
            epoch => self.go_on(request, version, epoch),
        }
    }

    fn go_on(&self, request: &FetchRequest, version: i16, epoch: i32) -> Result<Step, ErrorCode> {
        let session = self.lock().get(&request.session_id).cloned();
        let session = session.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.by_id != (version >= TOPIC_ID_SINCE) {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        let mut state = session.lock();
        if state.next_epoch != epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        state.next_epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        state.used_at = Instant::now();
        for forgotten in &request.forgotten_topics_data {
            forgotten_keys(forgotten, version).for_each(|key| state.forget(&key));
        }
        let more = wanted_of(request, version);
        let new = more.iter().filter(|wanted| !state.has(wanted)).count();
        if !state.may_grow(self.bounds, new) {
            // The client begins anew with all that it wants, and is given no session for it.
            drop(state);
            self.lock().remove(&session.id);
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        more.into_iter().for_each(|wanted| state.put(wanted));
        let wanted = state.wanted();
        drop(state);
        Ok(Step { wanted, session_id: session.id, session: Some(session), full: false })
    }

    fn open(&self, wanted: &[Wanted], version: i16) -> Option<Arc<Session>> {
        let now = Instant::now();
        let mut state = State::new(now, self.partitions.clone());
        if wanted.len() > self.bounds.of_session {
            return None;
        }
        let mut by_id = self.lock();
        while by_id.len() >= self.sessions_max || !state.may_grow(self.bounds, wanted.len()) {
            let oldest = by_id.values().map(|session| (session.lock().used_at, session.id)).min()?;
            if now.duration_since(oldest.0) < EVICTABLE_AFTER {
                return None;
            }
            by_id.remove(&oldest.1);
        }
        let id = loop {
            // A random id, so that a client cannot name another's session by counting.
            let random = (uuid::Uuid::new_v4().as_u128() & 0x7fff_ffff) as i32;
            if random != 0 && !by_id.contains_key(&random) {
                break random;
            }
        };
        wanted.iter().cloned().for_each(|wanted| state.put(wanted));
        let session = Arc::new(Session { id, by_id: version >= TOPIC_ID_SINCE, state: Mutex::new(state) });
        by_id.insert(id, session.clone());
        Some(session)
    }
}

fn wanted_of(request: &FetchRequest, version: i16) -> Vec<Wanted> {
    let of_topic = |topic: &FetchTopic| {
        let key = TopicKey::of(version, &topic.topic, topic.topic_id);
        let of_partition = |partition: &FetchPartition| Wanted {
            topic: key.clone(),
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            bytes_max: u32::try_from(partition.partition_max_bytes).unwrap_or(0),
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        };
        topic.partitions.iter().map(of_partition).collect::<Vec<_>>()
    };
    request.topics.iter().flat_map(of_topic).collect()
}

fn forgotten_keys(forgotten: &ForgottenTopic, version: i16) -> impl Iterator<Item = Key> {
    let topic = TopicKey::of(version, &forgotten.topic, forgotten.topic_id);
    forgotten.partitions.iter().map(move |partition| (topic.clone(), *partition))
}

#[cfg(test)]
mod tests;
