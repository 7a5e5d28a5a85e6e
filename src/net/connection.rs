//! One connection: reads frames, has them placed in order, sends the replies in order.
//!
//! One task does it all, so a request costs no hop between threads. Replies that are ready together leave in one write.
//!
//! A peer's end is seen also while its requests wait: a little is read ahead then, and nothing is placed. What was placed
//! learns of it (`RequestContext::peer_gone`), so that no long poll outlives its client; what changes something goes on.
//!
//! Answers that wait in memory for a peer that does not read are bounded (`answers.rs`): above a bound nothing more is
//! placed, and while others wait for their memory the connection goes.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesOrdered, StreamExt};
use stratalog_protocol::part::Part;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Sleep, sleep, sleep_until};

use super::frame::{FrameError, FrameReader};
use super::memory::{RequestMemory, Room};
use super::request::{Dispatch, Placed, Reply, RequestContext};
use super::send::send_parts;
use crate::metrics::Metrics;

/// Requests of one connection that may be placed and not yet answered.
const INFLIGHT_REQUESTS_MAX: usize = 64;
/// Between two looks at a slow frame, once its first time is over.
const SLOW_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes that may wait in memory while nothing may be placed: enough to see whether the peer is still there.
const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of memory parts gathered into one write before it is sent.
const COALESCE_BYTES_MAX: usize = 256 * 1024;

pub struct ConnectionConfig {
    pub frame_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    pub metrics: Arc<Metrics>,
    pub memory: Arc<RequestMemory>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("closed by the client")]
    ByClient,
    #[error("closed for shutdown")]
    Shutdown,
    #[error("idle for longer than connections.max.idle.ms")]
    Idle,
    #[error("the peer read nothing of its answers for connections.max.idle.ms")]
    NotReading,
    #[error("the peer read its answers so slowly that others waited for their memory (stratalog.fetch.memory.bytes)")]
    SlowReader,
    #[error("a request came so slowly that others waited for its memory (queued.max.request.bytes)")]
    SlowRequest,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
}

impl Ended {
    /// Why the broker closed it, for the metrics; `None` where the client or a stop did.
    pub fn by_broker(&self) -> Option<&'static str> {
        match self {
            Ended::Idle => Some("idle"),
            Ended::NotReading => Some("not_reading"),
            Ended::SlowRequest => Some("slow_request"),
            Ended::SlowReader => Some("slow_reader"),
            Ended::Frame(_) | Ended::Protocol(_) => Some("protocol"),
            Ended::ByClient | Ended::Shutdown | Ended::Io(_) => None,
        }
    }
}

pub struct Connection {
    stream: TcpStream,
    context: RequestContext,
    dispatch: Dispatch,
    reader: FrameReader,
    inflight: FuturesOrdered<BoxFuture<'static, Reply>>,
    /// A serial request that waits for `inflight` to drain, or is the only one in it.
    serial: Serial,
    /// A request that is being placed: nothing later is, until it has been.
    admitting: Option<Admitting>,
    shutdown: watch::Receiver<bool>,
    idle_max: Duration,
    idle_timer: Pin<Box<Sleep>>,
    last_active: Instant,
    peer_gone: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    memory: Arc<RequestMemory>,
    room: FrameRoom,
}

/// Whether the frame that is being read may be held in memory.
enum FrameRoom {
    /// Its length is not known yet.
    NotAsked,
    Waiting(BoxFuture<'static, Option<Room>>),
    Given {
        _held: Room,
        /// When it is looked at whether the frame comes too slowly.
        look_at: Instant,
    },
}

struct Admitting {
    admitted: oneshot::Receiver<()>,
    _held: Option<Room>,
}

enum Serial {
    None,
    Waiting(BoxFuture<'static, Reply>),
    Running,
}

impl Connection {
    pub fn new(
        stream: TcpStream,
        mut context: RequestContext,
        dispatch: Dispatch,
        config: &ConnectionConfig,
        shutdown: watch::Receiver<bool>,
    ) -> Connection {
        let (peer_gone, gone) = watch::channel(false);
        context.peer_gone = gone;
        Connection {
            stream,
            context,
            dispatch,
            reader: FrameReader::new(config.frame_bytes_max),
            inflight: FuturesOrdered::new(),
            serial: Serial::None,
            admitting: None,
            shutdown,
            idle_max: config.idle_max,
            idle_timer: Box::pin(sleep(config.idle_max)),
            last_active: Instant::now(),
            peer_gone,
            metrics: config.metrics.clone(),
            memory: config.memory.clone(),
            room: FrameRoom::NotAsked,
        }
    }

