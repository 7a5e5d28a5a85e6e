use super::*;

/// A fetch of the partitions `from..to` of a topic that is not there.
fn request(session_id: i32, session_epoch: i32, from: i32, to: i32) -> FetchRequest {
    let partition = |partition| FetchPartition { partition, ..FetchPartition::default() };
    let topic =
        FetchTopic { topic: "t".into(), partitions: (from..to).map(partition).collect(), ..FetchTopic::default() };
    FetchRequest { session_id, session_epoch, topics: vec![topic], ..FetchRequest::default() }
}

fn sessions(of_session: usize, of_all: usize) -> Sessions {
    Sessions { bounds: Bounds { of_session, of_all }, ..Sessions::new(1000) }
}

fn open(sessions: &Sessions, partitions: i32) -> i32 {
    let step = sessions.step(&request(0, INITIAL_EPOCH, 0, partitions), 12).unwrap();
    assert_eq!(step.wanted.len(), usize::try_from(partitions).unwrap());
    step.session_id
}

fn counted(sessions: &Sessions) -> usize {
    sessions.partitions.load(Ordering::Relaxed)
}

#[test]
fn the_bounds_hold_where_nobody_says_else() {
    let sessions = Sessions::new(1000);
    assert_ne!(open(&sessions, 10_000), 0);
    assert_eq!(open(&sessions, 10_001), 0);
    for _ in 1..100 {
        assert_ne!(open(&sessions, 10_000), 0);
    }
    assert_eq!((open(&sessions, 1), sessions.count(), counted(&sessions)), (0, 100, 1_000_000));
}

#[test]
fn a_session_that_grows_too_large_is_given_up() {
    let sessions = sessions(10, 15);
    let id = open(&sessions, 6);
    // What it has already counts once.
    assert_eq!(sessions.step(&request(id, 1, 2, 10), 12).unwrap().wanted.len(), 10);
    assert_eq!(counted(&sessions), 10);
    // What is forgotten makes room.
    let forgotten = ForgottenTopic { topic: "t".into(), partitions: vec![0, 1], ..ForgottenTopic::default() };
    let swap = FetchRequest { forgotten_topics_data: vec![forgotten], ..request(id, 2, 10, 12) };
    assert_eq!(sessions.step(&swap, 12).unwrap().wanted.len(), 10);
    let refused = sessions.step(&request(id, 3, 12, 13), 12).err();
    assert_eq!((refused, sessions.count(), counted(&sessions)), (Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND), 0, 0));
}

#[test]
fn all_sessions_share_a_bound() {
    let sessions = sessions(10, 15);
    let (first, second) = (open(&sessions, 10), open(&sessions, 5));
    assert!(first != 0 && second != 0);
    assert_eq!(open(&sessions, 1), 0);
    assert_eq!(sessions.step(&request(second, 1, 5, 6), 12).err(), Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    assert_ne!(open(&sessions, 5), 0);
    // A client that ends its session, or that begins it anew, gives its room back.
    sessions.step(&request(first, FINAL_EPOCH, 0, 10), 12).unwrap();
    assert_eq!((sessions.count(), counted(&sessions)), (1, 5));
    // A request that is still answered keeps what its session holds, which counts as long.
    let held = sessions.step(&request(0, INITIAL_EPOCH, 0, 10), 12).unwrap();
    sessions.step(&request(held.session_id, FINAL_EPOCH, 0, 1), 12).unwrap();
    assert_eq!((open(&sessions, 1), counted(&sessions)), (0, 15));
    drop(held);
    assert_ne!(open(&sessions, 1), 0);
}
