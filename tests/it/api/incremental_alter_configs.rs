//! IncrementalAlterConfigs: what a topic and a broker become, what is refused, and what a restart remembers.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::{BROKER, BROKER_LOGGER, CLIENT_METRICS, Fixture, GROUP, OK, TOPIC, Told, told};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Row<'a> = (&'a str, i8, Option<&'a str>);

fn resource(resource_type: i8, name: &str, rows: &[Row<'_>]) -> AlterConfigsResource {
    let config = |(name, config_operation, value): &Row<'_>| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *config_operation,
        value: value.map(str::to_owned),
    };
    let configs = rows.iter().map(config).collect();
    AlterConfigsResource { resource_type, resource_name: name.to_owned(), configs }
}

async fn alter_all(fixture: &mut Fixture, resources: Vec<AlterConfigsResource>, validate_only: bool) -> Vec<Told> {
    let response = fixture.ask(&IncrementalAlterConfigsRequest { resources, validate_only }, 1).await;
    response.responses.into_iter().map(|one| (one.error_code, one.error_message)).collect()
}

async fn alter(fixture: &mut Fixture, resource_type: i8, name: &str, rows: &[Row<'_>]) -> Told {
    alter_all(fixture, vec![resource(resource_type, name, rows)], false).await.remove(0)
}

async fn topic_sets(fixture: &mut Fixture, name: &str) -> Vec<String> {
    let configs = fixture.configs(TOPIC, name, &[1]).await;
    configs.into_iter().map(|(name, value, _)| format!("{name}={value}")).collect()
}

/// `key=value/source` of what was set while running.
async fn broker_sets(fixture: &mut Fixture, name: &str) -> Vec<String> {
    let configs = fixture.configs(BROKER, name, &[2, 3]).await;
    configs.into_iter().map(|(name, value, source)| format!("{name}={value}/{source}")).collect()
}

#[tokio::test]
async fn a_topic_changes_key_by_key() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[("retention.ms", "1000")]).await;
    let replicas = "leader.replication.throttled.replicas";
    let steps: &[(Row<'_>, &[&str])] = &[
        (("retention.ms", SET, Some(" 77 ")), &["retention.ms=77"]),
        (("retention.ms", DELETE, None), &[]),
        (("nope", DELETE, None), &[]),
        (("cleanup.policy", APPEND, Some("compact")), &["cleanup.policy=delete,compact"]),
        (("cleanup.policy", APPEND, Some("delete")), &["cleanup.policy=delete,compact"]),
        (("cleanup.policy", SUBTRACT, Some("compact")), &["cleanup.policy=delete"]),
        (("cleanup.policy", SUBTRACT, Some("delete")), &["cleanup.policy="]),
        (("cleanup.policy", DELETE, None), &[]),
        ((replicas, APPEND, Some("0:1")), &["leader.replication.throttled.replicas=0:1"]),
        ((replicas, APPEND, Some("1:1")), &["leader.replication.throttled.replicas=0:1,1:1"]),
        ((replicas, SUBTRACT, Some("0:1")), &["leader.replication.throttled.replicas=1:1"]),
    ];
    for (step, expected) in steps {
        assert_eq!(alter(&mut fixture, TOPIC, "t", &[*step]).await, OK, "{step:?}");
        assert_eq!(topic_sets(&mut fixture, "t").await, *expected, "{step:?}");
    }
    let mut fixture = fixture.restart().await;
    assert_eq!(topic_sets(&mut fixture, "t").await, ["leader.replication.throttled.replicas=1:1"]);
    fixture.stop().await;
}

