//! The record streams that every client program reads and writes: see clients/python/stream.py.

use std::io::{self, BufRead, Read, Write};

pub struct Record {
    pub partition: i32,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// `None` at the end.
pub fn read(source: &mut impl BufRead) -> io::Result<Option<Record>> {
    if source.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let partition = int(source)?;
    let mut timestamp = [0; 8];
    source.read_exact(&mut timestamp)?;
    let (key, value) = (bytes(source)?, bytes(source)?);
    let mut headers = Vec::new();
    for _ in 0..int(source)? {
        let name = String::from_utf8(bytes(source)?.unwrap_or_default()).map_err(io::Error::other)?;
        headers.push((name, bytes(source)?));
    }
    Ok(Some(Record { partition, timestamp: i64::from_be_bytes(timestamp), key, value, headers }))
}

fn int(source: &mut impl Read) -> io::Result<i32> {
    let mut fixed = [0; 4];
    source.read_exact(&mut fixed)?;
    Ok(i32::from_be_bytes(fixed))
}

fn bytes(source: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let Ok(length) = usize::try_from(int(source)?) else { return Ok(None) };
    let mut content = vec![0; length];
    source.read_exact(&mut content)?;
    Ok(Some(content))
}

pub fn write(
    sink: &mut impl Write,
    offset: i64,
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> io::Result<()> {
    sink.write_all(&offset.to_be_bytes())?;
    sink.write_all(&timestamp.to_be_bytes())?;
    put(sink, key)?;
    put(sink, value)?;
    sink.write_all(&length(headers.len())?)?;
    for (name, content) in headers {
        put(sink, Some(name.as_bytes()))?;
        put(sink, *content)?;
    }
    Ok(())
}

fn put(sink: &mut impl Write, content: Option<&[u8]>) -> io::Result<()> {
    match content {
        None => sink.write_all(&(-1_i32).to_be_bytes()),
        Some(content) => {
            sink.write_all(&length(content.len())?)?;
            sink.write_all(content)
        }
    }
}

fn length(count: usize) -> io::Result<[u8; 4]> {
    Ok(i32::try_from(count).map_err(io::Error::other)?.to_be_bytes())
}
