//! A partition directory, and a data directory of them.

use std::collections::BTreeSet;
use std::path::Path;

use stratalog_types::{Offset, TopicPartition};

use crate::log::checkpoint::{self, OffsetsByPartition};
use crate::log::epochs::{EpochStart, LeaderEpochs};
use crate::log::error::Error;
use crate::log::names;
use crate::log::producers::decode_snapshot;

use super::batches::Ends;
use super::findings::{Finding, Findings, Severity};
use super::seen::is_whole;
use super::segment::{self, SegmentFacts};
use super::target::entries;

/// What a data directory's checkpoints say of one partition.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checkpointed {
    pub recovery_point: Option<Offset>,
    pub log_start: Option<Offset>,
    /// Every entry of a log start that was ever written is there.
    pub log_starts_whole: bool,
}

/// What a partition's directory holds.
#[derive(Debug, Clone, Default)]
pub struct PartitionFacts {
    pub segments: Vec<SegmentFacts>,
    pub bad_snapshots: Vec<i64>,
    pub orphans: Vec<String>,
    pub is_epoch_file_bad: bool,
    /// Segments that are not there, and that nobody gave up.
    pub misses_segments: bool,
    /// What a cleaned segment replaces is on its way out.
    pub is_in_swap: bool,
}

impl PartitionFacts {
    /// One past the last record.
    pub fn end_offset(&self) -> Option<i64> {
        self.segments.last().map(|last| last.next_offset)
    }
}

pub fn verify_directory(path: &Path, findings: &mut Findings<'_>) -> Result<(), Error> {
    let names = entries(path)?;
    if let Err(error) = checkpoint::read_properties(&path.join(names::META_PROPERTIES)) {
        told(error, findings)?;
    }
    let recovery_points = offsets(&path.join(names::RECOVERY_POINTS), findings)?;
    let lost_before = findings.tally.wrong;
    let log_starts = offsets(&path.join(names::LOG_STARTS), findings)?;
    let log_starts_whole = is_whole(&path.join(names::LOG_STARTS), findings.tally.wrong == lost_before)?;
    offsets(&path.join(names::HIGH_WATERMARKS), findings)?;
    for name in &names {
        let directory = path.join(name);
        if let Some(partition) = names::parse_partition_directory(name)
            && directory.is_dir()
        {
            let checkpointed = Checkpointed {
                recovery_point: recovery_points.get(&partition).copied(),
                log_start: log_starts.get(&partition).copied(),
                log_starts_whole,
            };
            verify_partition(&directory, Some(checkpointed), findings)?;
        } else if name.ends_with(names::DELETED_DIRECTORY_SUFFIX) || name.ends_with(".tmp") {
            findings.add(Finding::new(Severity::Note, &directory, "left by a removal or a write that was cut short"));
        }
    }
    let gone = |partition: &&TopicPartition| names.binary_search(&partition.to_string()).is_err();
    for (file, offsets) in [(names::RECOVERY_POINTS, &recovery_points), (names::LOG_STARTS, &log_starts)] {
        for partition in offsets.keys().filter(gone) {
            let what = format!("an entry for {partition}, whose directory is not here");
            findings.add(Finding::new(Severity::Note, &path.join(file), what));
        }
    }
    Ok(())
}

/// A file that cannot be understood is a finding; a disk that does not answer is an error.
fn told(error: Error, findings: &mut Findings<'_>) -> Result<(), Error> {
    match error {
        Error::InvalidFile { path, what } => {
            findings.add(Finding::new(Severity::Wrong, &path, what));
            Ok(())
        }
        other => Err(other),
    }
}

fn offsets(path: &Path, findings: &mut Findings<'_>) -> Result<OffsetsByPartition, Error> {
    match checkpoint::read_offsets(path) {
        Ok(offsets) => Ok(offsets),
        Err(error) => told(error, findings).map(|()| OffsetsByPartition::new()),
    }
}

