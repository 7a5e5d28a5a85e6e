//! Printing: tables without frames that `awk` can read, JSON on one line, progress for terminals.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::CliError;

/// Prints rows under a header, columns two spaces apart.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|title| title.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    let mut out = stdout().lock();
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end()))?;
    }
    Ok(())
}

/// Prints a value as one line of JSON.
pub fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|error| CliError::failed(error.to_string()))?;
    writeln!(stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints a line of data.
pub fn line(text: &str) -> Result<(), CliError> {
    writeln!(stdout().lock(), "{text}")?;
    Ok(())
}

/// Says something to the person, not to the pipe.
pub fn note(text: &str) {
    // Where standard error is closed nobody listens.
    let _ = writeln!(stderr().lock(), "{text}");
}

/// A counter on a terminal's last line; nothing in a pipe.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn new(what: &str) -> Progress {
        let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar }
    }

    pub fn records(&self, records: u64, bytes: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{records} records, {}", human_bytes(bytes)));
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// 1.5 KiB, 23.4 MiB.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = None;
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = Some(next);
    }
    match unit {
        Some(unit) => format!("{value:.1} {unit}"),
        None => format!("{bytes} B"),
    }
}
