//! Many committed offsets, and how soon a broker that starts answers for them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::OffsetFetchRequest;
use stratalog_protocol::messages::offset_fetch::OffsetFetchRequestGroup;

use super::client::{Client, good};
use super::commits::{commit, committed};
use crate::Outcome;
use crate::arguments::Arguments;

const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Between two questions to a broker that is not there yet.
const AGAIN: Duration = Duration::from_millis(2);
/// Over so many groups all partitions of the offsets topic are asked: one is left out once in 10^7 runs.
const GROUPS_ASKED: usize = 1000;

pub async fn fill_offsets(arguments: &Arguments) -> Outcome<String> {
    let mut client = Client::open(arguments.text("bootstrap")?).await?;
    let groups: usize = arguments.number("groups")?;
    let partitions = arguments.number("partitions")?;
    for group in 0..groups {
        committed(&mut client, &commit(&format!("filled-{group}"), arguments.text("topic")?, partitions)).await?;
    }
    Ok("{}".to_owned())
}

/// Asks from now on until a group's offsets come, then until those of many groups have come; `since_ns` is when the
/// broker's process was started, in nanoseconds since 1970.
pub async fn first_offset(arguments: &Arguments) -> Outcome<String> {
    let bootstrap = arguments.text("bootstrap")?;
    let partitions: usize = arguments.number("partitions")?;
    let groups: usize = arguments.number("groups")?;
    let since = Duration::from_nanos(arguments.number("since_ns")?);
    let deadline = Instant::now() + ANSWER_MAX;
    let mut client = None;
    let mut first = None;
    for group in 0..groups.min(GROUPS_ASKED) {
        let group = format!("filled-{group}");
        while !offsets_are_there(&mut client, bootstrap, &group, partitions).await? {
            if Instant::now() > deadline {
                return Err(format!("no offsets of {group} after {} s", ANSWER_MAX.as_secs()).into());
            }
            tokio::time::sleep(AGAIN).await;
        }
        if first.is_none() {
            first = Some(elapsed_ms(since)?);
        }
    }
    let (first, all) = (first.ok_or("no group to ask for")?, elapsed_ms(since)?);
    Ok(format!(r#"{{"first_ms":{first:.1},"all_ms":{all:.1}}}"#))
}

fn elapsed_ms(since: Duration) -> Outcome<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.saturating_sub(since).as_secs_f64() * 1000.0)
}

async fn offsets_are_there(
    client: &mut Option<Client>,
    bootstrap: &str,
    group: &str,
    partitions: usize,
) -> Outcome<bool> {
    let Some(open) = client else {
        *client = Client::open(bootstrap).await.ok();
        return Ok(false);
    };
    let asked =
        OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..OffsetFetchRequestGroup::default() };
    let request = OffsetFetchRequest { groups: vec![asked], ..OffsetFetchRequest::default() };
    let Ok(response) = open.ask(&request, 8).await else {
        *client = None;
        return Ok(false);
    };
    let answer = response.groups.into_iter().next().ok_or("no group in the answer")?;
    match answer.error_code {
        ErrorCode::NONE => {}
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
            return Ok(false);
        }
        code => return good("OffsetFetch", code).map(|()| false),
    }
    let offsets = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let there = offsets.filter(|partition| partition.committed_offset == 1).count();
    if there == partitions {
        Ok(true)
    } else {
        Err(format!("{group} has {there} committed offsets of {partitions}").into())
    }
}
