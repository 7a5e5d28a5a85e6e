//! A partition's manifest as its leader holds it: start a session, commit, move the log start, spill; readers take views.
//!
//! One mutation at a time; uploads may overlap, their commits are serial. A view is exposed only after the log start it
//! carries was checkpointed (`open`'s hook). Local segments may be unlinked only below `durable_next_offset`, which is
//! what the copy on disk, synced, says.
//!
//! Leadership start writes the head once under the new token and session before anything else is written, the first
//! segment included: from then on no older session can commit.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use stratalog_types::Offset;
use uuid::Uuid;

use super::ambient::Ambient;
use super::commit::{Active, State};
use super::error::ManifestError;
use super::head::{Head, HeadState, Identity};
use super::local_copy::{Found, LocalCopy};
use super::page::Page;
use super::pages::{PageCache, PageReader};
use super::plan::{self, Limits, Refusal, SpillRun};
use super::view::ManifestView;
use crate::entry::Entry;
use crate::object_key::{ObjectName, TierPartition};
use crate::planted::{Bug, planted};
use crate::recovery::{self, Leadership, Reconcile, Started};
use crate::store::{Purpose, Store, StoreError};

/// The waits that make deletion safe for readers. No wall clock is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// G: how long this session must have seen a mark before its object goes. At least the longest use of a view plus the
    /// longest read started under it.
    pub mark: Duration,
    /// H: how long a reader may use a view.
    pub head_use: Duration,
    /// S: the sweeper leaves younger objects alone, by the store's clock. Tidiness, not safety.
    pub sweep_age: Duration,
    /// L: the longest time in which a sent PUT can still take effect.
    pub late_put: Duration,
}

impl Default for Grace {
    fn default() -> Grace {
        Grace {
            mark: Duration::from_secs(600),
            head_use: Duration::from_secs(60),
            sweep_age: Duration::from_secs(24 * 3600),
            late_put: Duration::from_secs(3600),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    pub attempts_max: u32,
    /// Before the second attempt; doubles, with jitter.
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { attempts_max: 5, backoff: Duration::from_millis(50) }
    }
}

#[derive(Debug, Clone)]
pub struct ManifestConfig {
    pub identity: Identity,
    /// The partition's directory, for the local copy.
    pub directory: PathBuf,
    pub grace: Grace,
    pub retry: Retry,
    pub limits: Limits,
}

impl ManifestConfig {
    pub(crate) fn of(&self) -> TierPartition {
        self.identity.of
    }
}

/// What is true after a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    pub version: u64,
    /// Checkpointed by the hook before it was exposed. May lag behind what was asked while marks are full.
    pub log_start_offset: Offset,
    pub next_offset: Offset,
    /// Local segments that end at or below it may be unlinked.
    pub durable_next_offset: Offset,
}

/// The broker's half of the partition's directory. Both are called on a blocking thread.
pub trait PartitionLog: Send + Sync {
    /// Makes a moved log start durable in the broker's checkpoint, before it is exposed.
    fn checkpoint_log_start(&self, offset: Offset) -> io::Result<()>;

    /// Runs `write` while the directory is sure to be this partition's. Once it was deleted, another partition may have
    /// the name: then this is an error and nothing runs.
    fn in_directory(&self, write: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()>;
}

/// For tests whose directory is nobody else's: the checkpoint alone.
#[cfg(test)]
impl<F: Fn(Offset) -> io::Result<()> + Send + Sync> PartitionLog for F {
    fn checkpoint_log_start(&self, offset: Offset) -> io::Result<()> {
        self(offset)
    }

