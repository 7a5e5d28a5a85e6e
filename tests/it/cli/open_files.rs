//! The limit of open files: raised as far as it may be, and not all of it for connections.
#![cfg(target_os = "linux")]

use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Broker, stratalog_after, succeed};

const LIMIT: usize = 128;
/// A connection that is neither answered nor closed is one that waits for a file to be free.
const PATIENCE: Duration = Duration::from_secs(20);
/// ApiVersions, version 0, without a client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

/// False: it was closed.
fn is_answered(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = stream.write_all(&API_VERSIONS).and_then(|()| stream.read_exact(&mut [0; 4]));
    let waits = |error: &Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!answer.as_ref().is_err_and(waits), "neither answered nor closed");
    answer.is_ok()
}

#[test]
fn connections_do_not_take_all_files_there_may_be() {
    let low = format!("ulimit -S -n 100 && ulimit -H -n {LIMIT}");
    let broker = Broker::start_as(|arguments| stratalog_after(&low, arguments));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", broker.child.id())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files: Vec<&str> = files.split_whitespace().take(2).collect();
    assert_eq!(files, [LIMIT.to_string(), LIMIT.to_string()]);

    let mut streams: Vec<TcpStream> = (0..LIMIT).map(|_| TcpStream::connect(&broker.kafka).unwrap()).collect();
    let answered: usize = streams.iter_mut().map(|stream| usize::from(is_answered(stream))).sum();
    assert_eq!(answered, LIMIT / 2);
    drop(streams);
    succeed(&["topic", "create", "t", "--bootstrap-server", &broker.kafka], "");
    succeed(&["produce", "t", "--bootstrap-server", &broker.kafka], "one\n");
}
