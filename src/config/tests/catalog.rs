//! The catalog against the list of keys that a running Kafka 4.3.1 told.

use crate::config::catalog;
use crate::config::{Key, Kind};

/// Scope, name, type, default, dynamic or fixed, valid values; one key a line.
const KAFKA_KEYS: &str = include_str!("kafka-4.3.1-keys.tsv");

/// Where we differ from Kafka, and must.
const OUR_DEFAULTS: &[(&str, &str)] = &[("flush.messages", "1"), ("log.flush.interval.messages", "1")];

#[test]
fn every_key_of_kafka_is_known_with_its_type_and_default() {
    let mut seen = 0;
    for line in KAFKA_KEYS.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [scope, name, kind, default, update, valid] = columns[..] else { panic!("columns of {line}") };
        let key = match scope {
            "topic" => catalog::topic_key(name),
            "group" => catalog::group_key(name),
            _ => catalog::broker_key(name),
        };
        let key = key.unwrap_or_else(|| panic!("{scope} key {name} is not declared"));
        assert_eq!(format!("{:?}", key.kind).to_uppercase(), kind, "type of {name}");
        assert_eq!(key.dynamic, update == "dynamic", "dynamic of {name}");
        let ours = OUR_DEFAULTS.iter().find(|(ours, _)| *ours == name).map(|(_, default)| *default);
        let unset = default == "null" || default == "(required)";
        let expected = ours.or((!unset).then_some(default));
        assert_eq!(key.default, expected, "default of {name}");
        check_bounds(key, valid);
        seen += 1;
    }
    assert_eq!(seen, 390);
}

/// `[1,...]` and `[1,...,9]`: the bounds are accepted, what lies just outside is not.
fn check_bounds(key: &Key, valid: &str) {
    let Some(inner) = valid.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return };
    let Some((least, most)) = inner.split_once(",...") else { return };
    if key.kind == Kind::Double {
        assert!(key.parse("-0.01").is_err() && key.parse("1.01").is_err() && key.parse("1").is_ok(), "{}", key.name);
        return;
    }
    let least: i64 = least.parse().expect("lower bound");
    assert!(key.parse(&least.to_string()).is_ok(), "{} takes {least}", key.name);
    assert!(key.parse(&(least - 1).to_string()).is_err(), "{} refuses {}", key.name, least - 1);
    if let Some(most) = most.strip_prefix(',') {
        let most: i64 = most.parse().expect("upper bound");
        assert!(key.parse(&most.to_string()).is_ok(), "{} takes {most}", key.name);
        assert!(key.parse(&(most + 1).to_string()).is_err(), "{} refuses {}", key.name, most + 1);
    }
}

#[test]
fn every_default_is_valid_and_every_name_is_declared_once() {
    let scopes: [Vec<&Key>; 3] =
        [catalog::broker_keys().collect(), catalog::TOPIC.iter().collect(), catalog::GROUP.iter().collect()];
    for keys in scopes {
        let mut names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        names.sort_unstable();
        let declared = names.len();
        names.dedup();
        assert_eq!(names.len(), declared);
        for key in keys {
            if let Some(default) = key.default {
                assert!(key.parse(default).is_ok(), "{}: {:?}", key.name, key.parse(default));
            }
            assert!(key.doc.ends_with('.'), "the doc of {} is a sentence", key.name);
        }
    }
}

#[test]
fn every_synonym_of_a_topic_key_is_a_broker_key_of_a_fitting_type() {
    for key in catalog::TOPIC {
        for synonym in catalog::topic_synonyms(key.name) {
            let broker = catalog::broker_key(synonym.name).unwrap_or_else(|| panic!("{}", synonym.name));
            let numbers = [Kind::Int, Kind::Long];
            let fits = broker.kind == key.kind || (numbers.contains(&broker.kind) && numbers.contains(&key.kind));
            assert!(fits, "{} and {}", key.name, broker.name);
        }
    }
}

#[test]
fn secrets_are_never_shown() {
    let error = super::load_file("ssl.keystore.password=s3cret").map(|_| ()).expect_err("refused").to_string();
    assert!(!error.contains("s3cret"), "{error}");
    let settings = super::config(super::load_flags(&[
        ("stratalog.tier.s3.access.key.id", "id"),
        ("stratalog.tier.s3.secret.access.key", "s3cret"),
        ("stratalog.tier.url", "s3://bucket"),
    ]));
    assert!(!format!("{:?}", settings.tier).contains("s3cret"));
    let described = crate::config::describe::describe_broker(&settings.settings);
    assert!(!format!("{described:?}").contains("s3cret"));
}