    /// Serves until the peer goes, breaks the protocol, idles too long, or the server drains.
    pub async fn run(mut self) -> Ended {
        let answers = self.context.answers.clone();
        tokio::select! {
            biased;
            ended = self.serve() => match ended {
                Ok(ended) | Err(ended) => ended,
            },
            () = answers.overdue() => Ended::SlowReader,
        }
    }

    async fn serve(&mut self) -> Result<Ended, Ended> {
        // A frame error closes the connection only after the replies to what came before it.
        let mut broken: Option<FrameError> = None;
        let mut at_end = false;
        loop {
            while broken.is_none() && self.may_place() && !self.is_draining() && self.has_room() {
                match self.reader.next_frame() {
                    Ok(Some(frame)) => self.place(frame),
                    Ok(None) => break,
                    Err(error) => broken = Some(error),
                }
            }
            if self.inflight.is_empty() {
                if let Some(error) = broken {
                    return Err(error.into());
                }
                if self.is_draining() {
                    return Ok(Ended::Shutdown);
                }
                if at_end {
                    return Ok(Ended::ByClient);
                }
            }
            let has_room = !matches!(self.room, FrameRoom::Waiting(_)) && self.may_place();
            let ahead = self.reader.buffered() < READ_AHEAD_BYTES_MAX;
            let may_read = (has_room || ahead) && broken.is_none() && !at_end && !self.is_draining();
            tokio::select! {
                biased;
                Some(reply) = self.inflight.next(), if !self.inflight.is_empty() => self.answer(reply).await?,
                read = self.reader.fill(&mut self.stream, has_room), if may_read => {
                    self.last_active = Instant::now();
                    let bytes = read?;
                    self.metrics.network_bytes_in.inc_by(bytes as u64);
                    if bytes == 0 {
                        at_end = true;
                        self.peer_gone.send_replace(true);
                    }
                }
                () = admitted(&mut self.admitting) => self.admitting = None,
                news = news(&mut self.room) => match news {
                    News::Given(room) => self.enter(room),
                    News::Slow => self.check_slow()?,
                },
                _ = self.shutdown.changed(), if !self.is_draining() => {}
                () = idle(&mut self.idle_timer), if self.inflight.is_empty() => self.check_idle()?,
            }
        }
    }

    fn may_place(&self) -> bool {
        matches!(self.serial, Serial::None)
            && self.admitting.is_none()
            && self.inflight.len() < INFLIGHT_REQUESTS_MAX
            && !self.context.answers.is_full()
    }

    fn is_draining(&self) -> bool {
        *self.shutdown.borrow()
    }

    /// Whether the next frame may be held in memory; asks for it once its length is known.
    fn has_room(&mut self) -> bool {
        if let (FrameRoom::NotAsked, Some(bytes)) = (&self.room, self.reader.frame_length()) {
            match self.memory.try_take(bytes) {
                Some(room) => self.enter(Some(room)),
                None => self.room = FrameRoom::Waiting(self.memory.clone().take(bytes).boxed()),
            }
        }
        !matches!(self.room, FrameRoom::Waiting(_))
    }

    fn enter(&mut self, room: Option<Room>) {
        let look_at = Instant::now() + self.memory.slow_after();
        self.room = room.map_or(FrameRoom::NotAsked, |room| FrameRoom::Given { _held: room, look_at });
    }

    fn check_slow(&mut self) -> Result<(), Ended> {
        if self.memory.is_wanted() {
            return Err(Ended::SlowRequest);
        }
        if let FrameRoom::Given { look_at, .. } = &mut self.room {
            *look_at = Instant::now() + SLOW_LOOK_INTERVAL;
        }
        Ok(())
    }

