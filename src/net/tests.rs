use std::collections::VecDeque;
use std::io::{Cursor, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use stratalog_protocol::part::{FileRange, Part};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};

use super::send::send_parts;
use super::*;
use crate::metrics::{Metrics, ReasonLabel};

const HOUR: Duration = Duration::from_secs(3600);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn parts_arrive_in_order() {
    let mut file = tempfile::tempfile().unwrap();
    let body: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
    file.write_all(&body).unwrap();
    let range = FileRange { file: Arc::new(file), position: 10, length: 2_500_000 };
    let (mut client, server) = pair().await;
    let mut parts: VecDeque<Part> = VecDeque::new();
    parts.push_back(Part::Bytes(Bytes::from_static(b"head")));
    parts.push_back(Part::File(range));
    for _ in 0..200 {
        parts.push_back(Part::Bytes(Bytes::from_static(b"x")));
    }
    let expected = [b"head".as_slice(), &body[10..2_500_010], &[b'x'; 200]].concat();
    let sender = tokio::spawn(async move { send_parts(&server, &mut parts, HOUR).await.unwrap() });
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(sender.await.unwrap(), expected.len() as u64);
    assert!(got == expected);
}

#[tokio::test]
async fn a_short_file_closes_instead_of_padding() {
    let range = FileRange { file: Arc::new(tempfile::tempfile().unwrap()), position: 0, length: 10 };
    let (_client, server) = pair().await;
    let error = send_parts(&server, &mut VecDeque::from([Part::File(range)]), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn frames_are_cut_however_the_bytes_arrive() {
    for step in [1usize, 3, 7, 64, 100_000] {
        let mut wire = Vec::new();
        for size in [0usize, 1, 5000, 70_000] {
            wire.extend_from_slice(&(size as i32).to_be_bytes());
            wire.extend(std::iter::repeat_n(size as u8, size));
        }
        let mut reader = FrameReader::new(100_000);
        let mut sizes = Vec::new();
        for piece in wire.chunks(step) {
            let mut stream = Cursor::new(piece);
            while reader.fill(&mut stream, true).await.unwrap() > 0 {}
            while let Some(frame) = reader.next_frame().unwrap() {
                assert!(frame.iter().all(|b| *b == frame.len() as u8));
                sizes.push(frame.len());
            }
        }
        assert_eq!(sizes, [0, 1, 5000, 70_000]);
        assert!(!reader.is_mid_frame());
    }
}

#[tokio::test]
async fn strangers_are_named() {
    let cases: [(&[u8], FrameError); 4] = [
        (b"\x16\x03\x01\x02\x00", FrameError::TlsOnPlaintext),
        (b"GET /metrics", FrameError::Http),
        (b"\xff\xff\xff\xff", FrameError::NegativeLength(-1)),
        (b"\x00\x10\x00\x00", FrameError::TooLarge { bytes: 1 << 20, max: 1000 }),
    ];
    for (bytes, error) in cases {
        let mut reader = FrameReader::new(1000);
        reader.fill(&mut Cursor::new(bytes), true).await.unwrap();
        assert_eq!(reader.next_frame(), Err(error));
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

fn echo(body: Bytes) -> Reply {
    Reply::Parts(vec![Part::Bytes(frame(&body).into())])
}

/// Serves one connection whose frames starting with 's' are serial; frames holding 'w' wait for `gate`; those starting
/// with 'a' wait for it to be placed, and once more to be answered.
async fn serve(gate: Arc<Notify>) -> (TcpStream, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    serve_counted(gate, Admission::new(10, 10, Arc::default()), HOUR).await
}

async fn serve_counted(
    gate: Arc<Notify>,
    admission: Arc<Admission>,
    idle_max: Duration,
) -> (TcpStream, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let (memory, answers) = (RequestMemory::new(1 << 20, HOUR, Arc::default()), plenty());
    let (address, stop, running) = serve_sharing(gate, admission, idle_max, memory, answers).await;
    (TcpStream::connect(address).await.unwrap(), stop, running)
}

fn plenty() -> Arc<AnswerMemory> {
    AnswerMemory::new(1 << 20, 1 << 20, HOUR, Arc::default())
}

async fn serve_sharing(
    gate: Arc<Notify>,
    admission: Arc<Admission>,
    idle_max: Duration,
    memory: Arc<RequestMemory>,
    answers: Arc<AnswerMemory>,
) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    serve_noting(gate, admission, idle_max, memory, answers, Arc::default()).await
}

/// Notes in `placed` what was placed.
async fn serve_noting(
    gate: Arc<Notify>,
    admission: Arc<Admission>,
    idle_max: Duration,
    memory: Arc<RequestMemory>,
    answers: Arc<AnswerMemory>,
    placed: Arc<Mutex<Vec<Bytes>>>,
) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let server = Server::bind(Config {
        listener: "PLAINTEXT".into(),
        address: "127.0.0.1:0".parse().unwrap(),
        frame_bytes_max: 1000,
        idle_max,
        backlog: 16,
        receive_buffer_bytes: Some(65_536),
        send_buffer_bytes: Some(65_536),
        admission,
        memory,
        answers,
    })
    .await
    .unwrap();
    let dispatch: Dispatch = Arc::new(move |context, body| {
        let gate = gate.clone();
        placed.lock().unwrap().push(body.clone());
        let serial = body.first() == Some(&b's');
        if body.first() == Some(&b'a') {
            let (placed, admitted) = oneshot::channel();
            let completion = async move {
                gate.notified().await;
                drop(placed);
                gate.notified().await;
                echo(body)
            };
            return Placed::Admitting { admitted, completion: completion.boxed() };
        }
        let reply = async move {
            if body.contains(&b'w') {
                gate.notified().await;
            }
            if let [b'm', megabytes] = body.as_ref() {
                let bytes = usize::from(*megabytes) << 20;
                let mut room = context.answers.clone().take(bytes).await.unwrap();
                let answer = room.bind(frame(&vec![b'm'; bytes]).into()).unwrap();
                return Reply::Parts(vec![Part::Bytes(answer)]);
            }
            if body.first() == Some(&b'!') { Reply::Close("told to".into()) } else { echo(body) }
        }
        .boxed();
        if serial { Placed::Serial(reply) } else { Placed::Overlapping(reply) }
    });
    let (stop, stopped) = watch::channel(false);
    let address = server.local_address();
    let running = tokio::spawn(server.run(dispatch, stopped));
    (address, stop, running)
}

async fn read_frames(client: &mut TcpStream, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for _ in 0..count {
        let length = client.read_i32().await.unwrap();
        let mut body = vec![0; length as usize];
        client.read_exact(&mut body).await.unwrap();
        frames.push(body);
    }
    frames
}

#[tokio::test]
async fn replies_keep_request_order_and_serial_requests_wait() {
    let gate = Arc::new(Notify::new());
    let (mut client, stop, running) = serve(gate.clone()).await;
    let wire: Vec<u8> = [b"w1".as_slice(), b"2", b"s3", b"4", b"sw5", b"6"].iter().flat_map(|b| frame(b)).collect();
    client.write_all(&wire).await.unwrap();
    gate.notify_one();
    assert_eq!(read_frames(&mut client, 4).await, [b"w1".to_vec(), b"2".to_vec(), b"s3".to_vec(), b"4".to_vec()]);
    gate.notify_one();
    assert_eq!(read_frames(&mut client, 2).await, [b"sw5".to_vec(), b"6".to_vec()]);
    stop.send(true).unwrap();
    running.await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

/// A request that is being placed holds back those behind it, and no longer than that; its bytes are held as long.
#[tokio::test]
async fn nothing_overtakes_a_request_that_is_being_placed() {
    let gate = Arc::new(Notify::new());
    let metrics: Arc<Metrics> = Arc::default();
    let memory = RequestMemory::new(1 << 20, HOUR, metrics.clone());
    let admission = Admission::new(10, 10, Arc::default());
    let placed = Arc::new(Mutex::new(Vec::new()));
    let (address, _stop, _running) =
        serve_noting(gate.clone(), admission, HOUR, memory, plenty(), placed.clone()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&[frame(b"1"), frame(b"a2"), frame(b"3")].concat()).await.unwrap();
    assert_eq!(read_frames(&mut client, 1).await, [b"1".to_vec()]);
    until(|| placed.lock().unwrap().len() == 2).await;
    assert!(metrics.request_memory.get() > 0, "the bytes of what is being placed are not counted");
    // However often the connection is polled: the third is not placed.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(placed.lock().unwrap().len(), 2);
    gate.notify_one();
    until(|| placed.lock().unwrap().len() == 3).await;
    until(|| metrics.request_memory.get() == 0).await;
    gate.notify_one();
    assert_eq!(read_frames(&mut client, 2).await, [b"a2".to_vec(), b"3".to_vec()]);
}

#[tokio::test]
async fn shutdown_answers_what_was_placed() {
    let gate = Arc::new(Notify::new());
    let (mut client, stop, running) = serve(gate.clone()).await;
    client.write_all(&[frame(b"1"), frame(b"w")].concat()).await.unwrap();
    assert_eq!(read_frames(&mut client, 1).await, [b"1".to_vec()]);
    stop.send(true).unwrap();
    gate.notify_one();
    assert_eq!(read_frames(&mut client, 1).await, [b"w".to_vec()]);
    running.await.unwrap();
}

#[tokio::test]
async fn replies_before_a_broken_frame_still_leave() {
    let (mut client, _stop, _running) = serve(Arc::new(Notify::new())).await;
    client.write_all(&[frame(b"1"), b"\xff\xff\xff\xff".to_vec()].concat()).await.unwrap();
    assert_eq!(read_frames(&mut client, 1).await, [b"1".to_vec()]);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn connections_and_bytes_are_counted() {
    let metrics: Arc<Metrics> = Arc::default();
    let admission = Admission::new(10, 10, metrics.clone());
    let (mut client, stop, running) = serve_counted(Arc::new(Notify::new()), admission, HOUR).await;
    client.write_all(&frame(b"12345")).await.unwrap();
    assert_eq!(read_frames(&mut client, 1).await, [b"12345".to_vec()]);
    assert_eq!((metrics.connections_accepted.get(), metrics.connections.get()), (1, 1));
    client.write_all(b"\xff\xff\xff\xff").await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    stop.send(true).unwrap();
    running.await.unwrap();
    assert_eq!((metrics.network_bytes_in.get(), metrics.network_bytes_out.get()), (13, 9));
    assert_eq!(metrics.connections.get(), 0);
    let closed = metrics.connections_refused.get_or_create(&ReasonLabel { reason: "protocol" }).get();
    assert_eq!(closed, 1);
}

/// Returns when it is so; a state that never comes fails the test.
async fn until(reached: impl Fn() -> bool) {
    let waiting = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the awaited state did not come");
}

/// Waits until the broker has closed a connection for `reason`.
async fn closed_for(metrics: &Metrics, reason: &'static str) {
    let closed = metrics.connections_refused.get_or_create_owned(&ReasonLabel { reason });
    let closing = async {
        while closed.get() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closing).await.expect(reason);
}

#[tokio::test]
async fn a_peer_that_never_reads_is_closed() {
    let metrics: Arc<Metrics> = Arc::default();
    let admission = Admission::new(10, 10, metrics.clone());
    let idle_max = Duration::from_millis(50);
    let (client, _stop, _running) = serve_counted(Arc::new(Notify::new()), admission, idle_max).await;
    // Answers that nobody reads fill both sockets' buffers; the writes here stop there too.
    let (_unread, mut asks) = client.into_split();
    let asking = tokio::spawn(async move { while asks.write_all(&frame(&[b'x'; 900])).await.is_ok() {} });
    closed_for(&metrics, "not_reading").await;
    asking.await.unwrap();
}

#[tokio::test]
async fn requests_of_all_connections_share_the_memory() {
    let metrics: Arc<Metrics> = Arc::default();
    let (gate, admission) = (Arc::new(Notify::new()), Admission::new(10, 10, metrics.clone()));
    let memory = RequestMemory::new(2048, HOUR, metrics.clone());
    let (address, _stop, _running) = serve_sharing(gate.clone(), admission, HOUR, memory.clone(), plenty()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&frame(b"sw")).await.unwrap();
        clients.push(client);
    }
    while !(memory.is_wanted() && metrics.request_memory.get() == 2048) {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        gate.notify_one();
        let answered = clients.iter_mut().map(|client| Box::pin(client.read_u8()));
        let (_, index, _) = futures::future::select_all(answered).await;
        drop(clients.remove(index));
        assert!(metrics.request_memory.get() <= 2048);
    }
    while metrics.request_memory.get() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_that_trickles_in_gives_way_to_those_who_wait() {
    let metrics: Arc<Metrics> = Arc::default();
    let admission = Admission::new(10, 10, metrics.clone());
    let memory = RequestMemory::new(1024, Duration::from_millis(20), metrics.clone());
    let (address, _stop, _running) = serve_sharing(Arc::new(Notify::new()), admission, HOUR, memory, plenty()).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&900i32.to_be_bytes()).await.unwrap();
    while metrics.request_memory.get() == 0 {
        tokio::task::yield_now().await;
    }
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&frame(b"1")).await.unwrap();
    assert_eq!(read_frames(&mut client, 1).await, [b"1".to_vec()]);
    closed_for(&metrics, "slow_request").await;
    assert_eq!(slow.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_leaves_its_answers_unread_gives_way_to_those_who_wait() {
    let metrics: Arc<Metrics> = Arc::default();
    let admission = Admission::new(10, 10, metrics.clone());
    let memory = RequestMemory::new(1 << 20, HOUR, Arc::default());
    let answers = AnswerMemory::new(3 << 20, 3 << 20, Duration::from_millis(20), metrics.clone());
    let (address, _stop, _running) =
        serve_sharing(Arc::new(Notify::new()), admission, HOUR, memory, answers.clone()).await;
    let mut unread = TcpStream::connect(address).await.unwrap();
    unread.write_all(&frame(&[b'm', 2])).await.unwrap();
    while metrics.answer_memory.get() < 2 << 20 {
        tokio::task::yield_now().await;
    }
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&frame(&[b'm', 2])).await.unwrap();
    assert_eq!(read_frames(&mut client, 1).await[0].len(), 2 << 20);
    closed_for(&metrics, "slow_reader").await;
    drop(client);
    while metrics.answer_memory.get() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nothing_more_is_placed_where_much_is_unsent() {
    let metrics: Arc<Metrics> = Arc::default();
    let admission = Admission::new(10, 10, metrics.clone());
    let memory = RequestMemory::new(1 << 20, HOUR, metrics.clone());
    let answers = AnswerMemory::new(1 << 30, 1 << 30, HOUR, metrics.clone());
    let gate = Arc::new(Notify::new());
    let (address, _stop, _running) = serve_sharing(gate.clone(), admission, HOUR, memory, answers).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    // All but the first are ready at once and wait for it; each comes when the one before it is seen to be ready.
    client.write_all(&frame(b"w")).await.unwrap();
    for ready in 1..=2 {
        client.write_all(&frame(&[b'm', 4])).await.unwrap();
        while metrics.answer_memory.get() < ready * (4 << 20) {
            tokio::task::yield_now().await;
        }
    }
    client.write_all(&[frame(&[b'm', 4]), frame(b"2")].concat()).await.unwrap();
    // Both are read ahead, and stay where they are.
    while metrics.network_bytes_in.get() < 5 + 3 * 6 + 5 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(metrics.answer_memory.get() < 12 << 20);
    gate.notify_one();
    let lengths: Vec<usize> = read_frames(&mut client, 5).await.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 4 << 20, 4 << 20, 4 << 20, 1]);
}

#[test]
fn an_address_has_its_own_bound_and_gets_its_places_back() {
    let admission = Admission::new(3, 2, Arc::default());
    let (one, mapped, other) = ("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2");
    let admit = |ip: &str| admission.admit(ip.parse().unwrap());
    let (first, second) = (admit(one), admit(mapped));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(admit(one).err(), Some(NotAdmitted::FullForAddress(2)));
    let third = admit(other);
    assert!(third.is_ok());
    assert_eq!(admit(other).err(), Some(NotAdmitted::Full(3)));
    drop(first);
    assert!(admit(one).is_ok());
}