    fn in_directory(&self, write: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        write()
    }
}

/// Cheap to clone; all clones are one session.
#[derive(Clone)]
pub struct PartitionManifest(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: ManifestConfig,
    pub(crate) ambient: Arc<Ambient>,
    pub(crate) pages: PageReader,
    pub(crate) copy: LocalCopy,
    pub(crate) log: Arc<dyn PartitionLog>,
    view: RwLock<Arc<ManifestView>>,
    durable_next_offset: Mutex<Offset>,
    /// Version of the copy found at open, and whether there ever was one.
    found: (bool, u64),
    pub(crate) state: tokio::sync::Mutex<State>,
    pub(crate) pending: Arc<Mutex<HashSet<Uuid>>>,
}

impl PartitionManifest {
    /// Opens the local copy: reads below the tiered end can begin, the bucket is not asked. Blocking file work.
    pub fn open(
        store: Arc<dyn Store>,
        config: ManifestConfig,
        ambient: Arc<Ambient>,
        cache: PageCache,
        log: Arc<dyn PartitionLog>,
    ) -> Result<PartitionManifest, ManifestError> {
        let copy = LocalCopy::in_directory(&config.directory);
        let found = copy.open().map_err(|source| ManifestError::LocalCopy { path: copy.path(), source })?;
        let (existed, head) = match found {
            Found::None => (false, None),
            Found::Head(head) => (true, Some(Arc::from(head))),
            Found::Damaged => {
                tracing::error!(of = %config.of(), path = %copy.path().display(), "local manifest copy is damaged: asking the bucket");
                (true, None)
            }
        };
        let pages = PageReader::new(Arc::clone(&store), cache, config.of());
        let version = head.as_ref().map_or(0, |head: &Arc<Head>| head.version);
        let durable = head.as_ref().map_or(Offset::ZERO, |head| head.next_offset);
        let inner = Inner {
            store,
            config,
            ambient,
            copy,
            log,
            view: RwLock::new(Arc::new(ManifestView::new(head.clone(), pages.clone()))),
            pages,
            durable_next_offset: Mutex::new(durable),
            found: (existed, version),
            state: tokio::sync::Mutex::new(State::Idle),
            pending: Arc::default(),
        };
        if let Some(head) = head {
            inner.check_identity(&head)?;
        }
        Ok(PartitionManifest(Arc::new(inner)))
    }

    /// The newest version known to this process: never waits.
    pub fn snapshot(&self) -> Arc<ManifestView> {
        self.0.view()
    }

    pub fn partition(&self) -> TierPartition {
        self.0.config.of()
    }

    /// Local segments that end at or below it may be unlinked.
    pub fn durable_next_offset(&self) -> Offset {
        self.0.durable_next_offset()
    }

    /// Fences the head under this leadership (3.1). Any earlier session of this handle ends.
    pub async fn start(&self, leadership: &Leadership) -> Result<Started, ManifestError> {
        let inner = &self.0;
        let mut state = inner.state.lock().await;
        *state = State::Idle;
        let (token, session) = (leadership.token(), (inner.ambient.uuid)());
        let mut unfenced = None;
        for attempt in 0..inner.config.retry.attempts_max {
            let (base, etag) = match inner.get_head().await? {
                Some((head, etag, bytes)) => {
                    if head.session == session {
                        let active = Active::new(token, session, Arc::new(head.clone()), etag.clone());
                        return inner
                            .activate(&mut state, active, (head, etag, bytes), leadership, unfenced.as_ref())
                            .await;
                    }
                    inner.check_startable(&head)?;
                    if head.token.outranks(&token) {
                        *state = State::Fenced { by: head.token, mine: token };
                        return Ok(Started::Fenced { by: head.token });
                    }
                    if planted(Bug::ReconcileUnfenced) && unfenced.is_none() {
                        unfenced = Some(head.clone());
                    }
                    (head, Some(etag))
                }
                None => {
                    let fresh = leadership.topic_is_new && !inner.found.0 && !inner.view().is_known();
                    if !fresh && !planted(Bug::CreateOverMissingHead) {
                        return Err(inner.head_gone().await);
                    }
                    (Head::empty(inner.config.identity.clone()), None)
                }
            };
            let mut next = base;
            next.identity.topic_name.clone_from(&inner.config.identity.topic_name);
            let next = inner.seal(next, token, session);
            let bytes = inner.encode(&next)?;
            let key = inner.config.of().head();
            let answer = match &etag {
                Some(etag) => inner.store.put_if_match(&key, bytes.clone().into(), etag, Purpose::Commit).await,
                None => inner.store.put_create(&key, bytes.clone().into(), Purpose::Commit).await,
            };
            match answer {
                Ok(etag) => {
                    let active = Active::new(token, session, Arc::new(next.clone()), etag.clone());
                    return inner
                        .activate(&mut state, active, (next, etag, bytes), leadership, unfenced.as_ref())
                        .await;
                }
                Err(StoreError::Refused { key, reason }) => {
                    return Err(inner.store_error(StoreError::Refused { key, reason }));
                }
                // Lost or in doubt: the loop reads again and finds our session, or plans anew.
                Err(_) => inner.back_off(attempt).await,
            }
        }
        Err(ManifestError::Contended { of: inner.config.of(), attempts: inner.config.retry.attempts_max })
    }

    /// Says that the log was reconciled as `Started::ReconcileNeeded` asked: commits may begin.
    pub async fn reconciled(&self) -> Result<(), ManifestError> {
        match &mut *self.0.state.lock().await {
            State::Active(active) => {
                active.reconciled = true;
                Ok(())
            }
            State::Idle | State::Fenced { .. } | State::Gone => Err(ManifestError::Inactive { of: self.partition() }),
        }
    }

