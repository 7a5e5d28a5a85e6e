//! ListConfigResources: topics and this broker; client metrics and groups have nothing to list.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::list_config_resources::ListConfigResourcesRequest;

use super::{BROKER, BROKER_LOGGER, CLIENT_METRICS, Fixture, GROUP, TOPIC};

async fn list(fixture: &mut Fixture, types: &[i8], version: i16) -> Result<Vec<(i8, String)>, ErrorCode> {
    let request = ListConfigResourcesRequest { resource_types: types.to_vec() };
    let response = fixture.ask(&request, version).await;
    if response.error_code.is_error() {
        assert!(response.config_resources.is_empty());
        return Err(response.error_code);
    }
    Ok(response.config_resources.into_iter().map(|one| (one.resource_type, one.resource_name)).collect())
}

#[tokio::test]
async fn resources_are_listed_by_type() {
    let mut fixture = Fixture::start().await;
    fixture.create("b", 1, &[]).await;
    fixture.create("a", 1, &[]).await;
    let row = |resource_type, name: &str| (resource_type, name.to_owned());
    let topics = [row(TOPIC, "a"), row(TOPIC, "b")];
    assert_eq!(list(&mut fixture, &[TOPIC, TOPIC], 1).await.unwrap(), topics);
    let broker = [row(BROKER_LOGGER, "1"), row(BROKER, "1")];
    assert_eq!(list(&mut fixture, &[BROKER, BROKER_LOGGER], 1).await.unwrap(), broker);
    assert_eq!(list(&mut fixture, &[], 1).await.unwrap(), [broker.as_slice(), &topics].concat());
    assert_eq!(list(&mut fixture, &[CLIENT_METRICS, GROUP], 1).await, Ok(Vec::new()));
    for unknown in [0, 1, 64] {
        assert_eq!(list(&mut fixture, &[TOPIC, unknown], 1).await, Err(ErrorCode::UNSUPPORTED_VERSION));
    }
    assert_eq!(list(&mut fixture, &[], 0).await, Ok(Vec::new()));
    fixture.stop().await;
}