    /// An overlapping request's bytes are free when it has been placed, a serial one's when it is answered.
    fn place(&mut self, frame: bytes::Bytes) {
        let room = std::mem::replace(&mut self.room, FrameRoom::NotAsked);
        let mut context = self.context.clone();
        context.received_at = Instant::now();
        match (self.dispatch)(context, frame) {
            Placed::Overlapping(completion) => self.inflight.push_back(completion),
            Placed::Admitting { admitted, completion } => {
                let held = match room {
                    FrameRoom::Given { _held, .. } => Some(_held),
                    FrameRoom::NotAsked | FrameRoom::Waiting(_) => None,
                };
                self.admitting = Some(Admitting { admitted, _held: held });
                self.inflight.push_back(completion);
            }
            Placed::Serial(request) => {
                let held = async move {
                    let _room = room;
                    request.await
                }
                .boxed();
                if self.inflight.is_empty() {
                    self.inflight.push_back(held);
                    self.serial = Serial::Running;
                } else {
                    self.serial = Serial::Waiting(held);
                }
            }
        }
    }

    /// Sends `first` and every reply that is ready behind it.
    async fn answer(&mut self, first: Reply) -> Result<(), Ended> {
        let mut parts: VecDeque<Part> = VecDeque::new();
        let mut gathered = 0;
        let mut reply = Some(first);
        let mut close = None;
        while let Some(next) = reply.take() {
            match next {
                Reply::Parts(more) => {
                    gathered += more.iter().map(Part::length).sum::<usize>();
                    parts.extend(more);
                }
                Reply::Silent => {}
                Reply::Close(reason) => {
                    close = Some(reason);
                    break;
                }
            }
            if gathered >= COALESCE_BYTES_MAX {
                break;
            }
            reply = self.inflight.next().now_or_never().flatten();
        }
        let sent = send_parts(&self.stream, &mut parts, self.idle_max).await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Ended::NotReading,
            _ => Ended::Io(error),
        })?;
        self.metrics.network_bytes_out.inc_by(sent);
        if let Some(reason) = close {
            return Err(Ended::Protocol(reason));
        }
        if self.inflight.is_empty() {
            match std::mem::replace(&mut self.serial, Serial::None) {
                Serial::Waiting(request) => {
                    self.inflight.push_back(request);
                    self.serial = Serial::Running;
                }
                Serial::Running | Serial::None => {}
            }
        }
        self.last_active = Instant::now();
        Ok(())
    }

    fn check_idle(&mut self) -> Result<(), Ended> {
        let idle_for = self.last_active.elapsed();
        if idle_for >= self.idle_max {
            return Err(Ended::Idle);
        }
        self.idle_timer.as_mut().reset((Instant::now() + (self.idle_max - idle_for)).into());
        Ok(())
    }
}

/// Until the request that is being placed has been; for ever where there is none.
async fn admitted(admitting: &mut Option<Admitting>) {
    match admitting {
        // Dropped unsent, it will not be placed any more.
        Some(Admitting { admitted, .. }) => drop(admitted.await),
        None => std::future::pending().await,
    }
}

enum News {
    /// There is room for the frame; `None` at the end of the process.
    Given(Option<Room>),
    /// The frame should have been whole by now.
    Slow,
}

/// What becomes of the frame that is being read.
async fn news(room: &mut FrameRoom) -> News {
    match room {
        FrameRoom::NotAsked => std::future::pending().await,
        FrameRoom::Waiting(waiting) => News::Given(waiting.await),
        FrameRoom::Given { look_at, .. } => {
            sleep_until((*look_at).into()).await;
            News::Slow
        }
    }
}

fn idle<'a>(timer: &'a mut Pin<Box<Sleep>>) -> impl Future<Output = ()> + 'a {
    timer.as_mut()
}

/// What a connection's end is worth in the log.
pub fn log_end(ended: &Ended, context: &RequestContext) {
    match ended {
        Ended::ByClient | Ended::Shutdown | Ended::Idle | Ended::NotReading | Ended::Io(_) => {
            tracing::debug!(client = %context.client_address, "connection ended: {ended}");
        }
        Ended::Frame(_) | Ended::Protocol(_) | Ended::SlowRequest | Ended::SlowReader => {
            tracing::warn!(client = %context.client_address, listener = %context.listener, "connection closed: {ended}");
        }
    }
}
