//! Kafka's own produce path against ours, over good, wrong and damaged batches (`tests/golden/records/verdicts.txt`).

use super::validate::kafka_code;
use super::*;

fn rules_named(name: &str) -> ValidationRules {
    let rules = ValidationRules { full: true, batch_bytes_max: 400, ..ValidationRules::kafka_defaults(NOW) };
    match name {
        "create" => rules,
        "compact" => ValidationRules { compacted: true, ..rules },
        "append" => ValidationRules { timestamp_type: TimestampType::LogAppendTime, ..rules },
        "recent" => ValidationRules { timestamp_before_max_ms: 1_000_000, ..rules },
        "v6" => ValidationRules { zstd_allowed: false, ..rules },
        other => panic!("rules {other}"),
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let pairs = hex.trim_end_matches('-').as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("hex"), 16).expect("hex")).collect()
}

/// What Kafka takes and we refuse, as `validate.rs` says at its head.
fn is_meant(outcome: &Result<ValidatedBatch, BatchError>) -> bool {
    match outcome {
        Err(BatchError::InvalidRecord { reason, .. }) => matches!(
            reason,
            InvalidReason::MoreThanOneBatch { .. }
                | InvalidReason::Attributes(_)
                | InvalidReason::Producer { .. }
                | InvalidReason::OffsetDelta { .. }
                | InvalidReason::Records(RecordsError::Record { error: RecordError::ImpossibleLength, .. })
        ),
        Err(BatchError::LogAppendTime) => true,
        _ => false,
    }
}

#[test]
fn refusals_are_kafkas() {
    let path = format!("{}/tests/golden/records/verdicts.txt", env!("CARGO_MANIFEST_DIR"));
    let verdicts = std::fs::read_to_string(&path).expect("the golden file");
    let mut differences = Vec::new();
    let mut stricter = 0;
    for line in verdicts.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let [name, rules, hex, kafka] = fields[..] else { panic!("{line}") };
        let outcome = validate_produce(&from_hex(hex), &rules_named(rules));
        let ours = kafka_code(&outcome);
        // An answer by accident of Kafka's exceptions: any refusal is as good.
        let same = ours == kafka || kafka == "UNKNOWN_SERVER_ERROR" && ours != "NONE";
        if kafka == "NONE" && is_meant(&outcome) {
            stricter += 1;
        } else if !same {
            differences.push(format!("{name} {rules}: Kafka {kafka}, ours {ours}: {outcome:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(stricter, 81, "refusals beyond Kafka's");
}
