//! The small text files of a data directory, in Kafka's formats.
//!
//! ```text
//! recovery-point-offset-checkpoint, log-start-offset-checkpoint,
//! cleaner-offset-checkpoint:                                      0 \n count \n (topic partition offset sum \n)*
//! leader-epoch-checkpoint:                                        0 \n count \n (epoch start_offset sum \n)*
//! partition.metadata:                                             version: 0 \n topic_id: <22 characters> \n
//! meta.properties:                                                key=value lines, version=1
//! ```
//!
//! `sum` is the lower half of the CRC-32C of the line before it, as 16 blanks and tabs (a tab is 1), highest bit first:
//! Kafka splits lines at white space and does not see it, and a line without one, as Kafka writes it, is believed. A flipped
//! bit in an offset would hide records or show deleted ones, and nothing else in these files would tell. For the same reason
//! a file that does not end with its last line's end, as both of us write it, is damaged: an offset may have lost digits.
//!
//! Each is replaced as a whole: written aside, synced, renamed, directory synced. A crash leaves the old file or the
//! new one, and perhaps a `.tmp` that the next write replaces.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use stratalog_types::{LeaderEpoch, Offset, TopicId, TopicPartition};

use super::epochs::EpochStart;
use super::error::Error;
use super::names;
use crate::platform::disk::Disk;

pub type OffsetsByPartition = BTreeMap<TopicPartition, Offset>;

