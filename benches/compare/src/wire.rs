//! Frames by hand: Produce v3, Fetch v11, and record batches of format 2.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Outcome;

const BATCH_HEADER_BYTES: usize = 61;
const FRAME_BYTES_MAX: usize = 256 << 20;

/// One connection; the buffer of the last answer is reused.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub fn open(bootstrap: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(bootstrap)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60)))?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// `frame` carries its length already.
    pub fn send(&mut self, frame: &[u8]) -> Outcome<()> {
        Ok(self.stream.write_all(frame)?)
    }

    /// The next answer, after its correlation id.
    pub fn receive(&mut self) -> Outcome<&[u8]> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=FRAME_BYTES_MAX).contains(&length) {
            return Err(format!("an answer of {length} bytes").into());
        }
        if self.answer.len() < length {
            self.answer.resize(length, 0);
        }
        self.stream.read_exact(&mut self.answer[..length])?;
        Ok(&self.answer[4..length])
    }
}

/// Reads an answer from the front.
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count).ok_or("an answer that ends too early")?;
        self.0 = tail;
        Ok(head)
    }

    pub fn i16(&mut self) -> Outcome<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    pub fn i32(&mut self) -> Outcome<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    pub fn i64(&mut self) -> Outcome<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    pub fn skip_string(&mut self) -> Outcome<()> {
        let length = self.i16()?;
        self.take(usize::try_from(length)?).map(drop)
    }
}

fn put_string(frame: &mut Vec<u8>, text: &str) {
    frame.extend((text.len() as i16).to_be_bytes());
    frame.extend(text.as_bytes());
}

