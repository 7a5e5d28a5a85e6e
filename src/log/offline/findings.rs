//! What a look found, and how bad it is.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// What a finding is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong by itself.
    Note,
    /// Something is not as it was written, or answers would be wrong by it. A start or `repair` makes it anew from what is
    /// whole.
    Wrong,
    /// Records are lost or unreadable here.
    Lost,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub path: PathBuf,
    /// The byte it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// The first and the last offset that are affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<(i64, i64)>,
    pub what: String,
}

impl Finding {
    pub fn new(severity: Severity, path: &Path, what: impl Into<String>) -> Finding {
        Finding { severity, path: path.to_owned(), position: None, offsets: None, what: what.into() }
    }

    pub fn at(mut self, position: u64) -> Finding {
        self.position = Some(position);
        self
    }

    /// Affects the offsets `first..=last`; none where the two say so.
    pub fn offsets(mut self, first: i64, last: i64) -> Finding {
        self.offsets = (first <= last).then_some((first, last));
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Wrong => "WRONG",
            Severity::Lost => "LOST",
        };
        write!(f, "{severity} {}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, " byte {position}")?;
        }
        write!(f, ": {}", self.what)?;
        match self.offsets {
            Some((first, last)) => write!(f, " (offsets {first} to {last})"),
            None => Ok(()),
        }
    }
}

/// How much was looked at, and how many findings of each severity there were.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Tally {
    pub partitions: u64,
    pub segments: u64,
    pub batches: u64,
    pub bytes: u64,
    pub wrong: u64,
    pub lost: u64,
    pub notes: u64,
}

impl Tally {
    pub fn is_sound(&self) -> bool {
        self.wrong == 0 && self.lost == 0
    }
}

/// Takes findings as they come, and counts.
pub struct Findings<'a> {
    take: Box<dyn FnMut(Finding) + 'a>,
    pub tally: Tally,
}

impl<'a> Findings<'a> {
    pub fn new(take: impl FnMut(Finding) + 'a) -> Findings<'a> {
        Findings { take: Box::new(take), tally: Tally::default() }
    }

    pub fn add(&mut self, finding: Finding) {
        match finding.severity {
            Severity::Note => self.tally.notes += 1,
            Severity::Wrong => self.tally.wrong += 1,
            Severity::Lost => self.tally.lost += 1,
        }
        (self.take)(finding);
    }
}
