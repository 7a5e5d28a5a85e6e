//! Many groups of one member each, who do nothing but heartbeat, over few connections.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::broker::Broker;
use super::client::{Client, good};
use super::members::{classic, consumer};
use crate::Outcome;
use crate::arguments::Arguments;

const CONNECTIONS: usize = 32;

struct Member {
    group: String,
    member_id: String,
    epoch: i32,
}

pub async fn idle(arguments: &Arguments) -> Outcome<String> {
    let bootstrap = arguments.text("bootstrap")?;
    let (name, topic) = (arguments.text("group")?, arguments.text("topic")?);
    let groups: usize = arguments.number("groups")?;
    let is_classic = arguments.text("protocol")? == "classic";
    let interval = Duration::from_millis(arguments.number("heartbeat_ms")?);
    let limit = Duration::from_secs(arguments.number("seconds")?);
    let mut joining = JoinSet::new();
    for lane in 0..CONNECTIONS {
        let groups = (lane..groups).step_by(CONNECTIONS).map(|group| format!("{name}-{group}")).collect::<Vec<_>>();
        let (client, topic) = (Client::open(bootstrap).await?, topic.to_owned());
        joining.spawn_local(join_all(client, groups, topic, is_classic));
    }
    let mut lanes = Vec::new();
    while let Some(lane) = joining.join_next().await {
        lanes.push(lane??);
    }
    let broker = Broker::watch(arguments)?;
    let (began, mut beating) = (Instant::now(), JoinSet::new());
    for (client, members) in lanes {
        beating.spawn_local(beat_all(client, members, began, interval, limit, is_classic));
    }
    let (mut heartbeats, mut lanes) = (0_u64, Vec::new());
    while let Some(lane) = beating.join_next().await {
        let (count, client, members) = lane??;
        heartbeats += count;
        lanes.push((client, members));
    }
    let seconds = began.elapsed().as_secs_f64();
    let cost = broker.report()?;
    for (mut client, members) in lanes {
        for member in members {
            if is_classic {
                classic::leave(&mut client, &member.group, &[&member.member_id]).await?;
            } else {
                consumer::leave(&mut client, &member.group, &member.member_id).await?;
            }
        }
    }
    Ok(format!(r#"{{"heartbeats":{heartbeats},"seconds":{seconds:.2},{cost}}}"#))
}

async fn join_all(
    mut client: Client,
    groups: Vec<String>,
    topic: String,
    is_classic: bool,
) -> Outcome<(Client, Vec<Member>)> {
    let mut members = Vec::new();
    for group in groups {
        let mut member_id = String::new();
        let epoch = if is_classic {
            let joined = classic::join(&mut client, &group, &topic, &mut member_id).await?;
            classic::sync_with(&mut client, &group, &joined, Vec::new()).await?;
            joined.generation_id
        } else {
            member_id = Uuid::new_v4().to_string();
            let joined = client.ask(&consumer::joining(&group, &member_id, &topic), 1).await?;
            good("joining", joined.error_code)?;
            joined.member_epoch
        };
        members.push(Member { group, member_id, epoch });
    }
    Ok((client, members))
}

/// In turn, evenly over the interval.
async fn beat_all(
    mut client: Client,
    mut members: Vec<Member>,
    began: Instant,
    interval: Duration,
    limit: Duration,
    is_classic: bool,
) -> Outcome<(u64, Client, Vec<Member>)> {
    let mut count = 0_u64;
    let between = interval / members.len().max(1) as u32;
    let mut next = began;
    while next < began + limit && !members.is_empty() {
        for member in &mut members {
            sleep_until(next).await;
            beat(&mut client, member, is_classic).await?;
            count += 1;
            next += between;
        }
    }
    Ok((count, client, members))
}

async fn beat(client: &mut Client, member: &mut Member, is_classic: bool) -> Outcome<()> {
    if is_classic {
        let code = classic::heartbeat(client, &member.group, &member.member_id, member.epoch).await?;
        return good("Heartbeat", code);
    }
    let request = consumer::quiet(&member.group, &member.member_id, member.epoch, None);
    let response = client.ask(&request, 1).await?;
    good("ConsumerGroupHeartbeat", response.error_code)?;
    member.epoch = response.member_epoch;
    Ok(())
}