    /// Ends the session: leadership was lost or the broker stops.
    pub async fn stop(&self) {
        *self.0.state.lock().await = State::Idle;
    }

    /// A fresh name for a segment that begins at `base_offset`. Only an active session hands out names, so no segment is
    /// stored before its head is fenced; the sweeper leaves the name alone while the guard lives.
    pub async fn begin_upload(&self, base_offset: Offset) -> Result<PendingUpload, ManifestError> {
        let leader_epoch = match self.0.state.lock().await.active(&self.0) {
            Ok(active) => active.token.leader_epoch,
            Err(_) if planted(Bug::UploadBeforeBump) => stratalog_types::LeaderEpoch::NONE,
            Err(error) => return Err(error),
        };
        let mut uuid = (self.0.ambient.uuid)();
        if planted(Bug::NameReuse) {
            uuid = Uuid::from_u128(0xdead << 64 | base_offset.get().unsigned_abs() as u128);
        }
        lock(&self.0.pending).insert(uuid);
        let name = ObjectName { base_offset, leader_epoch, uuid };
        Ok(PendingUpload { of: self.partition(), name, pending: Arc::clone(&self.0.pending) })
    }

    /// Commits a stored and verified segment (3.2), carrying the leader's log start.
    ///
    /// After a retriable error call again with the same upload and entry: a commit that landed meanwhile is found. After
    /// a refusal forget the upload; never delete its object, a commit naming it may be in flight.
    pub async fn commit_segment(
        &self,
        upload: &PendingUpload,
        mut entry: Entry,
        log_start_offset: Offset,
    ) -> Result<Committed, ManifestError> {
        let inner = &self.0;
        if ObjectName::of(&entry) != upload.name {
            let (base_offset, next_offset) = (entry.base_offset, upload.name.base_offset);
            return Err(Refusal::DoesNotFit { base_offset, next_offset }.into());
        }
        let mut state = inner.state.lock().await;
        let now_ms = (inner.ambient.wall_ms)();
        entry.committed_at = now_ms;
        let limits = &inner.config.limits;
        if plan::spill_run(&state.active(inner)?.head, limits).is_some() {
            match inner.spill_once(&mut state).await {
                // The head has a little room left; the plan says when it has not.
                Err(error) if error.is_retriable() => {
                    tracing::warn!(of = %inner.config.of(), error = &error as &dyn std::error::Error, "manifest not spilled");
                }
                other => drop(other?),
            }
        }
        let committed = inner
            .commit(&mut state, |head, pages| plan::plan_commit(head, &entry, log_start_offset, now_ms, pages, limits))
            .await;
        if committed.is_err() && planted(Bug::DeleteOnDoubt) {
            let _ = inner.store.delete(&upload.key(), Purpose::Upload).await;
        }
        committed
    }

    /// Moves the log start (DeleteRecords' follow-up, or retention decided elsewhere): in one commit, as far as there is
    /// room for marks.
    pub async fn advance_log_start(&self, target: Offset) -> Result<Committed, ManifestError> {
        let mut state = self.0.state.lock().await;
        self.0.advance(&mut state, target).await
    }

    /// Moves what the head holds too much of into pages; `None` when there was nothing to move.
    pub async fn spill(&self) -> Result<Option<Committed>, ManifestError> {
        let mut state = self.0.state.lock().await;
        let mut last = None;
        while let Some(committed) = self.0.spill_once(&mut state).await? {
            last = Some(committed);
        }
        Ok(last)
    }

    /// Swaps a run of newest segments for one that holds the same interval and is stored and verified (3.6).
    pub async fn replace(
        &self,
        upload: &PendingUpload,
        run: &[Entry],
        mut entry: Entry,
    ) -> Result<Committed, ManifestError> {
        if ObjectName::of(&entry) != upload.name {
            return Err(Refusal::RunChanged.into());
        }
        let mut state = self.0.state.lock().await;
        let now_ms = (self.0.ambient.wall_ms)();
        entry.committed_at = now_ms;
        let limits = &self.0.config.limits;
        self.0.commit(&mut state, |head, _| plan::plan_replace(head, run, &entry, now_ms, limits)).await
    }
}

impl Inner {
    pub(crate) fn view(&self) -> Arc<ManifestView> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_view(&self, view: ManifestView) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    pub(crate) fn durable_next_offset(&self) -> Offset {
        *lock(&self.durable_next_offset)
    }

    pub(crate) fn set_durable(&self, head: &Head) {
        *lock(&self.durable_next_offset) = head.next_offset;
    }

