//! The metadata image as machines see it.

use std::sync::Arc;

use stratalog_coordinator::machine::{TopicInfo, Topics};
use stratalog_types::TopicId;
use uuid::Uuid;

use crate::metadata::{Image, Topic};

pub struct ImageTopics(pub Arc<Image>);

fn info(topic: &Arc<Topic>) -> TopicInfo {
    TopicInfo {
        name: topic.name.clone(),
        id: topic.id.0,
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
    }
}

impl Topics for ImageTopics {
    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        self.0.topic(name).map(info)
    }

    fn by_id(&self, id: Uuid) -> Option<TopicInfo> {
        self.0.topic_by_id(TopicId(id)).map(info)
    }

    fn all(&self) -> Vec<TopicInfo> {
        self.0.topics().map(info).collect()
    }

    /// Other changes of the metadata count too: whoever compares looks once more than needed.
    fn revision(&self) -> u64 {
        self.0.revision
    }
}
