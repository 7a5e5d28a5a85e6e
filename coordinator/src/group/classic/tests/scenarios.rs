//! What each request does in each state, as Apache Kafka 4.3.1 has it.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::SyncGroupResponse;

use super::shard::{REBALANCE_MS, SESSION_MS, Shard, join_request, subscription, sync_request};
use crate::group::classic::{ExpireFrom, State};
use crate::machine::Ticket;

const RANGE: &[(&str, &[u8])] = &[("range", b"x")];

/// A group of dynamic members, stable in generation 1; the first leads. Members' ids in the order of joining.
fn stable(shard: &mut Shard, members: usize) -> Vec<String> {
    shard.config.initial_rebalance_delay_ms = 0;
    let mut ids = Vec::new();
    for _ in 0..members {
        let ticket = shard.join(9, &join_request("", None, RANGE));
        assert_eq!(shard.joined(ticket).error_code, ErrorCode::MEMBER_ID_REQUIRED);
        ids.push(shard.joined(ticket).member_id.clone());
    }
    let tickets: Vec<Ticket> = ids.iter().map(|id| shard.join(9, &join_request(id, None, RANGE))).collect();
    shard.advance(0);
    let generation = shard.joined(tickets[0]).generation_id;
    assert!(tickets.iter().all(|ticket| shard.joined(*ticket).generation_id == generation));
    assert_eq!(shard.joined(tickets[0]).leader, ids[0]);
    assert_eq!(shard.joined(tickets[0]).members.len(), members);
    let shares: Vec<(&str, &[u8])> = ids.iter().map(|id| (id.as_str(), id.as_bytes())).collect();
    let waiting: Vec<Ticket> = ids[1..].iter().map(|id| shard.sync(&sync_request(id, None, generation, &[]))).collect();
    assert!(waiting.iter().all(|ticket| shard.waits(*ticket)));
    let led = shard.sync(&sync_request(&ids[0], None, generation, &shares));
    assert_eq!(shard.synced(led).assignment, ids[0].as_bytes());
    for (ticket, id) in waiting.iter().zip(&ids[1..]) {
        assert_eq!(shard.synced(*ticket).assignment, id.as_bytes());
    }
    assert_eq!(shard.state(), State::Stable);
    ids
}

/// A group of one static member, stable.
fn stable_static(shard: &mut Shard) -> String {
    shard.config.initial_rebalance_delay_ms = 0;
    let ticket = shard.join(9, &join_request("", Some("i"), RANGE));
    shard.advance(0);
    let id = shard.joined(ticket).member_id.clone();
    assert!(id.starts_with("i-"));
    let ticket = shard.sync(&sync_request(&id, Some("i"), 1, &[(&id, b"all")]));
    assert_eq!(shard.synced(ticket).assignment, &b"all"[..]);
    id
}

#[test]
fn what_is_checked_before_a_group_is_looked_up() {
    let mut shard = Shard::new();
    let mut request = join_request("", None, RANGE);
    request.session_timeout_ms = 5_999;
    let ticket = shard.join(9, &request);
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::INVALID_SESSION_TIMEOUT);
    request.session_timeout_ms = 1_800_001;
    let ticket = shard.join(9, &request);
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::INVALID_SESSION_TIMEOUT);
    request.group_id.clear();
    let ticket = shard.join(9, &request);
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::INVALID_GROUP_ID);
    let ticket = shard.join(9, &join_request("stranger", None, RANGE));
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert!(shard.group.is_none() && shard.log.is_empty());
}

#[test]
fn the_first_rebalance_waits_for_newcomers_until_the_rebalance_timeout() {
    let mut shard = Shard::new();
    let mut request = join_request("", None, RANGE);
    request.rebalance_timeout_ms = 7_000;
    let first = shard.join(3, &request);
    shard.advance(2_900);
    let second = shard.join(3, &request);
    // 3 s have passed, and somebody came: 3 s more, then the 1 s that is left of 7.
    shard.advance(3_000);
    assert!(shard.waits(first));
    let third = shard.join(3, &request);
    shard.advance(200);
    assert!(shard.waits(first));
    shard.advance(900);
    for ticket in [first, second, third] {
        assert_eq!(shard.joined(ticket).generation_id, 1);
    }
    assert_eq!(shard.joined(first).members.len(), 3);
    assert!(shard.joined(second).members.is_empty());
}