pub fn read_optional(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(Error::invalid(path, "not text")),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

pub fn replace(disk: &Disk, path: &Path, text: &str) -> Result<(), Error> {
    disk.replace(path, text.as_bytes()).map_err(Error::io("write", path))
}

const SUM_BITS: u32 = 16;

/// A line of a checkpoint with its sum.
fn summed(line: &str) -> String {
    let sum = crc32c::crc32c(line.as_bytes());
    let bits = (0..SUM_BITS).rev().map(|bit| if sum >> bit & 1 == 1 { '\t' } else { ' ' });
    line.chars().chain(bits).collect()
}

/// A line without its sum; `None` if that is wrong.
fn without_sum(line: &str) -> Option<&str> {
    let bare = line.trim_end_matches([' ', '\t']);
    // One that has none has nothing but words and spaces: the end of a sum that was damaged may pass for white space.
    let has_none = bare.len() == line.len() && !bare.contains(char::is_control);
    (has_none || summed(bare) == line).then_some(bare)
}

/// Whether Apache Kafka wrote a checkpoint last: it has entries, and none of them has a sum.
pub fn is_without_sums(path: &Path) -> Result<bool, Error> {
    Ok(has_sums(path)? == Some(false))
}

/// Whether we wrote a checkpoint last. `None`: it has no entry, or does not read.
pub fn has_sums(path: &Path) -> Result<Option<bool>, Error> {
    match read_optional(path) {
        Ok(text) => Ok(some_have_sums(&text.unwrap_or_default())),
        Err(Error::InvalidFile { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn some_have_sums(text: &str) -> Option<bool> {
    let mut entries = text.lines().skip(2).filter(|line| !line.is_empty()).peekable();
    entries.peek()?;
    Some(entries.any(|line| line.ends_with([' ', '\t'])))
}

/// The lines of a version 0 checkpoint after their count was checked.
fn counted_lines<'t>(path: &Path, text: &'t str) -> Result<Vec<&'t str>, Error> {
    if !text.ends_with('\n') {
        return Err(Error::invalid(path, "it ends inside a line"));
    }
    let mut lines = text.lines();
    if lines.next() != Some("0") {
        return Err(Error::invalid(path, "the first line is not version 0"));
    }
    let count: usize = lines
        .next()
        .and_then(|line| line.trim().parse().ok())
        .ok_or_else(|| Error::invalid(path, "the second line is not a count"))?;
    let rest: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    if rest.len() != count {
        return Err(Error::invalid(path, format!("{count} entries are announced, {} are there", rest.len())));
    }
    // Each of us writes the whole file.
    let summed = rest.iter().filter(|line| line.ends_with([' ', '\t'])).count();
    if summed != 0 && summed != rest.len() {
        return Err(Error::invalid(path, "a line lost its sum"));
    }
    Ok(rest)
}

/// What can be read of a checkpoint, and what is wrong with the rest.
pub fn salvage_offsets(path: &Path) -> Result<(OffsetsByPartition, Option<String>), Error> {
    match read_offsets(path) {
        Ok(offsets) => Ok((offsets, None)),
        Err(Error::InvalidFile { what, .. }) => {
            let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
            let text = String::from_utf8_lossy(&bytes);
            // A piece of a line may still read as a line: the last one counts only with its end.
            let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
            Ok((whole.lines().skip(2).filter_map(entry_of).collect(), Some(what)))
        }
        Err(error) => Err(error),
    }
}

fn entry_of(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = without_sum(line)?.split_whitespace();
    let topic = words.next()?;
    let partition: i32 = words.next()?.parse().ok()?;
    let offset: i64 = words.next()?.parse().ok().filter(|offset| *offset >= 0)?;
    words.next().is_none().then(|| (TopicPartition::new(topic, partition), Offset(offset)))
}

pub fn read_offsets(path: &Path) -> Result<OffsetsByPartition, Error> {
    let Some(text) = read_optional(path)? else {
        return Ok(OffsetsByPartition::new());
    };
    let mut offsets = OffsetsByPartition::new();
    for line in counted_lines(path, &text)? {
        let (partition, offset) =
            entry_of(line).ok_or_else(|| Error::invalid(path, format!("unreadable line {line:?}")))?;
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

pub fn write_offsets(disk: &Disk, path: &Path, offsets: &OffsetsByPartition) -> Result<(), Error> {
    replace(disk, path, &text_of(offsets))
}

/// What the file of these offsets says.
pub fn text_of(offsets: &OffsetsByPartition) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (partition, offset) in offsets {
        text.push_str(&summed(&format!("{} {} {}", partition.topic, partition.partition, offset)));
        text.push('\n');
    }
    text
}

pub fn read_epochs(path: &Path) -> Result<Vec<EpochStart>, Error> {
    let Some(text) = read_optional(path)? else {
        return Ok(Vec::new());
    };
    counted_lines(path, &text)?
        .into_iter()
        .map(|line| {
            let (epoch, start_offset) = without_sum(line)
                .and_then(|line| line.split_once(' '))
                .and_then(|(epoch, start)| Some((epoch.parse().ok()?, start.trim().parse().ok()?)))
                .ok_or_else(|| Error::invalid(path, format!("unreadable line {line:?}")))?;
            Ok(EpochStart { epoch: LeaderEpoch(epoch), start_offset: Offset(start_offset) })
        })
        .collect()
}

pub fn write_epochs(disk: &Disk, path: &Path, epochs: &[EpochStart]) -> Result<(), Error> {
    let mut text = format!("0\n{}\n", epochs.len());
    for entry in epochs {
        text.push_str(&summed(&format!("{} {}", entry.epoch, entry.start_offset)));
        text.push('\n');
    }
    replace(disk, path, &text)
}

pub fn read_topic_id(directory: &Path) -> Result<Option<TopicId>, Error> {
    let path = directory.join(names::PARTITION_METADATA);
    let Some(text) = read_optional(&path)? else {
        return Ok(None);
    };
    let value = |key: &str| {
        text.lines().find_map(|line| line.split_once(':').filter(|(k, _)| k.trim() == key).map(|(_, v)| v.trim()))
    };
    if value("version") != Some("0") {
        return Err(Error::invalid(&path, "the version is not 0"));
    }
    let id = value("topic_id").and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(|| Error::invalid(&path, "no topic_id"))
}

pub fn write_topic_id(disk: &Disk, directory: &Path, id: TopicId) -> Result<(), Error> {
    replace(disk, &directory.join(names::PARTITION_METADATA), &format!("version: 0\ntopic_id: {id}\n"))
}

/// `key=value` lines as Java writes properties; comments and escapes beyond a colon or an equals sign are not used here.
pub fn read_properties(path: &Path) -> Result<Option<BTreeMap<String, String>>, Error> {
    let Some(text) = read_optional(path)? else {
        return Ok(None);
    };
    let mut properties = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
        let (key, value) =
            line.split_once('=').ok_or_else(|| Error::invalid(path, format!("no '=' in line {line:?}")))?;
        properties.insert(key.trim().to_owned(), value.trim().replace('\\', ""));
    }
    Ok(Some(properties))
}

pub fn write_properties(disk: &Disk, path: &Path, properties: &BTreeMap<String, String>) -> Result<(), Error> {
    let mut text = String::new();
    for (key, value) in properties {
        text.push_str(&format!("{key}={value}\n"));
    }
    replace(disk, path, &text)
}
