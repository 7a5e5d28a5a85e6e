//! DescribeConfigs: values, sources and synonyms of topics, brokers and groups.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};

use super::{BROKER, BROKER_LOGGER, CLIENT_METRICS, Fixture, GROUP, TOPIC, Told, told};

/// Everything of a resource, or some keys of it, with synonyms.
async fn describe(fixture: &mut Fixture, resource_type: i8, name: &str, keys: &[&str]) -> DescribeConfigsResult {
    let configuration_keys = Some(keys.iter().map(|key| (*key).to_owned()).collect());
    let resource = DescribeConfigsResource { resource_type, resource_name: name.to_owned(), configuration_keys };
    let request =
        DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, include_documentation: false };
    fixture.ask(&request, 4).await.results.remove(0)
}

async fn one(fixture: &mut Fixture, resource_type: i8, name: &str, key: &str) -> DescribeConfigsResourceResult {
    let mut result = describe(fixture, resource_type, name, &[key]).await;
    assert_eq!((result.error_code, result.configs.len()), (ErrorCode::NONE, 1), "{name} {key}");
    result.configs.remove(0)
}

fn synonyms(config: &DescribeConfigsResourceResult) -> Vec<(&str, Option<&str>, i8)> {
    let rows = config.synonyms.iter();
    rows.map(|synonym| (synonym.name.as_str(), synonym.value.as_deref(), synonym.source)).collect()
}

#[tokio::test]
async fn refusals_are_kafkas() {
    let mut fixture = Fixture::start().await;
    let invalid = |message| told(ErrorCode::INVALID_REQUEST, message);
    let topic = |message: &str| told(ErrorCode::INVALID_TOPIC_EXCEPTION, &format!("Topic name is invalid: {message}"));
    let cases: Vec<(i8, &str, Told)> = vec![
        (TOPIC, "nope", told(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "")),
        (TOPIC, "", topic("the empty string is not allowed")),
        (BROKER, "2", invalid("Unexpected broker id, expected 1 or empty string, but received 2")),
        (BROKER, "x", invalid("Broker id must be an integer, but it is: x")),
        (BROKER_LOGGER, "2", invalid("Unexpected broker id, expected 1 but received 2")),
        (BROKER_LOGGER, "", invalid("Broker id must not be empty")),
        (CLIENT_METRICS, "", invalid("Client metrics subscription name must not be empty")),
        (GROUP, "", invalid("Group name must not be empty")),
    ];
    for (resource_type, name, expected) in cases {
        let result = describe(&mut fixture, resource_type, name, &[]).await;
        assert_eq!((result.error_code, result.error_message), expected, "{resource_type} {name}");
        assert_eq!((result.resource_type, result.resource_name.as_str()), (resource_type, name));
        assert!(result.configs.is_empty());
    }
    for unknown in [0, 1, 3, 99] {
        assert_eq!(describe(&mut fixture, unknown, "x", &[]).await.error_code, ErrorCode::INVALID_REQUEST);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_topic_tells_its_own_and_the_brokers() {
    let mut fixture = Fixture::start_with(&[("log.retention.ms", "5000000")]).await;
    fixture.create("t", 1, &[("cleanup.policy", "compact")]).await;
    let policy = one(&mut fixture, TOPIC, "t", "cleanup.policy").await;
    assert_eq!((policy.value.as_deref(), policy.config_source, policy.config_type), (Some("compact"), 1, 7));
    let expected = [("cleanup.policy", Some("compact"), 1), ("log.cleanup.policy", Some("delete"), 5)];
    assert_eq!(synonyms(&policy), expected);
    assert_eq!(policy.documentation, None);
    let retention = one(&mut fixture, TOPIC, "t", "retention.ms").await;
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("5000000"), 4));
    assert_eq!(synonyms(&retention)[0], ("log.retention.ms", Some("5000000"), 4));
    assert!(!retention.read_only && !retention.is_sensitive);
    // Kafka's default is 9223372036854775807; ours is the one default we change, and it is told.
    let flush = one(&mut fixture, TOPIC, "t", "flush.messages").await;
    assert_eq!(flush.value.as_deref(), Some("1"));
    assert_eq!(describe(&mut fixture, TOPIC, "t", &[]).await.configs.len(), 33);
    assert!(describe(&mut fixture, TOPIC, "t", &["nope"]).await.configs.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn what_was_not_asked_for_is_left_out() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[("retention.ms", "1000")]).await;
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".to_owned(),
        configuration_keys: Some(vec!["retention.ms".to_owned()]),
    };
    let mut request =
        DescribeConfigsRequest { resources: vec![resource], include_synonyms: false, include_documentation: true };
    let told = fixture.ask(&request, 4).await.results.remove(0).configs.remove(0);
    assert!(told.synonyms.is_empty() && told.documentation.is_some_and(|text| !text.is_empty()));
    request.include_documentation = false;
    let told = fixture.ask(&request, 1).await.results.remove(0).configs.remove(0);
    assert_eq!((told.value.as_deref(), told.config_source, told.config_type), (Some("1000"), 1, 0));
    fixture.stop().await;
}

#[tokio::test]
async fn a_broker_tells_what_it_can_change() {
    let mut fixture = Fixture::start().await;
    let fixed = one(&mut fixture, BROKER, "1", "node.id").await;
    assert!(fixed.read_only);
    let inherited = one(&mut fixture, BROKER, "1", "log.retention.ms").await;
    assert!(!inherited.read_only);
    assert_eq!((inherited.value, inherited.config_source, inherited.config_type), (None, 5, 5));
    // Kafka changes it while running; here it is read at start, and says so.
    assert!(one(&mut fixture, BROKER, "1", "max.connections").await.read_only);
    assert!(describe(&mut fixture, BROKER, "", &[]).await.configs.is_empty());
    assert!(describe(&mut fixture, BROKER_LOGGER, "1", &[]).await.configs.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn groups_and_client_metrics_have_defaults() {
    let mut fixture = Fixture::start().await;
    let timeout = one(&mut fixture, GROUP, "g", "consumer.session.timeout.ms").await;
    assert_eq!((timeout.value.as_deref(), timeout.config_source, timeout.config_type), (Some("45000"), 5, 3));
    assert_eq!(describe(&mut fixture, GROUP, "g", &[]).await.configs.len(), 17);
    let interval = one(&mut fixture, CLIENT_METRICS, "c", "interval.ms").await;
    assert_eq!((interval.value.as_deref(), interval.config_source, interval.config_type), (Some("300000"), 5, 3));
    fixture.stop().await;
}