/// A frame with room for its length, a request header, and what `body` adds.
fn frame(api: i16, version: i16, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend(api.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(0i32.to_be_bytes());
    put_string(&mut frame, "loadgen");
    body(&mut frame);
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

pub fn produce_frame(topic: &str, partition: i32, records: &[u8]) -> Vec<u8> {
    frame(0, 3, |frame| {
        frame.extend((-1i16).to_be_bytes()); // no transactional id
        frame.extend((-1i16).to_be_bytes()); // acks=all
        frame.extend(30_000i32.to_be_bytes());
        frame.extend(1i32.to_be_bytes());
        put_string(frame, topic);
        frame.extend(1i32.to_be_bytes());
        frame.extend(partition.to_be_bytes());
        frame.extend((records.len() as i32).to_be_bytes());
        frame.extend(records);
    })
}

/// The one partition's error code as an error, else its base offset.
pub fn produced_at(answer: &[u8]) -> Outcome<i64> {
    let mut cursor = Cursor(answer);
    cursor.i32()?;
    cursor.skip_string()?;
    cursor.i32()?;
    let partition = cursor.i32()?;
    match cursor.i16()? {
        0 => cursor.i64(),
        code => Err(format!("partition {partition} answered error {code}").into()),
    }
}

pub fn fetch_frame(topic: &str, partition: i32, offset: i64, max_bytes: i32) -> Vec<u8> {
    frame(1, 11, |frame| {
        frame.extend((-1i32).to_be_bytes()); // a consumer
        frame.extend(500i32.to_be_bytes()); // max wait
        frame.extend(1i32.to_be_bytes()); // min bytes
        frame.extend(max_bytes.to_be_bytes());
        frame.push(0); // read uncommitted
        frame.extend(0i32.to_be_bytes()); // no session
        frame.extend((-1i32).to_be_bytes());
        frame.extend(1i32.to_be_bytes());
        put_string(frame, topic);
        frame.extend(1i32.to_be_bytes());
        frame.extend(partition.to_be_bytes());
        frame.extend((-1i32).to_be_bytes()); // leader epoch unknown
        frame.extend(offset.to_be_bytes());
        frame.extend((-1i64).to_be_bytes()); // log start, for followers
        frame.extend(max_bytes.to_be_bytes());
        frame.extend(0i32.to_be_bytes()); // nothing forgotten
        put_string(frame, ""); // no rack
    })
}

/// The record bytes of the one partition of a Fetch answer.
pub fn fetched(answer: &[u8]) -> Outcome<&[u8]> {
    let mut cursor = Cursor(answer);
    cursor.i32()?;
    if let code @ (i16::MIN..=-1 | 1..) = cursor.i16()? {
        return Err(format!("Fetch answered error {code}").into());
    }
    cursor.i32()?;
    if cursor.i32()? == 0 {
        return Ok(&[]);
    }
    cursor.skip_string()?;
    cursor.i32()?;
    let partition = cursor.i32()?;
    if let code @ (i16::MIN..=-1 | 1..) = cursor.i16()? {
        return Err(format!("partition {partition} answered error {code}").into());
    }
    cursor.take(24)?; // high watermark, last stable offset, log start
    let aborted = cursor.i32()?.max(0) as usize;
    cursor.take(aborted * 16 + 4)?; // and the preferred replica
    let length = cursor.i32()?.max(0) as usize;
    cursor.take(length)
}

/// The offset after the last whole batch of `records`, and the bytes of whole batches.
pub fn after_batches(mut records: &[u8], from: i64) -> Outcome<(i64, usize)> {
    let (mut next, mut bytes) = (from, 0);
    while records.len() >= BATCH_HEADER_BYTES {
        let mut cursor = Cursor(records);
        let base = cursor.i64()?;
        let size = 12 + usize::try_from(cursor.i32()?)?;
        cursor.take(11)?; // leader epoch, magic, crc, attributes
        next = base + i64::from(cursor.i32()?) + 1;
        let Some(rest) = records.get(size..) else { break };
        bytes += size;
        records = rest;
        if next <= from && records.is_empty() {
            return Err(format!("batches below offset {from}").into());
        }
    }
    Ok((if bytes == 0 { from } else { next }, bytes))
}

/// Gathers records into one batch.
#[derive(Default)]
pub struct BatchBuilder {
    records: Vec<u8>,
    count: i32,
    scratch: Vec<u8>,
}

impl BatchBuilder {
    pub fn push(&mut self, key: Option<&[u8]>, value: &[u8]) {
        self.scratch.clear();
        self.scratch.push(0);
        put_varint(&mut self.scratch, 0);
        put_varint(&mut self.scratch, i64::from(self.count));
        put_varint(&mut self.scratch, key.map_or(-1, |key| key.len() as i64));
        self.scratch.extend(key.unwrap_or_default());
        put_varint(&mut self.scratch, value.len() as i64);
        self.scratch.extend(value);
        put_varint(&mut self.scratch, 0);
        put_varint(&mut self.records, self.scratch.len() as i64);
        self.records.extend(&self.scratch);
        self.count += 1;
    }

    pub fn bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// The batch so far; the builder starts anew.
    pub fn finish(&mut self, timestamp_ms: i64) -> Vec<u8> {
        let mut checked = Vec::with_capacity(self.bytes());
        checked.extend(0i16.to_be_bytes());
        checked.extend((self.count - 1).to_be_bytes());
        checked.extend(timestamp_ms.to_be_bytes());
        checked.extend(timestamp_ms.to_be_bytes());
        checked.extend((-1i64).to_be_bytes()); // no producer
        checked.extend((-1i16).to_be_bytes());
        checked.extend((-1i32).to_be_bytes());
        checked.extend(self.count.to_be_bytes());
        checked.extend(&self.records);
        let mut batch = Vec::with_capacity(self.bytes());
        batch.extend(0i64.to_be_bytes());
        batch.extend((9 + checked.len() as i32).to_be_bytes());
        batch.extend((-1i32).to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&checked).to_be_bytes());
        batch.extend(checked);
        self.records.clear();
        self.count = 0;
        batch
    }
}

fn put_varint(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left > 0x7f {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}
