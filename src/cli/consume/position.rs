//! Places in a partition as people type them.

use std::str::FromStr;

use crate::cli::time::{now_ms, parse_time};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    Start,
    End,
    Offset(i64),
    AfterStart(i64),
    BeforeEnd(i64),
    /// Epoch milliseconds.
    Time(i64),
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Position, String> {
        let number = |digits: &str| digits.parse::<i64>().ok().filter(|number| *number >= 0);
        let form = || {
            "write start, end, an offset such as 42, +5 (after the start), -5 (before the end), @-1h or @2026-11-21T08:00:00Z"
                .to_owned()
        };
        match text {
            "start" | "earliest" | "beginning" => return Ok(Position::Start),
            "end" | "latest" => return Ok(Position::End),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return parse_time(time, now_ms()).map(Position::Time);
        }
        if let Some(digits) = text.strip_prefix('+') {
            return number(digits).map(Position::AfterStart).ok_or_else(form);
        }
        if let Some(digits) = text.strip_prefix('-') {
            return number(digits).map(Position::BeforeEnd).ok_or_else(form);
        }
        number(text).map(Position::Offset).ok_or_else(form)
    }
}

impl Position {
    /// The time to look up, for a place that is a time. What lies ahead of `now_ms` is the end anyway.
    pub fn time(self, now_ms: i64) -> Option<i64> {
        match self {
            Position::Time(time) if time <= now_ms => Some(time),
            _ => None,
        }
    }

    /// The offset in a partition that reaches from `start` to `end`. `at_time` is what the broker found for the time; -1
    /// where nothing is that young.
    pub fn offset(self, start: i64, end: i64, at_time: Option<i64>) -> i64 {
        let offset = match self {
            Position::Start => start,
            Position::End => end,
            Position::Offset(offset) => offset,
            Position::AfterStart(records) => start.saturating_add(records),
            Position::BeforeEnd(records) => end.saturating_sub(records),
            Position::Time(_) => at_time.filter(|offset| *offset >= 0).unwrap_or(end),
        };
        match self {
            // An offset that is yet to come can be waited for.
            Position::Offset(_) | Position::AfterStart(_) => offset.max(start),
            _ => offset.clamp(start, end.max(start)),
        }
    }
}
