//! One input of a group: what it may look at, and where what comes of it goes.

use uuid::Uuid;

use super::settings::Settings;
use crate::machine::{Step, View};

/// What a handler of a group works with.
pub struct Turn<'a> {
    pub now_ms: i64,
    pub view: View<'a>,
    /// Where new member ids come from.
    pub ids: &'a mut dyn FnMut() -> Uuid,
    pub step: &'a mut Step,
}

impl Turn<'_> {
    /// An id as Kafka makes them: a random 128-bit number in URL-safe base64, never with a dash in front.
    pub(super) fn new_member_id(&mut self) -> String {
        loop {
            let id = stratalog_types::TopicId((self.ids)()).to_string();
            if !id.starts_with('-') {
                return id;
            }
        }
    }

    pub(super) fn settings(&self, group_id: &str) -> Settings {
        Settings::of(group_id, self.view.config)
    }
}
