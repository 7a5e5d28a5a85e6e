//! How a record is printed: as its value, as JSON, or by a template in the manner of rpk and kcat.

use std::io::{self, Write};
use std::str::FromStr;

use serde::Serialize;
use stratalog_protocol::records::TimestampType;

use crate::net::client::FetchedRecord;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    Json,
    Pieces(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Bytes(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyBytes,
    Value,
    ValueBytes,
    Timestamp,
    Headers,
    HeaderCount,
    LeaderEpoch,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Template, String> {
        match text {
            "text" => return Ok(Template::Pieces(vec![Piece::Value, Piece::Bytes(b"\n".to_vec())])),
            "json" => return Ok(Template::Json),
            _ if !text.contains('%') => {
                return Err("write text, json, or a template with % in it, such as '%k %v\\n'".to_owned());
            }
            _ => {}
        }
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => {
                    let Some(piece) = field(&mut chars, &mut bytes)? else { continue };
                    if !bytes.is_empty() {
                        pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                    }
                    pieces.push(piece);
                }
                '\\' => bytes.extend(escape(&mut chars)?),
                c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        if !bytes.is_empty() {
            pieces.push(Piece::Bytes(bytes));
        }
        Ok(Template::Pieces(pieces))
    }
}

/// The field behind a `%`; `None` for `%%`, which is put into `bytes`.
fn field(chars: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Result<Option<Piece>, String> {
    let piece = match chars.next() {
        Some('%') => {
            bytes.push(b'%');
            return Ok(None);
        }
        Some('t') => Piece::Topic,
        Some('p') => Piece::Partition,
        Some('o') => Piece::Offset,
        Some('k') => Piece::Key,
        Some('K') => Piece::KeyBytes,
        Some('v' | 's') => Piece::Value,
        Some('V' | 'S') => Piece::ValueBytes,
        Some('T') => Piece::Timestamp,
        Some('h') => Piece::Headers,
        Some('H') => Piece::HeaderCount,
        Some('e') => Piece::LeaderEpoch,
        Some(other) => return Err(format!("%{other} is unknown: %t %p %o %k %K %v %V %T %h %H %e and %% are known")),
        None => return Err("a % stands at the end; write %% for a percent sign".to_owned()),
    };
    Ok(Some(piece))
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<Vec<u8>, String> {
    match chars.next() {
        Some('n') => Ok(vec![b'\n']),
        Some('t') => Ok(vec![b'\t']),
        Some('r') => Ok(vec![b'\r']),
        Some('0') => Ok(vec![0]),
        Some('\\') => Ok(vec![b'\\']),
        Some('x') => {
            let digits: String = chars.by_ref().take(2).collect();
            let byte = u8::from_str_radix(&digits, 16);
            byte.map(|byte| vec![byte]).map_err(|_| format!("\\x{digits}: write two hexadecimal digits"))
        }
        Some(other) => Err(format!("\\{other} is unknown: \\n \\t \\r \\0 \\\\ and \\xHH are known")),
        None => Err("a \\ stands at the end; write \\\\ for a backslash".to_owned()),
    }
}

impl Template {
    pub fn write(
        &self,
        out: &mut impl Write,
        topic: &str,
        partition: i32,
        fetched: &FetchedRecord<'_>,
    ) -> io::Result<()> {
        let pieces = match self {
            Template::Json => return write_json(out, topic, partition, fetched),
            Template::Pieces(pieces) => pieces,
        };
        let record = &fetched.record;
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => out.write_all(bytes)?,
                Piece::Topic => out.write_all(topic.as_bytes())?,
                Piece::Partition => write!(out, "{partition}")?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Key => out.write_all(record.key.unwrap_or_default())?,
                Piece::KeyBytes => write_length(out, record.key)?,
                Piece::Value => out.write_all(record.value.unwrap_or_default())?,
                Piece::ValueBytes => write_length(out, record.value)?,
                Piece::Timestamp => write!(out, "{}", record.timestamp)?,
                Piece::Headers => write_headers(out, fetched)?,
                Piece::HeaderCount => write!(out, "{}", record.headers().count())?,
                Piece::LeaderEpoch => write!(out, "{}", fetched.leader_epoch)?,
            }
        }
        Ok(())
    }
}

/// -1 for null, as Kafka has it.
fn write_length(out: &mut impl Write, field: Option<&[u8]>) -> io::Result<()> {
    match field {
        Some(bytes) => write!(out, "{}", bytes.len()),
        None => write!(out, "-1"),
    }
}

fn write_headers(out: &mut impl Write, fetched: &FetchedRecord<'_>) -> io::Result<()> {
    for (at, header) in fetched.record.headers().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        out.write_all(header.key)?;
        out.write_all(b"=")?;
        out.write_all(header.value.unwrap_or_default())?;
    }
    Ok(())
}

#[derive(Serialize)]
struct JsonRecord<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: &'static str,
    leader_epoch: i32,
    #[serde(flatten)]
    key: JsonBytes<'a, Key>,
    #[serde(flatten)]
    value: JsonBytes<'a, Value>,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    key: std::borrow::Cow<'a, str>,
    #[serde(flatten)]
    value: JsonBytes<'a, Value>,
}

/// Text where the bytes are text; else base64 under a name that says so.
struct JsonBytes<'a, Name> {
    bytes: Option<&'a [u8]>,
    name: std::marker::PhantomData<Name>,
}

impl<'a, Name> JsonBytes<'a, Name> {
    fn of(bytes: Option<&'a [u8]>) -> JsonBytes<'a, Name> {
        JsonBytes { bytes, name: std::marker::PhantomData }
    }
}

struct Key;
struct Value;

trait JsonName {
    const TEXT: &'static str;
    const BASE64: &'static str;
}

impl JsonName for Key {
    const TEXT: &'static str = "key";
    const BASE64: &'static str = "key_base64";
}

impl JsonName for Value {
    const TEXT: &'static str = "value";
    const BASE64: &'static str = "value_base64";
}

impl<Name: JsonName> Serialize for JsonBytes<'_, Name> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(1))?;
        match self.bytes.map(std::str::from_utf8) {
            None => map.serialize_entry(Name::TEXT, &None::<&str>)?,
            Some(Ok(text)) => map.serialize_entry(Name::TEXT, text)?,
            Some(Err(_)) => map.serialize_entry(Name::BASE64, &base64(self.bytes.unwrap_or_default()))?,
        }
        map.end()
    }
}

fn write_json(out: &mut impl Write, topic: &str, partition: i32, fetched: &FetchedRecord<'_>) -> io::Result<()> {
    let record = &fetched.record;
    let shown = JsonRecord {
        topic,
        partition,
        offset: record.offset,
        timestamp: record.timestamp,
        timestamp_type: match fetched.timestamp_type {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        },
        leader_epoch: fetched.leader_epoch,
        key: JsonBytes::of(record.key),
        value: JsonBytes::of(record.value),
        headers: record
            .headers()
            .map(|header| JsonHeader { key: header.key_text(), value: JsonBytes::of(header.value) })
            .collect(),
    };
    serde_json::to_writer(&mut *out, &shown)?;
    out.write_all(b"\n")
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0_u8; 3];
        for (slot, byte) in group.iter_mut().zip(chunk) {
            *slot = *byte;
        }
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 0x3f;
            text.push(if place <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}
