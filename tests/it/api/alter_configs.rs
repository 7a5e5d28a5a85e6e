//! AlterConfigs: what is not named goes back to the default.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};

use super::{BROKER, BROKER_LOGGER, Fixture, OK, TOPIC, Told, told};

async fn alter(
    fixture: &mut Fixture,
    (resource_type, name): (i8, &str),
    configs: &[(&str, Option<&str>)],
    validate_only: bool,
) -> Told {
    let config = |(name, value): &(&str, Option<&str>)| AlterableConfig {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    };
    let configs = configs.iter().map(config).collect();
    let resource = AlterConfigsResource { resource_type, resource_name: name.to_owned(), configs };
    let request = AlterConfigsRequest { resources: vec![resource], validate_only };
    let answer = fixture.ask(&request, 2).await.responses.remove(0);
    assert_eq!((answer.resource_type, answer.resource_name.as_str()), (resource_type, name));
    (answer.error_code, answer.error_message)
}

async fn sets(fixture: &mut Fixture, (resource_type, name): (i8, &str)) -> Vec<String> {
    let configs = fixture.configs(resource_type, name, &[1, 2, 3]).await;
    configs.into_iter().map(|(name, value, _)| format!("{name}={value}")).collect()
}

#[tokio::test]
async fn configs_are_replaced() {
    let mut fixture = Fixture::start().await;
    let topic = (TOPIC, "t");
    fixture.create("t", 1, &[("retention.ms", "1000")]).await;
    let two = [("segment.ms", Some("5000")), ("retention.ms", Some("9"))];
    assert_eq!(alter(&mut fixture, topic, &two, false).await, OK);
    assert_eq!(sets(&mut fixture, topic).await, ["retention.ms=9", "segment.ms=5000"]);
    let one = [("cleanup.policy", Some("compact"))];
    assert_eq!(alter(&mut fixture, topic, &one, true).await, OK);
    assert_eq!(sets(&mut fixture, topic).await, ["retention.ms=9", "segment.ms=5000"]);
    assert_eq!(alter(&mut fixture, topic, &one, false).await, OK);
    assert_eq!(sets(&mut fixture, topic).await, ["cleanup.policy=compact"]);
    assert_eq!(alter(&mut fixture, topic, &[], false).await, OK);
    assert!(sets(&mut fixture, topic).await.is_empty());

    let broker = (BROKER, "1");
    assert_eq!(alter(&mut fixture, broker, &[("message.max.bytes", Some("1000000"))], false).await, OK);
    assert_eq!(sets(&mut fixture, broker).await, ["message.max.bytes=1000000"]);
    assert_eq!(alter(&mut fixture, broker, &[], false).await, OK);
    assert!(sets(&mut fixture, broker).await.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn refusals_are_kafkas() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let invalid = |message| told(ErrorCode::INVALID_REQUEST, message);
    let cases: [(i8, &str, &str, Option<&str>, Told); 5] = [
        (TOPIC, "t", "retention.ms", None, invalid("Null value not supported for : retention.ms")),
        (
            TOPIC,
            "nope",
            "retention.ms",
            Some("1"),
            told(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "The topic 'nope' does not exist."),
        ),
        (TOPIC, "", "retention.ms", Some("1"), invalid("Default topic resources are not allowed.")),
        (BROKER_LOGGER, "1", "root", Some("INFO"), invalid("Unknown resource type 8")),
        (BROKER, "1", "node.id", Some("1"), invalid("Cannot update these configs dynamically: [node.id]")),
    ];
    for (resource_type, name, key, value, expected) in cases {
        let answer = alter(&mut fixture, (resource_type, name), &[(key, value)], false).await;
        assert_eq!(answer, expected, "{resource_type} {name} {key}");
    }
    fixture.stop().await;
}
