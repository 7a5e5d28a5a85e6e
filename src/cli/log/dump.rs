//! `stratalog log dump`: batches, records, indexes, snapshots, epochs and checkpoints, as lines or as JSON.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use stratalog_protocol::records::compression::codec_name;
use stratalog_protocol::records::{Batch, BatchHeader, EndTransactionMarker, RecordRef, TimestampType};

use super::{failed, targets};
use crate::cli::CliError;
use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::output;
use crate::log::offline::{self, Batches, FileKind, Found};

/// Bytes that the records of one batch may take.
const RECORDS_BYTES_MAX: usize = 1 << 30;

#[derive(Debug, Args)]
pub struct DumpArguments {
    /// Partition directories or single files; a data directory prints its checkpoints
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Records too, with their keys, values and headers
    #[arg(short, long)]
    records: bool,
    /// Only what holds these offsets, for example 100..200 or 100..
    #[arg(long, value_name = "FROM..TO", value_parser = offsets)]
    offsets: Option<(i64, i64)>,
    #[command(flatten)]
    output: OutputArguments,
}

/// `from..to`, `to` not included; either may be left out.
fn offsets(text: &str) -> Result<(i64, i64), String> {
    let usage = || "write FROM..TO, FROM.. or ..TO".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(usage)?;
    let number = |text: &str, without: i64| match text.trim() {
        "" => Ok(without),
        text => text.parse::<i64>().map_err(|_| usage()),
    };
    Ok((number(from, 0)?, number(to, i64::MAX)?))
}

pub fn run(arguments: &DumpArguments) -> Result<(), CliError> {
    let dump = Dump {
        records: arguments.records,
        offsets: arguments.offsets.unwrap_or((0, i64::MAX)),
        format: arguments.output.format,
    };
    for target in targets(&arguments.paths)? {
        for file in target.files().map_err(|error| failed(&error))? {
            dump.file(&file)?;
        }
    }
    Ok(())
}

struct Dump {
    records: bool,
    offsets: (i64, i64),
    format: Format,
}

impl Dump {
    fn file(&self, path: &Path) -> Result<(), CliError> {
        let kind = offline::kind_of(path);
        if self.format == Format::Text {
            output::line(&format!("{}:", path.display()))?;
        }
        match kind {
            FileKind::Log(base_offset) => self.log(path, base_offset),
            FileKind::OffsetIndex(base_offset) => {
                for entry in offline::read_offset_index(path).map_err(|error| failed(&error))? {
                    let offset = base_offset + i64::from(entry.relative_offset);
                    self.row(path, "offset_index", offset, json!({ "offset": offset, "position": entry.position }))?;
                }
                Ok(())
            }
            FileKind::TimeIndex(base_offset) => {
                for entry in offline::read_time_index(path).map_err(|error| failed(&error))? {
                    let offset = base_offset + i64::from(entry.relative_offset);
                    self.row(path, "time_index", offset, json!({ "timestamp": entry.timestamp, "offset": offset }))?;
                }
                Ok(())
            }
            FileKind::TransactionIndex => {
                for entry in offline::read_transaction_index(path).map_err(|error| failed(&error))? {
                    let fields = json!({
                        "producer_id": entry.producer_id, "first_offset": entry.first_offset,
                        "last_offset": entry.last_offset, "last_stable_offset": entry.last_stable_offset,
                    });
                    self.row(path, "aborted_transaction", entry.last_offset, fields)?;
                }
                Ok(())
            }
            FileKind::Snapshot => self.snapshot(path),
            FileKind::Epochs => {
                for entry in offline::read_epochs(path).map_err(|error| failed(&error))? {
                    let fields = json!({ "epoch": entry.epoch.0, "start_offset": entry.start_offset.0 });
                    self.print(path, "leader_epoch", fields)?;
                }
                Ok(())
            }
            FileKind::Offsets => {
                for (partition, offset) in offline::read_offsets(path).map_err(|error| failed(&error))? {
                    let fields = json!({ "partition": partition.to_string(), "offset": offset.0 });
                    self.print(path, "checkpoint", fields)?;
                }
                Ok(())
            }
            FileKind::Properties => {
                let text = std::fs::read_to_string(path)?;
                for line in text.lines().filter(|line| !line.starts_with('#')) {
                    if let Some((key, value)) = line.split_once(['=', ':']) {
                        self.print(path, "property", json!({ "key": key.trim(), "value": value.trim() }))?;
                    }
                }
                Ok(())
            }
            FileKind::Other => self.print(path, "file", json!({ "what": "not a file that a log is made of" })),
        }
    }

    fn snapshot(&self, path: &Path) -> Result<(), CliError> {
        for producer in offline::read_snapshot(path).map_err(|error| failed(&error))? {
            let last = producer.batches.back();
            let fields = json!({
                "producer_id": producer.producer_id, "producer_epoch": producer.producer_epoch,
                "coordinator_epoch": producer.coordinator_epoch, "last_timestamp": producer.last_timestamp,
                "current_transaction_first_offset": producer.current_txn_first_offset,
                "last_sequence": last.map(|last| last.last_sequence), "last_offset": last.map(|last| last.last_offset),
            });
            self.print(path, "producer", fields)?;
        }
        Ok(())
    }

