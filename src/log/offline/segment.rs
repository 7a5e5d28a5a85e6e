//! One segment: its batches, and the files beside it that tell of them.

use std::collections::BTreeSet;
use std::path::Path;

use stratalog_types::{LeaderEpoch, Offset};

use crate::log::append::marker_of;
use crate::log::epochs::LeaderEpochs;
use crate::log::error::Error;
use crate::log::names;
use crate::log::scan::BatchAt;
use crate::log::transactions::{self, ENTRY_BYTES};

use super::batches::{Batches, Ends, Found, Misplaced};
use super::findings::{Finding, Findings, Severity};
use super::indexes::IndexCheck;

/// Bytes of a log file that are no batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBytes {
    pub position: u64,
    pub end: u64,
    pub what: String,
    /// The offsets that may have been there.
    pub first_offset: i64,
    /// One past them; `None` at the end of a file: nobody knows.
    pub until_offset: Option<i64>,
    /// They are a batch, but for its base offset.
    pub misplaced: Option<Misplaced>,
}

/// What of a segment the rest of its partition goes by.
#[derive(Debug, Clone)]
pub struct SegmentFacts {
    pub base_offset: i64,
    pub next_offset: i64,
    pub size_bytes: u64,
    pub bad: Vec<BadBytes>,
    pub is_index_wrong: bool,
}

/// Checks a segment. `ends`: where the segment after it begins, or of the last one, what was synced.
pub fn verify(
    directory: &Path,
    base_offset: i64,
    ends: Ends,
    epochs: Option<&LeaderEpochs>,
    findings: &mut Findings<'_>,
) -> Result<SegmentFacts, Error> {
    let path = names::offset_file(directory, base_offset, names::LOG_SUFFIX);
    let next_base = ends.segment;
    let mut batches = Batches::open(&path, Some(base_offset))?.ending(ends);
    let wrong_before = findings.tally.wrong;
    let mut indexes = IndexCheck::open(directory, base_offset, findings)?;
    let mut bad: Vec<BadBytes> = Vec::new();
    let mut markers = BTreeSet::new();
    let mut epoch_complained = false;
    while let Some(found) = batches.next_found()? {
        match found {
            Found::Batch(at) => {
                if let Some(gap) = bad.last_mut().filter(|gap| gap.until_offset.is_none()) {
                    gap.until_offset = Some(at.header.base_offset);
                    indexes.skip_to(&at);
                }
                findings.tally.batches += 1;
                indexes.batch(&at, findings);
                if at.header.attributes.is_control_batch() {
                    note_abort(&batches, &at, &mut markers)?;
                }
                if let Some(epochs) = epochs
                    && !epoch_complained
                    // The entries reach back to the log start, which may lie inside the segment.
                    && let Some(epoch) = epochs.epoch_of(Offset(at.header.base_offset))
                    && epoch != LeaderEpoch(at.header.partition_leader_epoch)
                {
                    epoch_complained = true;
                    let what = format!(
                        "leader epoch {} from offset {} on is not what {} says",
                        at.header.partition_leader_epoch,
                        at.header.base_offset,
                        names::LEADER_EPOCH_CHECKPOINT
                    );
                    findings.add(Finding::new(Severity::Wrong, &path, what).at(at.position));
                }
            }
            Found::Bad { position, end, what, misplaced } => {
                let right = misplaced.and_then(|misplaced| misplaced.right);
                let first_offset = right.unwrap_or(batches.next_offset());
                bad.push(BadBytes { position, end, what, first_offset, until_offset: None, misplaced });
            }
        }
    }
    findings.tally.segments += 1;
    findings.tally.bytes += batches.size_bytes();
    let is_closed = next_base.is_some();
    // Over bad bytes the indexes may tell of batches that cannot be seen.
    if bad.is_empty() {
        indexes.finish(is_closed, findings);
    }
    check_transactions(directory, base_offset, &markers, findings)?;
    for gap in &mut bad {
        gap.until_offset = gap.until_offset.or(next_base);
        tell(&path, gap, batches.size_bytes(), findings);
    }
    Ok(SegmentFacts {
        base_offset,
        next_offset: batches.next_offset(),
        size_bytes: batches.size_bytes(),
        bad,
        is_index_wrong: findings.tally.wrong > wrong_before && !epoch_complained,
    })
}

fn tell(path: &Path, gap: &BadBytes, size_bytes: u64, findings: &mut Findings<'_>) {
    let bytes = gap.end - gap.position;
    if let Some(Misplaced { base_offset, right: Some(right), .. }) = gap.misplaced {
        let what = format!("a batch says that it begins at {base_offset}, and begins at {right}: {}", gap.what);
        findings.add(Finding::new(Severity::Wrong, path, what).at(gap.position));
        return;
    }
    let finding = match gap.until_offset {
        Some(until) => {
            let what = format!("{bytes} bytes are no batch: {}", gap.what);
            Finding::new(Severity::Lost, path, what).offsets(gap.first_offset, until - 1)
        }
        None => {
            let what =
                format!("the last {bytes} of {size_bytes} bytes are no batch, a torn end or damage: {}", gap.what);
            Finding::new(Severity::Lost, path, what)
        }
    };
    findings.add(finding.at(gap.position));
}

/// Notes the marker of an aborted transaction.
fn note_abort(batches: &Batches, at: &BatchAt, markers: &mut BTreeSet<(i64, i64)>) -> Result<(), Error> {
    let bytes = batches.bytes(at)?;
    if marker_of(&bytes, &at.header).is_some_and(|marker| !marker.committed) {
        markers.insert((at.header.last_offset(), at.header.producer_id));
    }
    Ok(())
}

/// Every entry has its marker here. A marker may have no entry: of a transaction that wrote nothing.
fn check_transactions(
    directory: &Path,
    base_offset: i64,
    markers: &BTreeSet<(i64, i64)>,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    let path = names::offset_file(directory, base_offset, names::TXN_INDEX_SUFFIX);
    let size_bytes = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("look at", &path)(e)),
    };
    let entries = transactions::read(&path).map_err(Error::io("read", &path))?;
    if entries.len() as u64 * ENTRY_BYTES as u64 != size_bytes {
        let what = format!("{} whole entries of {ENTRY_BYTES} bytes in {size_bytes}", entries.len());
        findings.add(Finding::new(Severity::Wrong, &path, what));
    }
    for entry in &entries {
        let has_marker = markers.contains(&(entry.last_offset, entry.producer_id));
        if !has_marker || entry.first_offset > entry.last_offset {
            let what = format!(
                "producer {} aborts offsets {} to {}, and no such marker is in the segment",
                entry.producer_id, entry.first_offset, entry.last_offset
            );
            findings.add(Finding::new(Severity::Wrong, &path, what));
            return Ok(());
        }
    }
    Ok(())
}