pub fn verify_partition(
    path: &Path,
    checkpointed: Option<Checkpointed>,
    findings: &mut Findings<'_>,
) -> Result<PartitionFacts, Error> {
    findings.tally.partitions += 1;
    let mut facts = PartitionFacts::default();
    if let Err(error) = checkpoint::read_topic_id(path) {
        told(error, findings)?;
    }
    let epochs = match checkpoint::read_epochs(&path.join(names::LEADER_EPOCH_CHECKPOINT)) {
        Ok(entries) => check_epochs(path, entries, findings),
        Err(error) => {
            facts.is_epoch_file_bad = true;
            told(error, findings)?;
            None
        }
    };
    let files = entries(path)?;
    let parsed = || files.iter().filter_map(|name| names::parse_offset_file(name));
    let bases: Vec<i64> = parsed().filter(|(_, suffix)| *suffix == names::LOG_SUFFIX).map(|(base, _)| base).collect();
    // What was given up may be missing anywhere.
    let given_up = path.join(names::GIVEN_UP).exists();
    let synced = checkpointed.filter(|_| !given_up).and_then(|known| known.recovery_point);
    let mut end: Option<i64> = None;
    for (at, base) in bases.iter().enumerate() {
        let next = bases.get(at + 1).copied();
        let ends = Ends { segment: next, synced: synced.filter(|_| next.is_none()).map(|synced| synced.0) };
        let segment = segment::verify(path, *base, ends, epochs.as_ref(), findings)?;
        check_border(path, *base, end, given_up, findings);
        end = Some(segment.next_offset);
        facts.segments.push(segment);
    }
    for name in &files {
        check_other(path, name, &bases, &mut facts, findings)?;
    }
    if !given_up {
        let never_moved = checkpointed.is_some_and(|known| known.log_starts_whole && known.log_start.is_none());
        let is_ours = !checkpoint::is_without_sums(&path.join(names::LEADER_EPOCH_CHECKPOINT))?;
        let began = epochs.as_ref().filter(|_| never_moved && is_ours).and_then(|epochs| epochs.entries().first());
        check_missing(path, began.map(|first| first.start_offset.0), &bases, &mut facts, findings);
    }
    if let Some(checkpointed) = checkpointed {
        check_checkpoints(path, checkpointed, &facts, findings);
    }
    Ok(facts)
}

/// One file alone: a log with what is beside it, or what else it says it is.
pub fn verify_file(path: &Path, findings: &mut Findings<'_>) -> Result<(), Error> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let directory = path.parent().unwrap_or(Path::new("."));
    match names::parse_offset_file(name) {
        Some((
            base,
            names::LOG_SUFFIX | names::OFFSET_INDEX_SUFFIX | names::TIME_INDEX_SUFFIX | names::TXN_INDEX_SUFFIX,
        )) => {
            let bases = entries(directory)?;
            let logs = bases.iter().filter_map(|name| names::parse_offset_file(name));
            let next =
                logs.filter(|(other, suffix)| *suffix == names::LOG_SUFFIX && *other > base).map(|(base, _)| base);
            let ends = Ends { segment: next.min(), synced: None };
            segment::verify(directory, base, ends, None, findings).map(drop)
        }
        Some((_, names::SNAPSHOT_SUFFIX)) => check_snapshot(path, findings).map(drop),
        _ => match name {
            names::LEADER_EPOCH_CHECKPOINT => match checkpoint::read_epochs(path) {
                Ok(entries) => {
                    check_epochs(directory, entries, findings);
                    Ok(())
                }
                Err(error) => told(error, findings),
            },
            names::RECOVERY_POINTS | names::LOG_STARTS | names::HIGH_WATERMARKS => offsets(path, findings).map(drop),
            names::PARTITION_METADATA => checkpoint::read_topic_id(directory).map(drop).or_else(|e| told(e, findings)),
            names::META_PROPERTIES => checkpoint::read_properties(path).map(drop).or_else(|e| told(e, findings)),
            _ => Err(Error::invalid(path, "its name is none of a log directory's: nothing is known to check")),
        },
    }
}

/// Entries have to rise. `None`: there are none to go by.
fn check_epochs(path: &Path, entries: Vec<EpochStart>, findings: &mut Findings<'_>) -> Option<LeaderEpochs> {
    let rises = entries.windows(2).all(|pair| match pair {
        [before, after] => before.epoch < after.epoch && before.start_offset < after.start_offset,
        _ => true,
    });
    if !rises {
        let file = path.join(names::LEADER_EPOCH_CHECKPOINT);
        findings.add(Finding::new(Severity::Wrong, &file, "its epochs or their starts do not rise"));
    }
    (!entries.is_empty()).then(|| LeaderEpochs::new(entries))
}