    fn log(&self, path: &Path, base_offset: Option<i64>) -> Result<(), CliError> {
        let mut batches = Batches::open(path, base_offset).map_err(|error| failed(&error))?;
        while let Some(found) = batches.next_found().map_err(|error| failed(&error))? {
            match found {
                Found::Batch(at) => {
                    let header = &at.header;
                    if header.next_offset() <= self.offsets.0 {
                        continue;
                    }
                    if header.base_offset >= self.offsets.1 {
                        return Ok(());
                    }
                    self.print(path, "batch", batch_fields(at.position, header))?;
                    if self.records {
                        let bytes = batches.bytes(&at).map_err(|error| failed(&error))?;
                        self.records_of(path, &bytes)?;
                    }
                }
                Found::Bad { position, end, what, .. } => {
                    self.print(path, "bad_bytes", json!({ "position": position, "end": end, "what": what }))?;
                }
            }
        }
        Ok(())
    }

    fn records_of(&self, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        let unreadable =
            |error: &dyn std::fmt::Display| self.print(path, "bad_records", json!({ "what": error.to_string() }));
        let batch = match Batch::at_start(bytes) {
            Ok(batch) => batch,
            Err(error) => return unreadable(&error),
        };
        let records = match batch.records(RECORDS_BYTES_MAX) {
            Ok(records) => records,
            Err(error) => return unreadable(&error),
        };
        for record in &records {
            match record {
                Ok(record) if (self.offsets.0..self.offsets.1).contains(&record.offset) => {
                    self.print(path, "record", record_fields(&record, batch.header.attributes.is_control_batch()))?;
                }
                Ok(_) => {}
                Err(error) => return unreadable(&error),
            }
        }
        Ok(())
    }

    /// Prints what stands for an offset, if that was asked for.
    fn row(&self, path: &Path, kind: &str, offset: i64, fields: Value) -> Result<(), CliError> {
        if (self.offsets.0..self.offsets.1).contains(&offset) { self.print(path, kind, fields) } else { Ok(()) }
    }

    fn print(&self, path: &Path, kind: &str, fields: Value) -> Result<(), CliError> {
        match self.format {
            Format::Json => output::json(&Row { file: path, kind, fields }),
            Format::Text => {
                let fields = fields.as_object().into_iter().flatten();
                let words = fields.filter(|(_, value)| !value.is_null()).map(|(key, value)| match value {
                    Value::String(text) => format!("{key}: {text}"),
                    value => format!("{key}: {value}"),
                });
                let indent = if kind.ends_with("record") || kind == "bad_records" { "    " } else { "  " };
                output::line(&format!("{indent}{kind} {}", words.collect::<Vec<_>>().join(" ")))
            }
        }
    }
}

/// A line of `--format json`.
#[derive(Serialize)]
struct Row<'a> {
    file: &'a Path,
    kind: &'a str,
    #[serde(flatten)]
    fields: Value,
}

fn batch_fields(position: u64, header: &BatchHeader) -> Value {
    let attributes = header.attributes;
    let timestamp_type = match attributes.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    json!({
        "base_offset": header.base_offset, "last_offset": header.last_offset(), "count": header.record_count,
        "position": position, "size": header.batch_bytes(), "codec": codec_name(attributes.codec()),
        "base_timestamp": header.base_timestamp, "max_timestamp": header.max_timestamp,
        "timestamp_type": timestamp_type, "leader_epoch": header.partition_leader_epoch,
        "producer_id": header.producer_id, "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence, "last_sequence": header.last_sequence(),
        "transactional": attributes.is_transactional(), "control": attributes.is_control_batch(),
        "delete_horizon": attributes.has_delete_horizon(), "crc": header.crc,
    })
}

fn record_fields(record: &RecordRef<'_>, is_control: bool) -> Value {
    if is_control && let Some(marker) = EndTransactionMarker::of_record(record) {
        let end = if marker.committed { "COMMIT" } else { "ABORT" };
        return json!({
            "offset": record.offset, "timestamp": record.timestamp, "marker": end,
            "coordinator_epoch": marker.coordinator_epoch,
        });
    }
    let text = |bytes: &[u8]| Value::String(shown(bytes));
    let headers: Vec<Value> =
        record.headers().map(|header| json!([shown(header.key), header.value.map(shown)])).collect();
    json!({
        "offset": record.offset, "timestamp": record.timestamp, "key": record.key.map(text),
        "value": record.value.map(text), "headers": headers,
    })
}

/// Text where it is text; otherwise its bytes, so that no two look alike.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            format!("0x{}", digits.collect::<String>())
        }
    }
}