#[tokio::test]
async fn refusals_are_kafkas() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let config = |message| told(ErrorCode::INVALID_CONFIG, message);
    let invalid = |message| told(ErrorCode::INVALID_REQUEST, message);
    let retention = |operation, value| ("retention.ms", operation, value);
    let name =
        "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
    let cases: Vec<(i8, &str, Vec<Row<'_>>, Told)> = vec![
        (
            TOPIC,
            "t",
            vec![retention(SET, Some("x"))],
            config("Invalid value x for configuration retention.ms: Not a number of type LONG"),
        ),
        (TOPIC, "t", vec![("zip", SET, Some("1"))], config("Unknown topic config name: zip")),
        (TOPIC, "nope", vec![("zip", SET, Some("1"))], config("Unknown topic config name: zip")),
        (
            TOPIC,
            "nope",
            vec![("a", SET, None), ("b", APPEND, None), ("c", DELETE, None)],
            invalid("Null value not supported for : a, b"),
        ),
        (
            TOPIC,
            "t",
            vec![retention(SET, None), retention(SET, Some("1"))],
            invalid("Error due to duplicate config keys"),
        ),
        (
            TOPIC,
            "",
            vec![retention(APPEND, Some("1"))],
            config("Can't APPEND to key retention.ms because its type is not LIST."),
        ),
        (
            TOPIC,
            "t",
            vec![retention(SUBTRACT, Some("1"))],
            config("Can't SUBTRACT to key retention.ms because its type is not LIST."),
        ),
        (TOPIC, "", vec![retention(SET, Some("1"))], invalid("Default topic resources are not allowed.")),
        (TOPIC, "a/b", vec![retention(SET, Some("1"))], told(ErrorCode::INVALID_TOPIC_EXCEPTION, name)),
        (TOPIC, "nope", vec![], told(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "The topic 'nope' does not exist.")),
        (
            TOPIC,
            "t",
            vec![("min.compaction.lag.ms", SET, Some("10")), ("max.compaction.lag.ms", SET, Some("9"))],
            config("conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (9)"),
        ),
        (0, "t", vec![retention(SET, Some("1"))], invalid("Unknown resource type 0")),
        (BROKER_LOGGER, "1", vec![("kafka.x", SET, Some("INFO"))], config("Logger kafka.x does not exist!")),
        (
            BROKER_LOGGER,
            "7",
            vec![("root", SET, Some("INFO"))],
            invalid("Unexpected node id. Expected 1, but received 7"),
        ),
        (BROKER_LOGGER, "", vec![], invalid("Node id must be an integer, but it is: ")),
        (BROKER, "2", vec![], invalid("Unexpected broker id, expected 1, but received 2")),
        (BROKER, "x", vec![], invalid("Node id must be an integer, but it is: x")),
        (BROKER, "1", vec![("node.id", SET, Some("4"))], invalid("Cannot update these configs dynamically: [node.id]")),
        (
            BROKER,
            "",
            vec![("log.retention.hours", SET, Some("5"))],
            invalid("Cannot update these configs dynamically: [log.retention.hours]"),
        ),
        (
            BROKER,
            "",
            vec![("log.retention.ms", SET, Some("abc"))],
            invalid("Invalid value abc for configuration log.retention.ms: Not a number of type LONG"),
        ),
        (
            BROKER,
            "1",
            vec![("log.retention.ms", APPEND, Some("5"))],
            config("Config value append is not allowed for config key: log.retention.ms"),
        ),
        (BROKER, "1", vec![("log.retention.ms", 9, Some("5"))], invalid("Unknown operations type 9")),
        // From here on we differ on purpose. Kafka stores a broker key that nobody knows.
        (BROKER, "1", vec![("zip", SET, Some("1"))], config("Unknown config name: zip")),
        // Kafka passes it on; here it is read at start.
        (
            BROKER,
            "1",
            vec![("max.connections", SET, Some("1"))],
            invalid("Cannot update these configs dynamically: [max.connections]"),
        ),
        (GROUP, "g", vec![("zip", SET, Some("1"))], config("Unknown group config name: zip")),
        // Telemetry is not served, so nothing would act on its configs.
        (CLIENT_METRICS, "c", vec![("interval.ms", SET, Some("5000"))], invalid("Unknown resource type 16")),
    ];
    for (resource_type, name, rows, expected) in cases {
        assert_eq!(alter(&mut fixture, resource_type, name, &rows).await, expected, "{resource_type} {name} {rows:?}");
    }
    let security = alter(&mut fixture, BROKER, "1", &[("sasl.enabled.mechanisms", SET, Some("PLAIN"))]).await;
    assert_eq!(security.0, ErrorCode::INVALID_REQUEST);
    assert!(topic_sets(&mut fixture, "t").await.is_empty() && broker_sets(&mut fixture, "1").await.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn one_refusal_does_not_hold_back_another_resource() {
    let mut fixture = Fixture::start().await;
    fixture.create("a", 1, &[]).await;
    fixture.create("b", 1, &[]).await;
    let set = |name: &str, value: &str| resource(TOPIC, name, &[("retention.ms", SET, Some(value))]);
    let told_of = alter_all(&mut fixture, vec![set("a", "5"), set("b", "x")], false).await;
    assert_eq!((told_of[0].clone(), told_of[1].0), (OK, ErrorCode::INVALID_CONFIG));
    assert_eq!(topic_sets(&mut fixture, "a").await, ["retention.ms=5"]);
    let twice = told(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once.");
    let told_of = alter_all(&mut fixture, vec![set("a", "6"), set("a", "7"), set("b", "8")], false).await;
    assert_eq!(told_of, [twice.clone(), twice, OK]);
    assert_eq!(topic_sets(&mut fixture, "a").await, ["retention.ms=5"]);
    assert_eq!(alter_all(&mut fixture, vec![set("a", "9")], true).await, [OK]);
    assert_eq!(topic_sets(&mut fixture, "a").await, ["retention.ms=5"], "a rehearsal changes nothing");
    fixture.stop().await;
}

#[tokio::test]
async fn a_running_partition_takes_the_change_over() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    fixture.produce("t", 1, false).await;
    let limit = [("max.message.bytes", SET, Some("1"))];
    assert_eq!(alter(&mut fixture, TOPIC, "t", &limit).await, OK);
    assert!(fixture.produce_refused("t").await, "above max.message.bytes of the topic");
    assert_eq!(alter(&mut fixture, TOPIC, "t", &[("max.message.bytes", DELETE, None)]).await, OK);
    fixture.produce("t", 1, false).await;
    // The same through what the topic inherits from the broker.
    assert_eq!(alter(&mut fixture, BROKER, "", &[("message.max.bytes", SET, Some("1"))]).await, OK);
    assert!(fixture.produce_refused("t").await, "above message.max.bytes of the brokers");
    assert_eq!(alter(&mut fixture, BROKER, "1", &[("message.max.bytes", SET, Some("1000000"))]).await, OK);
    fixture.produce("t", 1, false).await;
    fixture.stop().await;
}

#[tokio::test]
async fn one_broker_is_stronger_than_all() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let retention = |value: &'static str| [("log.retention.ms", SET, Some(value))];
    assert_eq!(alter(&mut fixture, BROKER, "", &retention("3600000")).await, OK);
    assert_eq!(broker_sets(&mut fixture, "1").await, ["log.retention.ms=3600000/3"]);
    assert_eq!(alter(&mut fixture, BROKER, "1", &retention("7200000")).await, OK);
    assert_eq!(broker_sets(&mut fixture, "1").await, ["log.retention.ms=7200000/2"]);
    assert_eq!(broker_sets(&mut fixture, "").await, ["log.retention.ms=3600000/3"]);
    let inherited = fixture.configs(TOPIC, "t", &[2]).await;
    assert_eq!(inherited, [("retention.ms".to_owned(), "7200000".to_owned(), 2)]);
    let mut fixture = fixture.restart().await;
    assert_eq!(broker_sets(&mut fixture, "1").await, ["log.retention.ms=7200000/2"]);
    assert_eq!(alter(&mut fixture, BROKER, "1", &[("log.retention.ms", DELETE, None)]).await, OK);
    assert_eq!(broker_sets(&mut fixture, "1").await, ["log.retention.ms=3600000/3"]);
    assert_eq!(alter(&mut fixture, BROKER, "", &[("log.cleanup.policy", APPEND, Some("compact"))]).await, OK);
    assert_eq!(
        broker_sets(&mut fixture, "").await,
        ["log.cleanup.policy=delete,compact/3", "log.retention.ms=3600000/3"]
    );
    fixture.stop().await;
}
