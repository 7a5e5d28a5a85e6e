//! Where a reset leads to: pure decisions over what the broker told, and the forms in which people write them.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;

use crate::cli::CliError;
use crate::net::client::Error;

/// A topic, or some of its partitions: `orders`, `orders:0,1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicChoice {
    pub topic: String,
    /// Empty: all.
    pub partitions: Vec<i32>,
}

impl FromStr for TopicChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<TopicChoice, String> {
        let form = || "write TOPIC or TOPIC:0,1".to_owned();
        let (topic, partitions) = match text.split_once(':') {
            Some((topic, numbers)) => {
                let number = |number: &str| number.trim().parse().ok().filter(|number: &i32| *number >= 0);
                let numbers: Option<Vec<i32>> = numbers.split(',').map(number).collect();
                (topic, numbers.ok_or_else(form)?)
            }
            None => (text, Vec::new()),
        };
        if topic.is_empty() { Err(form()) } else { Ok(TopicChoice { topic: topic.to_owned(), partitions }) }
    }
}

impl TopicChoice {
    /// The partitions that are chosen among those that there are.
    pub fn among(&self, known: &[i32]) -> Result<Vec<i32>, CliError> {
        if known.is_empty() {
            return Err(Error::UnknownTopic { topic: self.topic.clone() }.into());
        }
        if let Some(missing) = self.partitions.iter().find(|asked| !known.contains(asked)) {
            return Err(Error::UnknownPartition { topic: self.topic.clone(), partition: *missing }.into());
        }
        let mut chosen = if self.partitions.is_empty() { known.to_vec() } else { self.partitions.clone() };
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Earliest,
    Latest,
    Offset(i64),
    /// From what is committed.
    Shift(i64),
    /// The first record at or after this time, in epoch milliseconds; the end where there is none.
    Time(i64),
    /// What is committed; the end where nothing is.
    Current,
}

/// A partition as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub start: i64,
    pub end: i64,
    pub committed: Option<i64>,
    /// What the broker found for the time of [`Target::Time`].
    pub at_time: Option<i64>,
}

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    /// What is committed now.
    pub before: Option<i64>,
    pub after: i64,
}

/// The offset that `target` means, before it is brought into the log; `None` to shift from nothing.
pub fn aim(target: Target, standing: Standing) -> Option<i64> {
    Some(match target {
        Target::Earliest => standing.start,
        Target::Latest => standing.end,
        Target::Offset(offset) => offset,
        Target::Shift(by) => standing.committed?.saturating_add(by),
        Target::Time(_) => standing.at_time.filter(|offset| *offset >= 0).unwrap_or(standing.end),
        Target::Current => standing.committed.unwrap_or(standing.end),
    })
}

/// What lies outside of the log is brought to its nearer end, as Kafka's tool does.
pub fn within(offset: i64, standing: Standing) -> i64 {
    offset.clamp(standing.start, standing.end.max(standing.start))
}

/// Offsets by group, topic and partition.
pub type FileOffsets = BTreeMap<(String, String, i32), i64>;

/// Kafka's CSV: `topic,partition,offset` for one group, `group,topic,partition,offset` for any number.
pub fn parse_csv(text: &str, groups: &[String]) -> Result<FileOffsets, String> {
    let mut offsets = FileOffsets::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |problem: &str| format!("line {}: {problem}: {line}", at + 1);
        let fields = csv_fields(line).ok_or_else(|| wrong("a quotation mark is not closed"))?;
        let (group, rest) = match (fields.as_slice(), groups) {
            ([group, rest @ ..], _) if rest.len() == 3 => (group, rest),
            (rest, [group]) if rest.len() == 3 => (group, rest),
            (rest, _) if rest.len() == 3 => {
                return Err(wrong("with several groups write group,topic,partition,offset"));
            }
            _ => return Err(wrong("write topic,partition,offset or group,topic,partition,offset")),
        };
        let [topic, partition, offset] = rest else { return Err(wrong("write topic,partition,offset")) };
        if !groups.contains(group) {
            return Err(wrong(&format!("group {group} was not named")));
        }
        let partition = partition.parse().ok().filter(|number: &i32| *number >= 0);
        let offset = offset.parse().ok().filter(|number: &i64| *number >= 0);
        let (Some(partition), Some(offset)) = (partition, offset) else {
            return Err(wrong("partition and offset are numbers from 0 on"));
        };
        if offsets.insert((group.clone(), topic.clone(), partition), offset).is_some() {
            return Err(wrong("the partition has a line already"));
        }
    }
    if offsets.is_empty() { Err("no offset is in it".to_owned()) } else { Ok(offsets) }
}

/// The fields of a line; a field in quotation marks may hold commas, and marks that are doubled.
fn csv_fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    for field in &mut fields {
        *field = field.trim().to_owned();
    }
    (!quoted).then_some(fields)
}

/// The lines that [`parse_csv`] and Kafka's tool read back.
pub fn write_csv(planned: &[Planned], several_groups: bool) -> Vec<String> {
    let quoted = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    let line = |planned: &Planned| {
        let group = if several_groups { format!("{},", quoted(&planned.group)) } else { String::new() };
        format!("{group}{},{},{}", quoted(&planned.topic), planned.partition, planned.after)
    };
    planned.iter().map(line).collect()
}