/// Segments that are not there, although an index of them is: between two others, or from where the log `began`, if
/// nothing moved that.
fn check_missing(
    path: &Path,
    began: Option<i64>,
    bases: &[i64],
    facts: &mut PartitionFacts,
    findings: &mut Findings<'_>,
) {
    let (Some(first), Some(last)) = (bases.first(), bases.last()) else { return };
    let from = began.unwrap_or(*first).min(*first);
    let range = if facts.is_in_swap { from..from } else { from..*last };
    let orphans = facts.orphans.iter().filter_map(|name| names::parse_offset_file(name)).map(|(base, _)| base);
    let missing: BTreeSet<i64> = orphans.filter(|base| range.contains(base)).collect();
    facts.misses_segments = !missing.is_empty();
    for base in &missing {
        let next = bases.iter().chain(&missing).copied().filter(|next| next > base).min().unwrap_or(*base);
        let file = names::offset_file(path, *base, names::LOG_SUFFIX);
        findings.add(Finding::new(Severity::Lost, &file, "the segment is missing").offsets(*base, next - 1));
    }
}

fn check_border(path: &Path, base: i64, end: Option<i64>, given_up: bool, findings: &mut Findings<'_>) {
    let Some(end) = end else { return };
    let file = names::offset_file(path, base, names::LOG_SUFFIX);
    if base < end {
        let what = format!("the segment before it reaches to offset {}", end - 1);
        findings.add(Finding::new(Severity::Wrong, &file, what).offsets(base, end - 1));
    } else if base > end {
        let what = match given_up {
            true => "nothing is between the segment before it and this one: given up, or compacted away",
            false => "nothing is between the segment before it and this one: compacted away, or gone",
        };
        findings.add(Finding::new(Severity::Note, &file, what).offsets(end, base - 1));
    }
}

fn check_snapshot(path: &Path, findings: &mut Findings<'_>) -> Result<bool, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    match decode_snapshot(&bytes) {
        Ok(_) => Ok(true),
        Err(error) => {
            findings.add(Finding::new(Severity::Wrong, path, error.to_string()));
            Ok(false)
        }
    }
}

/// What is no log file.
fn check_other(
    path: &Path,
    name: &str,
    bases: &[i64],
    facts: &mut PartitionFacts,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    let file = path.join(name);
    match names::parse_offset_file(name) {
        Some((_, names::LOG_SUFFIX)) => {}
        Some((base, names::OFFSET_INDEX_SUFFIX | names::TIME_INDEX_SUFFIX | names::TXN_INDEX_SUFFIX)) => {
            if bases.binary_search(&base).is_err() {
                facts.orphans.push(name.to_owned());
                findings.add(Finding::new(Severity::Note, &file, "the segment that it belongs to is not here"));
            }
        }
        Some((offset, names::SNAPSHOT_SUFFIX)) => {
            if !check_snapshot(&file, findings)? {
                facts.bad_snapshots.push(offset);
            }
        }
        Some((_, suffix)) => {
            let what = match suffix.rsplit('.').next().unwrap_or(suffix) {
                "cut" => "bytes that a recovery cut off, kept to be looked at",
                "damaged" => "bytes that were found damaged, kept to be looked at",
                "deleted" => "on its way out",
                "swap" | "cleaned" => {
                    facts.is_in_swap = true;
                    "a compaction that was cut short, or runs"
                }
                _ => "its name says nothing",
            };
            findings.add(Finding::new(Severity::Note, &file, what));
        }
        None => match name {
            names::LEADER_EPOCH_CHECKPOINT | names::PARTITION_METADATA => {}
            _ => findings.add(Finding::new(Severity::Note, &file, "its name says nothing")),
        },
    }
    Ok(())
}

fn check_checkpoints(path: &Path, checkpointed: Checkpointed, facts: &PartitionFacts, findings: &mut Findings<'_>) {
    let Some(end) = facts.end_offset() else { return };
    if let Some(Offset(synced)) = checkpointed.recovery_point
        && synced > end
    {
        let what = "records were synced up to the recovery point, and are not here";
        findings.add(Finding::new(Severity::Lost, path, what).offsets(end, synced - 1));
    }
    let first = facts.segments.first().map_or(end, |first| first.base_offset);
    match checkpointed.log_start {
        Some(Offset(start)) if start > end => {
            let what = format!("the log starts at {start}, behind its end {end}");
            findings.add(Finding::new(Severity::Wrong, path, what));
        }
        Some(Offset(start)) if start < first => {
            let what = "below the first segment: in the tier, or gone";
            findings.add(Finding::new(Severity::Note, path, what).offsets(start, first - 1));
        }
        Some(_) | None => {}
    }
}
