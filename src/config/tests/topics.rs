//! Topic configs: defaults from the broker, Kafka's rules of values that depend on each other, alterations.

use super::{config, load_file, load_flags};
use crate::config::describe::describe_topic;
use crate::config::{Alteration, CompressionType, Settings, Source, TopicConfig, TopicOverrides, alter};

fn overrides(pairs: &[(&str, &str)]) -> TopicOverrides {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn bare() -> Settings {
    config(load_flags(&[])).settings
}

fn kafka(lines: &str) -> Settings {
    config(load_file(lines)).settings
}

fn refuses(settings: &Settings, pairs: &[(&str, &str)], part: &str) {
    let error = TopicConfig::validate(settings, &TopicOverrides::new(), &overrides(pairs), true).expect_err(part);
    assert!(error.to_string().contains(part), "{pairs:?} gave: {error}");
}

#[test]
fn kafkas_defaults_and_ours() {
    let topic = TopicConfig::resolve(&kafka(""), &TopicOverrides::new()).expect("valid");
    assert_eq!(topic.retention_ms, Some(7 * 24 * 3_600_000));
    assert_eq!(topic.retention_bytes, None);
    assert_eq!(topic.local_retention_ms, topic.retention_ms);
    assert_eq!(topic.segment_bytes, 1 << 30);
    assert_eq!(topic.max_compaction_lag_ms, None);
    assert_eq!(topic.compression, CompressionType::Producer);
    assert!(
        topic.acks_wait_for_sync() && topic.cleanup_delete && !topic.cleanup_compact && !topic.remote_storage_enable
    );

    let topic = TopicConfig::resolve(&bare(), &TopicOverrides::new()).expect("valid");
    assert_eq!(topic.local_retention_ms, Some(86_400_000));
    assert_eq!((topic.segment_bytes, topic.segment_ms), (64 << 20, 3_600_000));
}

#[test]
fn the_strongest_synonym_wins() {
    let minute = 60_000;
    let of = |lines: &str| TopicConfig::resolve(&kafka(lines), &TopicOverrides::new()).expect("valid").retention_ms;
    assert_eq!(of("log.retention.hours=2"), Some(120 * minute));
    assert_eq!(of("log.retention.hours=2\nlog.retention.minutes=3"), Some(3 * minute));
    assert_eq!(of("log.retention.hours=2\nlog.retention.minutes=3\nlog.retention.ms=4"), Some(4));
    assert_eq!(of("log.retention.hours=-1"), None);
}

#[test]
fn default_hot_sets_clamp_and_explicit_ones_are_refused() {
    let settings = bare();
    let short = TopicConfig::validate(
        &settings,
        &TopicOverrides::new(),
        &overrides(&[("remote.storage.enable", "true"), ("retention.ms", "60000")]),
        true,
    );
    assert_eq!(short.expect("the default clamps").local_retention_ms, Some(60_000));
    let tiered = ("remote.storage.enable", "true");
    refuses(
        &settings,
        &[tiered, ("retention.ms", "60000"), ("local.retention.ms", "60001")],
        "Value must not be more than retention.ms",
    );
    refuses(
        &settings,
        &[tiered, ("retention.bytes", "60000"), ("local.retention.bytes", "-1")],
        "Value must not be -1 as retention.bytes",
    );
    refuses(
        &settings,
        &[tiered, ("remote.log.copy.disable", "true"), ("local.retention.ms", "1000")],
        "must equal retention.ms",
    );
    // The same values on a topic that is not tiered mean nothing, as in Kafka.
    let untiered = overrides(&[("retention.ms", "60000"), ("local.retention.ms", "60001")]);
    TopicConfig::validate(&settings, &TopicOverrides::new(), &untiered, true).expect("not tiered");
}

#[test]
fn tiering_needs_a_tier_and_a_delete_policy() {
    let tiered = overrides(&[("remote.storage.enable", "true")]);
    let error = TopicConfig::validate(&bare(), &TopicOverrides::new(), &tiered, false).expect_err("no tier");
    assert!(error.to_string().contains("Tiered Storage functionality is disabled"), "{error}");
    refuses(&bare(), &[("remote.storage.enable", "true"), ("cleanup.policy", "compact")], "cleanup.policy=delete");
    refuses(
        &bare(),
        &[("remote.storage.enable", "true"), ("cleanup.policy", "delete,compact")],
        "cleanup.policy=delete",
    );
    refuses(&bare(), &[("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")], "conflict");
}

#[test]
fn turning_the_tier_off_says_what_becomes_of_the_history() {
    let before = overrides(&[("remote.storage.enable", "true")]);
    let settings = bare();
    for after in [overrides(&[]), overrides(&[("remote.storage.enable", "false")])] {
        let error = TopicConfig::validate(&settings, &before, &after, true).expect_err("history left behind");
        assert!(error.to_string().contains("remote.log.delete.on.disable=true"), "{error}");
    }
    let after = overrides(&[("remote.storage.enable", "false"), ("remote.log.delete.on.disable", "true")]);
    TopicConfig::validate(&settings, &before, &after, true).expect("said so");
}

#[test]
fn new_topics_are_told_that_they_are_tiered() {
    let created = |asked: &[(&str, &str)], tier| {
        let stored = TopicConfig::creation_overrides(&bare(), &overrides(asked), tier);
        stored.get("remote.storage.enable").cloned()
    };
    assert_eq!(created(&[], true).as_deref(), Some("true"));
    assert_eq!(created(&[], false), None);
    assert_eq!(created(&[("remote.storage.enable", "false")], true).as_deref(), Some("false"));
    assert_eq!(created(&[("cleanup.policy", "compact")], true), None);
    assert!(TopicConfig::creation_overrides(&kafka("stratalog.tier.url=file:///t"), &overrides(&[]), true).is_empty());
}

#[test]
fn a_topic_tiered_by_default_that_becomes_compacted_copies_no_more() {
    let before = overrides(&[("remote.storage.enable", "true")]);
    let asked = overrides(&[("remote.storage.enable", "true"), ("cleanup.policy", "compact")]);
    let stored = TopicConfig::altered_overrides(&bare(), &before, asked.clone());
    assert_eq!(stored.get("remote.log.copy.disable").map(String::as_str), Some("true"));
    let config = TopicConfig::validate(&bare(), &before, &stored, true).expect("what is tiered stays readable");
    assert!(config.cleanup_compact && config.remote_storage_enable && config.remote_log_copy_disable);
    // Where nothing is tiered by default, or it is asked for, Kafka's refusal holds.
    let explicit = kafka("stratalog.tier.url=file:///t");
    assert_eq!(TopicConfig::altered_overrides(&explicit, &before, asked.clone()), asked);
    TopicConfig::validate(&explicit, &before, &asked, true).expect_err("refused");
    TopicConfig::validate(&bare(), &overrides(&[]), &stored, true).expect_err("asked for");
}

#[test]
fn names_and_values_in_kafkas_words() {
    refuses(
        &bare(),
        &[("retention.msec", "1")],
        "Unknown topic config name: retention.msec; did you mean retention.ms?",
    );
    refuses(&bare(), &[("log.retention.ms", "1")], "a topic's is retention.ms");
    refuses(
        &bare(),
        &[("retention.ms", "x")],
        "Invalid value x for configuration retention.ms: Not a number of type LONG",
    );
    refuses(&bare(), &[("retention.ms", "-2")], "Value must be at least -1");
    refuses(&bare(), &[("leader.replication.throttled.replicas", "1-2")], "[partitionId]:[brokerId]");
}

#[test]
fn an_empty_cleanup_policy_keeps_everything() {
    let topic = TopicConfig::resolve(&bare(), &overrides(&[("cleanup.policy", "")])).expect("valid");
    assert!(!topic.cleanup_compact && !topic.cleanup_delete);
}

#[test]
fn incremental_alterations() {
    let settings = bare();
    let change =
        |current: &TopicOverrides, name: &str, alteration| alter(&settings, current, &[(name.to_owned(), alteration)]);
    let current = overrides(&[("retention.ms", "5")]);
    let altered = change(&current, "cleanup.policy", Alteration::Append("compact".to_owned())).expect("a list");
    assert_eq!(altered["cleanup.policy"], "delete,compact");
    let altered = change(&altered, "cleanup.policy", Alteration::Subtract("delete".to_owned())).expect("a list");
    assert_eq!(altered["cleanup.policy"], "compact");
    let altered = change(&altered, "retention.ms", Alteration::Delete).expect("known");
    assert_eq!(altered, overrides(&[("cleanup.policy", "compact")]));
    assert!(change(&altered, "retention.ms", Alteration::Append("1".to_owned())).is_err());
    assert!(change(&altered, "retention.ms", Alteration::Set("x".to_owned())).is_err());
    assert!(change(&altered, "no.such.key", Alteration::Delete).is_err());
}

#[test]
fn describe_a_topic() {
    let settings = kafka("log.retention.hours=2\nlog.segment.bytes=2097152");
    let described = describe_topic(&settings, &overrides(&[("segment.bytes", "1048576")]));
    let find = |name: &str| described.iter().find(|config| config.name == name).expect("known");
    let retention = find("retention.ms");
    assert_eq!((retention.value.as_deref(), retention.source), (Some("7200000"), Source::StaticBroker));
    let segment = find("segment.bytes");
    assert_eq!((segment.value.as_deref(), segment.source, segment.read_only), (Some("1048576"), Source::Topic, false));
    let layers: Vec<_> =
        segment.synonyms.iter().map(|synonym| (synonym.name, synonym.value.as_deref(), synonym.source)).collect();
    let expected = [
        ("segment.bytes", Some("1048576"), Source::Topic),
        ("log.segment.bytes", Some("2097152"), Source::StaticBroker),
        ("log.segment.bytes", Some("1073741824"), Source::Default),
    ];
    assert_eq!(layers, expected);
    assert!(find("remote.storage.enable").is_default());
    assert_eq!(find("flush.messages").value.as_deref(), Some("1"));
}

#[test]
fn a_topic_is_told_what_changes_nothing() {
    let told = crate::config::without_effect(&overrides(&[("preallocate", "true"), ("retention.ms", "1000")]));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(crate::config::without_effect(&overrides(&[("preallocate", "false")])).is_empty());
}
