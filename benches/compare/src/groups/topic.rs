//! What a run needs before it: a coordinator that answers, records to fetch, and configs of a topic.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stratalog_protocol::codec::Records;
use stratalog_protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use stratalog_protocol::messages::metadata::MetadataRequestTopic;
use stratalog_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use stratalog_protocol::messages::{
    FindCoordinatorRequest, IncrementalAlterConfigsRequest, MetadataRequest, ProduceRequest,
};
use stratalog_protocol::records::{BatchBuilder, NewRecord};
use uuid::Uuid;

use super::client::{Client, good};
use crate::Outcome;
use crate::arguments::Arguments;

const READY_MAX: Duration = Duration::from_secs(60);

/// Waits for the coordinator, and writes one record into each partition of a topic.
pub async fn prepare(arguments: &Arguments) -> Outcome<String> {
    let mut client = Client::open(arguments.text("bootstrap")?).await?;
    wait_for_coordinator(&mut client).await?;
    if let Ok(topic) = arguments.text("topic") {
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned(),
                partition_data: one_record_each(arguments.number("partitions")?)?,
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        let response = client.ask(&request, 9).await?;
        for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
            good("Produce", partition.error_code)?;
        }
    }
    Ok("{}".to_owned())
}

fn one_record_each(partitions: i32) -> Outcome<Vec<PartitionProduceData>> {
    let mut builder = BatchBuilder::new(0);
    builder.append(&NewRecord { timestamp: 1_700_000_000_000, value: Some(b"first"), ..NewRecord::default() })?;
    let batch: Bytes = builder.build()?;
    Ok((0..partitions).map(|index| PartitionProduceData { index, records: Records::Bytes(batch.clone()) }).collect())
}

/// The first question makes the topic of offsets, whose partitions then take a moment.
async fn wait_for_coordinator(client: &mut Client) -> Outcome<()> {
    let asked_at = Instant::now();
    for number in 0..200 {
        let keys = vec![format!("ready-{number}")];
        let request = FindCoordinatorRequest { coordinator_keys: keys, ..FindCoordinatorRequest::default() };
        loop {
            let response = client.ask(&request, 4).await?;
            let code = response.coordinators.first().ok_or("no coordinator in the answer")?.error_code;
            if code.is_none() {
                break;
            }
            if asked_at.elapsed() > READY_MAX {
                return good("FindCoordinator", code);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Sets one config of a topic.
pub async fn configure(arguments: &Arguments) -> Outcome<String> {
    let mut client = Client::open(arguments.text("bootstrap")?).await?;
    let config = AlterableConfig {
        name: arguments.text("name")?.to_owned(),
        config_operation: 0,
        value: Some(arguments.text("value")?.to_owned()),
    };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: arguments.text("topic")?.to_owned(),
        configs: vec![config],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    for answer in client.ask(&request, 1).await?.responses {
        good("IncrementalAlterConfigs", answer.error_code)?;
    }
    Ok("{}".to_owned())
}

/// The id of a topic, and how many partitions it has.
pub async fn describe(client: &mut Client, topic: &str) -> Outcome<(Uuid, usize)> {
    let asked = MetadataRequestTopic { name: Some(topic.to_owned()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![asked]), ..MetadataRequest::default() };
    let response = client.ask(&request, 12).await?;
    let found = response.topics.into_iter().next().ok_or("no topic in the answer")?;
    good("Metadata", found.error_code)?;
    Ok((found.topic_id, found.partitions.len()))
}
