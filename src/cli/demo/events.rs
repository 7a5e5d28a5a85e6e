//! The events of the demonstration: each is a function of its number, so that a replay can be compared without keeping
//! what was sent.

use stratalog_protocol::records::RecordRef;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub key: String,
    pub value: String,
    pub source: &'static str,
    pub timestamp_ms: i64,
}

/// 2026-01-01T00:00:00Z; the events are 10 ms apart.
const FIRST_MS: i64 = 1_767_225_600_000;

impl Event {
    pub fn of(number: u32) -> Event {
        let mut dice = Dice(u64::from(number) ^ 0x5eed_0000_0000);
        let action = dice.one_of(&["view", "view", "view", "search", "cart", "checkout", "refund"]);
        let path = dice.one_of(&["/", "/products", "/products/new", "/cart", "/account", "/help/shipping"]);
        let user = dice.below(5_000);
        let item = dice.below(20_000);
        let cents = 99 + dice.below(50_000);
        let took_ms = 1 + dice.below(400);
        let session = dice.next();
        let timestamp_ms = FIRST_MS + i64::from(number) * 10;
        Event {
            key: format!("user-{user}"),
            value: format!(
                "{{\"event\":{number},\"time\":{timestamp_ms},\"user\":\"user-{user}\",\"session\":\"{session:016x}\",\
                 \"action\":\"{action}\",\"path\":\"{path}\",\"item\":{item},\"cents\":{cents},\"took_ms\":{took_ms}}}"
            ),
            source: dice.one_of(&["web", "app", "shop"]),
            timestamp_ms,
        }
    }

    /// Whether a record is this event.
    pub fn is(&self, record: &RecordRef<'_>) -> bool {
        let mut headers = record.headers();
        let header = headers.next();
        record.key == Some(self.key.as_bytes())
            && record.value == Some(self.value.as_bytes())
            && record.timestamp == self.timestamp_ms
            && header.is_some_and(|header| header.key == b"source" && header.value == Some(self.source.as_bytes()))
            && headers.next().is_none()
    }
}

/// SplitMix64: the same number, the same event, on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of(&mut self, all: &[&'static str]) -> &'static str {
        let at = self.next() % all.len() as u64;
        all[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use stratalog_protocol::records::{Batch, BatchBuilder, NewRecord};

    use super::*;

    #[test]
    fn an_event_is_known_again_and_only_itself() {
        let event = Event::of(7);
        let headers: [(&str, Option<&[u8]>); 1] = [("source", Some(event.source.as_bytes()))];
        let mut builder = BatchBuilder::new(0);
        let record = NewRecord {
            timestamp: event.timestamp_ms,
            key: Some(event.key.as_bytes()),
            value: Some(event.value.as_bytes()),
            headers: &headers,
        };
        builder.append(&record).expect("fits");
        let bytes = builder.build().expect("batch");
        let records = Batch::at_start(&bytes).expect("whole").records(1 << 20).expect("plain");
        let record = records.iter().next().expect("one").expect("sound");
        assert!(event.is(&record));
        assert_eq!(Event::of(7), event);
        assert!(!Event::of(8).is(&record));
        assert!(!Event { source: "other", ..event.clone() }.is(&record));
        assert!(!Event { timestamp_ms: 0, ..event }.is(&record));
    }
}