    fn check_startable(&self, head: &Head) -> Result<(), ManifestError> {
        let of = self.config.of();
        if head.state == HeadState::Tombstone {
            return Err(ManifestError::TopicDeleted { of });
        }
        let known = self.found.1.max(self.view().version());
        if head.version < known {
            return Err(ManifestError::RolledBack { of, found: head.version, known });
        }
        Ok(())
    }

    async fn activate(
        &self,
        state: &mut State,
        mut active: Active,
        (head, etag, bytes): (Head, crate::store::Etag, Vec<u8>),
        leadership: &Leadership,
        unfenced: Option<&Head>,
    ) -> Result<Started, ManifestError> {
        let committed = self.adopt(&mut active, head, etag, bytes).await?;
        let cause = recovery::cause(unfenced.unwrap_or(&active.head), leadership);
        active.reconciled = cause.is_none();
        *state = State::Active(Box::new(active));
        let (log_start_offset, next_offset) = (committed.log_start_offset, committed.next_offset);
        let Some(cause) = cause else { return Ok(Started::Active { log_start_offset, next_offset }) };
        let last_entry = self.view().last_entry().await?;
        Ok(Started::ReconcileNeeded(Reconcile { cause, log_start_offset, next_offset, last_entry }))
    }

    pub(crate) async fn advance(&self, state: &mut State, target: Offset) -> Result<Committed, ManifestError> {
        let (now_ms, limits) = ((self.ambient.wall_ms)(), &self.config.limits);
        let committed =
            self.commit(state, |head, pages| plan::plan_log_start(head, target, now_ms, pages, limits)).await?;
        if planted(Bug::PageDeletedAtOnce) {
            let head = std::sync::Arc::clone(&state.active(self)?.head);
            for mark in head.marks.iter().filter(|mark| mark.kind == super::head::MarkKind::Page) {
                let _ = self.store.delete(&mark.key(self.config.of()), Purpose::Retention).await;
            }
        }
        Ok(committed)
    }

    /// Page first, verified by reading it back, then the head that names it. A crash between leaves an orphan page.
    async fn spill_once(&self, state: &mut State) -> Result<Option<Committed>, ManifestError> {
        let active = state.active(self)?;
        let Some(run) = plan::spill_run(&active.head, &self.config.limits) else { return Ok(None) };
        let leader_epoch = active.token.leader_epoch;
        let SpillRun { level, items } = run.clone();
        let page = Page { of: self.config.of(), level, uuid: (self.ambient.uuid)(), items };
        let Some((bytes, reference)) = page.seal(leader_epoch) else { return Ok(None) };
        if planted(Bug::PageCommittedBeforePut) {
            let committed = self.commit(state, |head, _| plan::plan_spill(head, &run, &reference)).await?;
            self.put_page(&reference, bytes).await?;
            return Ok(Some(committed));
        }
        self.put_page(&reference, bytes).await?;
        let committed = self.commit(state, |head, _| plan::plan_spill(head, &run, &reference)).await;
        match committed {
            // A request in doubt had landed before and the run is spilled already: the page is an orphan.
            Err(ManifestError::Refused(Refusal::RunChanged)) => Ok(Some(self.committed(&state.active(self)?.head))),
            other => other.map(Some),
        }
    }

    async fn put_page(&self, reference: &super::page::PageRef, bytes: Vec<u8>) -> Result<(), ManifestError> {
        let key = self.config.of().page(&reference.name());
        match self.store.put_create(&key, bytes.into(), Purpose::Commit).await {
            Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::Ambiguous { .. }) => {}
            Err(error) => return Err(self.store_error(error)),
        }
        self.pages.load(reference).await?;
        Ok(())
    }
}

/// A name that this session may commit; the sweeper spares it while this lives.
#[derive(Debug)]
pub struct PendingUpload {
    of: TierPartition,
    name: ObjectName,
    pending: Arc<Mutex<HashSet<Uuid>>>,
}

impl PendingUpload {
    pub fn name(&self) -> ObjectName {
        self.name
    }

    /// Where the object goes.
    pub fn key(&self) -> String {
        self.of.segment(&self.name)
    }
}

impl Drop for PendingUpload {
    fn drop(&mut self) {
        lock(&self.pending).remove(&self.name.uuid);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Grows with the attempts, with jitter.
pub(crate) async fn back_off(ambient: &Ambient, retry: Retry, attempt: u32) {
    let base = retry.backoff.saturating_mul(1 << attempt.min(6));
    if base.is_zero() {
        return tokio::task::yield_now().await;
    }
    let [jitter, ..] = *(ambient.uuid)().as_bytes();
    tokio::time::sleep(base + base.mul_f64(f64::from(jitter) / 1024.0)).await;
}