#[test]
fn a_new_group_is_in_the_log_before_its_first_answer() {
    let mut shard = Shard::new();
    shard.commits_at_once = false;
    let ticket = shard.join(9, &join_request("", None, RANGE));
    assert!(shard.waits(ticket));
    let value = shard.last_value().unwrap();
    assert_eq!((value.generation, value.protocol_type.as_str(), &value.protocol, &value.leader), (0, "", &None, &None));
    shard.commit(1);
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::MEMBER_ID_REQUIRED);

    let mut shard = Shard::new();
    shard.fail_next = true;
    let parked = shard.join(3, &join_request("", None, RANGE));
    assert_eq!(shard.joined(parked).error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert!(shard.group.is_none());
}

#[test]
fn strategies_and_type_must_be_shared() {
    let mut shard = Shard::new();
    let ticket = shard.join(9, &join_request("", None, &[]));
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    stable(&mut shard, 2);
    let ticket = shard.join(9, &join_request("", None, &[("sticky", b"")]));
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let mut request = join_request("", None, RANGE);
    request.protocol_type = "connect".into();
    let ticket = shard.join(9, &request);
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn most_votes_elect_the_strategy() {
    let mut shard = Shard::new();
    let votes: [&[(&str, &[u8])]; 3] =
        [&[("b", b"1"), ("a", b"2")], &[("c", b"3"), ("a", b"4"), ("b", b"5")], &[("b", b"6"), ("a", b"7")]];
    let tickets = votes.map(|vote| shard.join(3, &join_request("", None, vote)));
    shard.advance(30_000);
    assert_eq!(shard.joined(tickets[0]).protocol_name.as_deref(), Some("b"));
    let mut said: Vec<_> = shard.joined(tickets[0]).members.iter().map(|member| member.metadata.clone()).collect();
    said.sort();
    assert_eq!(said, [&b"1"[..], b"5", b"6"]);
}

#[test]
fn a_name_that_comes_twice_is_one_vote() {
    let mut shard = Shard::new();
    let ticket = shard.join(3, &join_request("", None, &[("a", b"1"), ("a", b"2")]));
    shard.advance(30_000);
    assert_eq!(shard.joined(ticket).protocol_name.as_deref(), Some("a"));
    assert_eq!(shard.joined(ticket).members[0].metadata, &b"1"[..]);
}

#[test]
fn heartbeats_in_each_state() {
    let mut shard = Shard::new();
    assert_eq!(shard.heartbeat("x", None, 1), ErrorCode::UNKNOWN_MEMBER_ID);
    let ids = stable(&mut shard, 2);
    assert_eq!(shard.heartbeat(&ids[0], None, 1), ErrorCode::NONE);
    assert_eq!(shard.heartbeat(&ids[0], None, 0), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(shard.heartbeat("x", None, 1), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(shard.heartbeat(&ids[0], Some("nobody"), 1), ErrorCode::UNKNOWN_MEMBER_ID);
    let leader = shard.join(9, &join_request(&ids[0], None, RANGE));
    assert_eq!(shard.heartbeat(&ids[1], None, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    let follower = shard.join(9, &join_request(&ids[1], None, RANGE));
    assert_eq!(shard.joined(leader).generation_id, 2);
    assert_eq!(shard.joined(follower).generation_id, 2);
    assert_eq!(shard.state(), State::CompletingRebalance);
    assert_eq!(shard.heartbeat(&ids[1], None, 2), ErrorCode::NONE);
}

#[test]
fn a_follower_that_says_the_same_again_costs_no_rebalance() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 2);
    let ticket = shard.join(9, &join_request(&ids[1], None, RANGE));
    let answer = shard.joined(ticket);
    assert_eq!((answer.error_code, answer.generation_id, answer.members.len()), (ErrorCode::NONE, 1, 0));
    assert_eq!(shard.state(), State::Stable);
    let ticket = shard.sync(&sync_request(&ids[1], None, 1, &[]));
    assert_eq!(shard.synced(ticket).assignment, ids[1].as_bytes());
    shard.join(9, &join_request(&ids[1], None, &[("range", b"other")]));
    assert_eq!(shard.state(), State::PreparingRebalance);
}

#[test]
fn who_does_not_rejoin_is_left_behind() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 3);
    let leader = shard.join(9, &join_request(&ids[1], None, &[("range", b"other")]));
    let other = shard.join(9, &join_request(&ids[2], None, RANGE));
    for _ in 0..REBALANCE_MS / 5_000 - 1 {
        shard.advance(5_000);
        assert_eq!(shard.heartbeat(&ids[0], None, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert!(shard.waits(leader) && shard.waits(other));
    shard.advance(5_000);
    assert_eq!(shard.joined(leader).leader, shard.joined(other).leader);
    assert!(ids[1..].contains(&shard.joined(leader).leader));
    assert_eq!(shard.heartbeat(&ids[0], None, 1), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_silent_member_goes_and_one_that_waits_does_not() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 2);
    let mut request = join_request(&ids[0], None, &[("range", b"other")]);
    request.rebalance_timeout_ms = 100_000;
    let waiting = shard.join(9, &request);
    for _ in 0..4 {
        shard.advance(i64::from(SESSION_MS) - 1_000);
        assert_eq!(shard.heartbeat(&ids[1], None, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert!(shard.waits(waiting));
    shard.advance(i64::from(SESSION_MS));
    assert_eq!(shard.joined(waiting).generation_id, 2);
    shard.advance(i64::from(SESSION_MS));
    assert_eq!(shard.state(), State::Empty);
    let value = shard.last_value().unwrap();
    assert_eq!((value.generation, value.members.len(), &value.protocol), (3, 0, &None));
    assert_eq!(shard.group().offsets_expire(), ExpireFrom::Empty { since_ms: value_time(&shard) });
}

fn value_time(shard: &Shard) -> i64 {
    shard.last_value().unwrap().current_state_timestamp
}

#[test]
fn a_new_member_waits_five_minutes_at_most() {
    let mut shard = Shard::new();
    shard.config.initial_rebalance_delay_ms = 400_000;
    let mut request = join_request("", None, RANGE);
    request.rebalance_timeout_ms = 400_000;
    let ticket = shard.join(3, &request);
    shard.advance(299_999);
    assert!(shard.waits(ticket));
    shard.advance(1);
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(shard.state(), State::Empty);
}

#[test]
fn a_member_that_only_took_its_id_holds_a_rebalance_up_for_its_session() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 1);
    shard.join(9, &join_request("", None, RANGE));
    let ticket = shard.join(9, &join_request(&ids[0], None, RANGE));
    assert!(shard.waits(ticket));
    shard.advance(i64::from(SESSION_MS));
    assert_eq!(shard.joined(ticket).generation_id, 2);
}

#[test]
fn who_joins_and_never_syncs_goes() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 2);
    let tickets =
        [shard.join(9, &join_request(&ids[0], None, RANGE)), shard.join(9, &join_request(&ids[1], None, RANGE))];
    assert!(tickets.iter().all(|ticket| shard.joined(*ticket).generation_id == 2));
    let waiting = shard.sync(&sync_request(&ids[1], None, 2, &[]));
    for _ in 0..REBALANCE_MS / 5_000 {
        assert!(shard.waits(waiting));
        assert_eq!(shard.heartbeat(&ids[0], None, 2), ErrorCode::NONE);
        shard.advance(5_000);
    }
    assert_eq!(shard.synced(waiting).error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(shard.heartbeat(&ids[0], None, 2), ErrorCode::UNKNOWN_MEMBER_ID);
    let ticket = shard.join(9, &join_request(&ids[1], None, RANGE));
    assert_eq!((shard.joined(ticket).generation_id, &shard.joined(ticket).leader), (3, &ids[1]));
}

#[test]
fn syncs_are_checked() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 1);
    let refused = |shard: &mut Shard, change: &dyn Fn(&mut stratalog_protocol::messages::SyncGroupRequest)| {
        let mut request = sync_request(&ids[0], None, 1, &[]);
        change(&mut request);
        let ticket = shard.sync(&request);
        shard.synced(ticket).error_code
    };
    assert_eq!(refused(&mut shard, &|_| {}), ErrorCode::NONE);
    assert_eq!(refused(&mut shard, &|request| request.generation_id = 2), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(refused(&mut shard, &|request| request.member_id = "x".into()), ErrorCode::UNKNOWN_MEMBER_ID);
    let inconsistent = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
    assert_eq!(refused(&mut shard, &|request| request.protocol_type = Some("x".into())), inconsistent);
    assert_eq!(refused(&mut shard, &|request| request.protocol_name = Some("x".into())), inconsistent);
    assert_eq!(refused(&mut shard, &|request| request.protocol_name = Some("range".into())), ErrorCode::NONE);
    shard.leave(5, &[(&ids[0], None)]);
    assert_eq!(shard.state(), State::Empty);
    assert_eq!(refused(&mut shard, &|_| {}), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn an_assignment_is_shown_when_it_is_committed_also_to_who_asks_again() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 2);
    shard.commits_at_once = false;
    for id in &ids {
        shard.join(9, &join_request(id, None, RANGE));
    }
    let led = shard.sync(&sync_request(&ids[0], None, 2, &[(&ids[1], b"mine")]));
    let late = shard.sync(&sync_request(&ids[1], None, 2, &[]));
    assert!(shard.waits(led) && shard.waits(late));
    shard.commit(usize::MAX);
    assert_eq!(shard.synced(late).assignment, &b"mine"[..]);
    // The leader left itself out.
    assert_eq!(
        *shard.synced(led),
        SyncGroupResponse {
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            ..SyncGroupResponse::default()
        }
    );
}

#[test]
fn an_assignment_that_cannot_be_stored_is_worked_out_again() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 2);
    for id in &ids {
        shard.join(9, &join_request(id, None, RANGE));
    }
    shard.fail_next = true;
    let follower = shard.sync(&sync_request(&ids[1], None, 2, &[]));
    let leader = shard.sync(&sync_request(&ids[0], None, 2, &[]));
    assert_eq!(shard.synced(leader).error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(shard.synced(follower).error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(shard.state(), State::PreparingRebalance);
    let tickets = ids.iter().map(|id| shard.join(9, &join_request(id, None, RANGE))).collect::<Vec<_>>();
    assert!(tickets.iter().all(|ticket| shard.joined(*ticket).generation_id == 3));
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    for version in [5, 9] {
        let mut shard = Shard::new();
        let old = stable_static(&mut shard);
        let ticket = shard.join(version, &join_request("", Some("i"), RANGE));
        let answer = shard.joined(ticket).clone();
        assert_eq!((answer.error_code, answer.generation_id), (ErrorCode::NONE, 1));
        assert_ne!(answer.member_id, old);
        assert_eq!(answer.skip_assignment, version == 9);
        assert_eq!(answer.leader, if version == 9 { answer.member_id.clone() } else { old.clone() });
        assert_eq!(answer.members.len(), usize::from(version == 9));
        assert_eq!(shard.state(), State::Stable);
        assert_eq!(shard.heartbeat(&old, Some("i"), 1), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(shard.group().check_commit(&old, Some("i"), 1, false), Err(ErrorCode::FENCED_INSTANCE_ID));
        let ticket = shard.sync(&sync_request(&old, Some("i"), 1, &[]));
        assert_eq!(shard.synced(ticket).error_code, ErrorCode::FENCED_INSTANCE_ID);
        let ticket = shard.join(9, &join_request(&old, Some("i"), RANGE));
        assert_eq!(shard.joined(ticket).error_code, ErrorCode::FENCED_INSTANCE_ID);
        let ticket = shard.sync(&sync_request(&answer.member_id, Some("i"), 1, &[]));
        assert_eq!(shard.synced(ticket).assignment, &b"all"[..]);
        assert_eq!(shard.last_value().unwrap().members[0].member_id, answer.member_id);
    }
}

#[test]
fn a_static_member_that_waits_is_fenced_by_its_next_life() {
    let mut shard = Shard::new();
    let old = stable_static(&mut shard);
    shard.join(9, &join_request("", None, RANGE));
    let waiting = shard.join(9, &join_request(&old, Some("i"), RANGE));
    assert!(shard.waits(waiting));
    let next = shard.join(9, &join_request("", Some("i"), RANGE));
    assert_eq!(shard.joined(waiting).error_code, ErrorCode::FENCED_INSTANCE_ID);
    assert!(shard.waits(next));
}

#[test]
fn a_replacement_that_cannot_be_stored_did_not_happen() {
    let mut shard = Shard::new();
    let old = stable_static(&mut shard);
    shard.fail_next = true;
    let ticket = shard.join(9, &join_request("", Some("i"), RANGE));
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(shard.heartbeat(&old, Some("i"), 1), ErrorCode::NONE);
    assert_eq!(shard.group().leader(), Some(old.as_str()));
    let ticket = shard.sync(&sync_request(&old, Some("i"), 1, &[]));
    assert_eq!(shard.synced(ticket).assignment, &b"all"[..]);
}

#[test]
fn leaving_by_id_by_instance_and_in_old_versions() {
    let mut shard = Shard::new();
    let ticket = shard.leave(5, &[("x", None)]);
    assert_eq!(shard.left(ticket), [ErrorCode::UNKNOWN_MEMBER_ID]);
    let ticket = shard.leave(2, &[("x", None)]);
    assert_eq!(shard.left(ticket), [ErrorCode::UNKNOWN_MEMBER_ID]);
    let ids = stable(&mut shard, 2);
    let pending = shard.join(9, &join_request("", None, RANGE));
    let pending = shard.joined(pending).member_id.clone();
    let ticket = shard.leave(5, &[("x", None), ("", Some("nobody")), ("", None), (&pending, None), (&ids[0], None)]);
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(shard.left(ticket), [unknown, unknown, unknown, ErrorCode::NONE, ErrorCode::NONE]);
    assert_eq!(shard.state(), State::PreparingRebalance);
    let ticket = shard.leave(2, &[(&ids[1], None)]);
    assert_eq!(shard.left(ticket), [ErrorCode::NONE; 0]);
    assert_eq!(shard.state(), State::Empty);

    let mut shard = Shard::new();
    let id = stable_static(&mut shard);
    let ticket = shard.leave(5, &[(&id, Some("i")), (&id, Some("i"))]);
    assert_eq!(shard.left(ticket), [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID]);
    let mut shard = Shard::new();
    stable_static(&mut shard);
    let ticket = shard.leave(5, &[("wrong", Some("i")), ("", Some("i"))]);
    assert_eq!(shard.left(ticket), [ErrorCode::FENCED_INSTANCE_ID, ErrorCode::NONE]);
}

#[test]
fn a_group_has_a_size_limit() {
    let mut shard = Shard::new();
    shard.config.max_size = 2;
    let ids = stable(&mut shard, 2);
    let ticket = shard.join(9, &join_request("", None, RANGE));
    assert_eq!(shard.joined(ticket).error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    // Lowered meanwhile, and loaded again: whoever rejoins last has to go.
    shard.config.max_size = 1;
    shard.restart(shard.log.len());
    assert_eq!(shard.state(), State::PreparingRebalance);
    let first = shard.join(9, &join_request(&ids[1], None, RANGE));
    let last = shard.join(9, &join_request(&ids[0], None, RANGE));
    assert_eq!(shard.joined(last).error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!((shard.joined(first).generation_id, shard.joined(first).members.len()), (2, 1));
}

#[test]
fn commits_are_checked() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 1);
    let id = ids[0].clone();
    let check = |shard: &mut Shard, id: &str, generation, transactional| {
        shard.group().check_commit(id, None, generation, transactional)
    };
    assert_eq!(check(&mut shard, &id, 1, false), Ok(()));
    assert_eq!(check(&mut shard, &id, 0, false), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(check(&mut shard, "x", 1, false), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(check(&mut shard, "", -1, false), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(check(&mut shard, "", -1, true), Ok(()));
    shard.join(9, &join_request(&id, None, RANGE));
    assert_eq!(shard.state(), State::CompletingRebalance);
    assert_eq!(check(&mut shard, &id, 2, false), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    assert_eq!(check(&mut shard, &id, 2, true), Ok(()));
    shard.leave(5, &[(&id, None)]);
    assert_eq!(check(&mut shard, "", -1, false), Ok(()));
    assert_eq!(check(&mut shard, &id, 3, false), Err(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn a_commit_keeps_a_session_alive() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 1);
    shard.advance(i64::from(SESSION_MS) - 1);
    let now_ms = shard.now_ms;
    shard.group().committed(&ids[0], now_ms);
    shard.advance(i64::from(SESSION_MS) - 1);
    assert_eq!(shard.state(), State::Stable);
    shard.advance(1);
    assert_eq!(shard.state(), State::Empty);
}

#[test]
fn a_loaded_group_goes_on_and_sessions_begin_anew() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 2);
    shard.advance(i64::from(SESSION_MS) - 1);
    shard.restart(shard.log.len());
    shard.advance(i64::from(SESSION_MS) - 1);
    assert_eq!(shard.heartbeat(&ids[0], None, 1), ErrorCode::NONE);
    let ticket = shard.sync(&sync_request(&ids[1], None, 1, &[]));
    assert_eq!(shard.synced(ticket).assignment, ids[1].as_bytes());
    shard.advance(1);
    assert_eq!(shard.state(), State::PreparingRebalance);
    let described = shard.group().described();
    assert_eq!((described.group_state.as_str(), described.members.len()), ("PreparingRebalance", 1));
    assert_eq!(described.protocol_data, "");
}

#[test]
fn subscriptions_are_known_of_consumers() {
    let mut shard = Shard::new();
    let said = [subscription(&["a", "b"]), subscription(&["c"])];
    let tickets = [0, 1].map(|which: usize| shard.join(3, &join_request("", None, &[("range", &said[which])])));
    shard.advance(6_000);
    let leader = shard.joined(tickets[0]).member_id.clone();
    shard.sync(&sync_request(&leader, None, 1, &[]));
    let group = shard.group();
    assert!(["a", "b", "c"].iter().all(|topic| group.is_subscribed_to(topic)) && !group.is_subscribed_to("d"));
    assert_eq!(group.offsets_expire(), ExpireFrom::Commit);
    let described = group.described();
    assert_eq!((described.protocol_type.as_str(), described.protocol_data.as_str()), ("consumer", "range"));
    assert!(described.members.iter().any(|member| member.member_metadata == said[1]));
    // Nobody can read this: all topics count as subscribed.
    let mut shard = Shard::new();
    stable(&mut shard, 1);
    assert!(shard.group().is_subscribed_to("d"));
    assert_eq!(shard.group().offsets_expire(), ExpireFrom::Never);
}

/// 500 members, a rebalance: each input is small, and no member is answered twice.
#[test]
fn five_hundred_members_rebalance() {
    let mut shard = Shard::new();
    let ids = stable(&mut shard, 500);
    let tickets: Vec<Ticket> = ids.iter().map(|id| shard.join(9, &join_request(id, None, RANGE))).collect();
    assert!(tickets.iter().all(|ticket| shard.joined(*ticket).generation_id == 2));
    assert_eq!(shard.joined(tickets[0]).members.len(), 500);
}
