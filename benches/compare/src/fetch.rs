//! Replay load: one connection fetches partition 0 from offset 0, request after request, and discards the bodies.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::arguments::Arguments;
use crate::wire::{Connection, after_batches, fetch_frame, fetched};

/// A broker may answer empty while its tier is slow, but not for ever.
const STALL_MAX: Duration = Duration::from_secs(60);

pub fn fetch(arguments: &Arguments) -> Outcome<String> {
    let topic = arguments.text("topic")?;
    let max_bytes: i32 = arguments.number("max_bytes")?;
    let until: i64 = arguments.number("until")?;
    let mut connection = Connection::open(arguments.text("bootstrap")?)?;
    let began = Instant::now();
    let (mut offset, mut bytes, mut requests, mut empty) = (0, 0, 0_u64, 0_u64);
    let (mut first_byte, mut progress_at) = (None, began);
    while offset < until {
        connection.send(&fetch_frame(topic, 0, offset, max_bytes))?;
        let (next, whole) = after_batches(fetched(connection.receive()?)?, offset)?;
        requests += 1;
        if whole == 0 {
            empty += 1;
            if progress_at.elapsed() > STALL_MAX {
                return Err(format!("nothing at offset {offset} for {} s", STALL_MAX.as_secs()).into());
            }
            continue;
        }
        first_byte.get_or_insert_with(|| began.elapsed().as_secs_f64() * 1000.0);
        (offset, progress_at) = (next, Instant::now());
        bytes += whole;
    }
    let (seconds, first) = (began.elapsed().as_secs_f64(), first_byte.unwrap_or(0.0));
    Ok(format!(
        r#"{{"bytes":{bytes},"seconds":{seconds:.6},"requests":{requests},"empty":{empty},"first_ms":{first:.3}}}"#
    ))
}
