//! What a member may count on, one at a time, as Apache Kafka 4.3.1 does it.

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::ConsumerGroupHeartbeatRequest;
use stratalog_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use stratalog_protocol::messages::leave_group::MemberIdentity;
use stratalog_types::TopicId;

use super::model::{classic_join_of, read_assignment_of};
use super::world::{GROUP, REBALANCE_MS, World, beating, compacted, joining, owning, replayed};
use crate::group::classic::{ClassicGroup, Member as ClassicMember, Strategy};
use crate::group::consumer::{GroupState, MemberState, classic_member, migration};
use crate::machine::{GroupOverrides, MigrationPolicy, View};
use crate::records::Record;

fn world(topics: &[(&str, i32)]) -> World {
    let mut world = World::new();
    world.config.consumer_assignment_interval_ms = 0;
    for (name, partitions) in topics {
        world.topics.set(name, *partitions);
    }
    world
}

fn partitions(world: &World, topic: &str, partitions: &[i32]) -> Vec<TopicPartitions> {
    vec![TopicPartitions { topic_id: world.topics.id(topic), partitions: partitions.to_vec() }]
}

#[test]
fn the_first_member_gets_everything_with_its_join() {
    let mut world = world(&[("t", 3)]);
    let joined = world.heartbeat(&joining("a", &["t"]));
    assert_eq!((joined.error_code, joined.member_epoch), (ErrorCode::NONE, 2));
    assert_eq!(joined.heartbeat_interval_ms, 5_000);
    assert_eq!(joined.assignment.expect("an assignment").topic_partitions, partitions(&world, "t", &[0, 1, 2]));
    assert_eq!(world.the_group().state(), GroupState::Stable);
    // Nothing new: no assignment, no records.
    let records = world.log.len();
    let beat = world.heartbeat(&beating("a", 2));
    assert_eq!((beat.error_code, beat.member_epoch, beat.assignment), (ErrorCode::NONE, 2, None));
    assert_eq!(world.log.len(), records);
}

#[test]
fn a_second_member_gets_its_part_when_the_first_gave_it_up() {
    let mut world = world(&[("t", 4)]);
    world.heartbeat(&joining("a", &["t"]));
    let joined = world.heartbeat(&joining("b", &["t"]));
    // It is in the epoch of the target, and what it should have is still with the other.
    assert_eq!((joined.member_epoch, joined.assignment.expect("empty").topic_partitions.len()), (3, 0));
    let told = world.heartbeat(&beating("a", 2));
    assert_eq!(told.member_epoch, 2, "until it gave up what it has to");
    assert_eq!(told.assignment.expect("less").topic_partitions, partitions(&world, "t", &[0, 1]));
    assert_eq!(world.heartbeat(&beating("b", 3)).assignment, None);
    // A heartbeat that does not say what it has acknowledges nothing.
    assert_eq!(world.heartbeat(&beating("a", 2)).member_epoch, 2);
    let done = world.heartbeat(&owning("a", 2, partitions(&world, "t", &[0, 1])));
    assert_eq!(done.member_epoch, 3);
    let got = world.heartbeat(&beating("b", 3));
    assert_eq!(got.assignment.expect("its part").topic_partitions, partitions(&world, "t", &[2, 3]));
    assert_eq!(world.the_group().state(), GroupState::Stable);
}

#[test]
fn a_member_that_does_not_give_up_partitions_is_fenced() {
    let mut world = world(&[("t", 2)]);
    world.heartbeat(&joining("a", &["t"]));
    world.heartbeat(&joining("b", &["t"]));
    let owned = partitions(&world, "t", &[0, 1]);
    for _ in 0..3 {
        world.pass(9_000);
        assert_eq!(world.heartbeat(&owning("a", 2, owned.clone())).member_epoch, 2);
        world.heartbeat(&beating("b", 3));
    }
    world.pass(i64::from(REBALANCE_MS) - 27_000 + 9_000);
    assert_eq!(world.heartbeat(&owning("a", 2, owned)).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    let b = world.the_group().member("b").expect("b").member_epoch;
    assert_eq!(world.heartbeat(&beating("b", b)).error_code, ErrorCode::NONE);
    assert!(world.the_group().member("a").is_none());
}

#[test]
fn a_silent_member_is_fenced_when_its_session_ends() {
    let mut world = world(&[("t", 2)]);
    let own = GroupOverrides { session_timeout_ms: Some(50_000), ..GroupOverrides::default() };
    world.config.overrides.insert(GROUP.to_owned(), own);
    world.heartbeat(&joining("a", &["t"]));
    world.pass(49_999);
    assert!(world.the_group().member("a").is_some());
    world.pass(1);
    assert!(world.the_group().is_empty());
    assert_eq!(world.the_group().state(), GroupState::Empty);
    assert_eq!(world.the_group().epoch(), 3);
    assert_eq!(world.heartbeat(&beating("a", 2)).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn epochs_that_are_not_the_members_are_fenced() {
    let mut world = world(&[("t", 4)]);
    world.heartbeat(&joining("a", &["t"]));
    assert_eq!(world.heartbeat(&beating("a", 3)).error_code, ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(world.heartbeat(&beating("a", 1)).error_code, ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(world.heartbeat(&beating("x", 1)).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    // The answer with the new epoch was lost: the one before counts, as long as it claims nothing more.
    world.heartbeat(&joining("b", &["t"]));
    world.heartbeat(&beating("a", 2));
    let kept = partitions(&world, "t", &[0, 1]);
    assert_eq!(world.heartbeat(&owning("a", 2, kept.clone())).member_epoch, 3);
    assert_eq!(world.heartbeat(&owning("a", 2, kept)).member_epoch, 3);
    let more = partitions(&world, "t", &[0, 3]);
    assert_eq!(world.heartbeat(&owning("a", 2, more)).error_code, ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(world.heartbeat(&beating("a", 2)).error_code, ErrorCode::FENCED_MEMBER_EPOCH);
}

#[test]
fn requests_are_checked_in_kafkas_order() {
    let mut world = world(&[]);
    let mut check = |change: &dyn Fn(&mut ConsumerGroupHeartbeatRequest), version: i16| {
        let mut request = joining("a", &["t"]);
        change(&mut request);
        let ticket = world.send_version(&request, version);
        world.settle();
        let response = world.taken(ticket).expect("an answer");
        (response.error_code, response.error_message.unwrap_or_default())
    };
    let invalid = |message: &str| (ErrorCode::INVALID_REQUEST, message.to_owned());
    assert_eq!(check(&|r| r.member_id.clear(), 1), invalid("MemberId can't be empty."));
    assert_eq!(check(&|r| r.group_id = " ".into(), 1), invalid("GroupId can't be empty."));
    assert_eq!(check(&|r| r.instance_id = Some(String::new()), 1), invalid("InstanceId can't be empty."));
    assert_eq!(check(&|r| r.rack_id = Some(String::new()), 1), invalid("RackId can't be empty."));
    let missing = invalid("RebalanceTimeoutMs must be provided in first request.");
    assert_eq!(check(&|r| r.rebalance_timeout_ms = -1, 1), missing);
    let owned = invalid("TopicPartitions must be empty when (re-)joining.");
    assert_eq!(check(&|r| r.topic_partitions = None, 1), owned);
    let unsubscribed =
        invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
    assert_eq!(check(&|r| r.subscribed_topic_names = None, 1), unsubscribed);
    assert_eq!(check(&|r| r.member_epoch = -2, 1), invalid("InstanceId can't be null."));
    assert_eq!(check(&|r| r.member_epoch = -3, 1), invalid("MemberEpoch is invalid."));
    assert_eq!(check(&|r| r.server_assignor = Some("x".into()), 1).0, ErrorCode::UNSUPPORTED_ASSIGNOR);
    // Before version 1 the coordinator makes up the id.
    assert_eq!(check(&|r| r.member_id.clear(), 0).0, ErrorCode::NONE);
}

#[test]
fn a_full_group_takes_nobody_new() {
    let mut world = world(&[("t", 1)]);
    world.config.consumer_max_size = 1;
    world.heartbeat(&joining("a", &["t"]));
    assert_eq!(world.heartbeat(&joining("b", &["t"])).error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!(world.heartbeat(&joining("a", &["t"])).error_code, ErrorCode::NONE);
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut world = world(&[("t", 2)]);
    let static_ = |mut request: ConsumerGroupHeartbeatRequest| {
        request.instance_id = Some("i".into());
        request
    };
    world.heartbeat(&static_(joining("a", &["t"])));
    let unreleased = world.heartbeat(&static_(joining("b", &["t"])));
    assert_eq!(unreleased.error_code, ErrorCode::UNRELEASED_INSTANCE_ID);
    let left = world.heartbeat(&static_(beating("a", -2)));
    assert_eq!((left.error_code, left.member_epoch), (ErrorCode::NONE, -2));
    let back = world.heartbeat(&static_(joining("b", &["t"])));
    assert_eq!((back.error_code, back.member_epoch), (ErrorCode::NONE, 2), "no rebalance for it");
    assert_eq!(back.assignment.expect("what it had").topic_partitions, partitions(&world, "t", &[0, 1]));
    assert_eq!(world.heartbeat(&static_(beating("a", 2))).error_code, ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(world.heartbeat(&static_(beating("b", 2))).error_code, ErrorCode::NONE);
    // Away for good when its session ends.
    world.heartbeat(&static_(beating("b", -2)));
    world.pass(45_000);
    assert!(world.the_group().is_empty());
}

#[test]
fn an_assignment_waits_for_its_interval_and_for_its_job() {
    let mut world = world(&[("t", 2)]);
    world.config.consumer_assignment_interval_ms = 1_000;
    world.heartbeat(&joining("a", &["t"]));
    let ticket = world.send(&joining("b", &["t"]));
    world.settle();
    assert_eq!(world.taken(ticket), None, "it waits for the interval");
    world.pass(1_000);
    assert_eq!(world.taken(ticket).expect("an answer").member_epoch, 3);
    // A job that takes too long: the answer comes without.
    world.eager = false;
    world.pass(1_000);
    let ticket = world.send(&joining("c", &["t"]));
    world.pass(4_999);
    assert_eq!(world.taken(ticket), None);
    world.pass(1);
    assert_eq!(world.taken(ticket).expect("an answer").member_epoch, 3);
    let job = world.jobs.pop_front().expect("a job");
    world.finish(job);
    assert_eq!(world.heartbeat(&beating("c", 3)).member_epoch, 4);
}

#[test]
fn a_join_whose_records_are_not_written_is_told_so() {
    let mut world = world(&[("t", 2)]);
    world.fail_append = true;
    let refused = world.heartbeat(&joining("a", &["t"]));
    assert_eq!(refused.error_code, ErrorCode::NOT_COORDINATOR);
    assert!(world.group.is_none());
    assert_eq!(world.heartbeat(&joining("a", &["t"])).member_epoch, 2);
}

#[test]
fn expressions_follow_the_topics() {
    let mut world = world(&[("alpha", 1), ("beta", 2)]);
    let mut request = joining("a", &[]);
    request.subscribed_topic_regex = Some("a.*".into());
    let joined = world.heartbeat(&request);
    assert_eq!(joined.assignment.expect("alpha").topic_partitions, partitions(&world, "alpha", &[0]));
    // A new topic is looked for when the last search is old enough.
    world.topics.set("another", 1);
    world.pass(5_000);
    assert_eq!(world.heartbeat(&beating("a", joined.member_epoch)).assignment, None);
    world.pass(5_001);
    world.heartbeat(&beating("a", joined.member_epoch));
    let got = world.heartbeat(&beating("a", joined.member_epoch));
    assert_eq!(got.assignment.expect("both").topic_partitions.len(), 2);
    // Empty means none.
    let mut none = beating("a", got.member_epoch);
    none.subscribed_topic_regex = Some(String::new());
    let told = world.heartbeat(&none);
    assert_eq!(told.assignment.expect("nothing").topic_partitions, []);
    assert!(!world.the_group().is_subscribed_to("alpha"));
    let mut bad = joining("b", &[]);
    bad.subscribed_topic_regex = Some("a(".into());
    assert_eq!(world.heartbeat(&bad).error_code, ErrorCode::INVALID_REGULAR_EXPRESSION);
}

#[test]
fn topics_that_grow_and_go_are_followed() {
    let mut world = world(&[("t", 1), ("u", 1)]);
    world.heartbeat(&joining("a", &["t", "u"]));
    world.topics.set("t", 3);
    world.heartbeat(&beating("a", 2));
    let got = world.heartbeat(&beating("a", 2));
    assert_eq!((got.member_epoch, got.assignment.expect("more").topic_partitions.len()), (3, 2));
    world.topics.remove("u");
    world.heartbeat(&beating("a", 3));
    let told = world.heartbeat(&beating("a", 3));
    assert_eq!(told.assignment.expect("less").topic_partitions, partitions(&world, "t", &[0, 1, 2]));
}

#[test]
fn most_members_choose_the_assignor() {
    let mut world = world(&[("t", 4), ("u", 4)]);
    for member in ["a", "b"] {
        let mut request = joining(member, &["t", "u"]);
        request.server_assignor = Some("range".into());
        world.heartbeat(&request);
    }
    let view = View { config: &world.config, topics: &world.topics };
    let shown = world.the_group().describe(view);
    assert_eq!((shown.assignor_name.as_str(), shown.group_state.as_str()), ("range", "Reconciling"));
    let target = &shown.members[1].target_assignment.topic_partitions;
    assert!(target.iter().all(|topic| topic.partitions == [2, 3]), "{target:?}");
    assert_eq!(shown.members[0].member_type, 1);
}

#[test]
fn commits_of_an_older_epoch_count_for_what_was_held_since() {
    let mut world = world(&[("t", 4)]);
    world.heartbeat(&joining("a", &["t"]));
    world.heartbeat(&joining("b", &["t"]));
    world.heartbeat(&beating("a", 2));
    world.heartbeat(&owning("a", 2, partitions(&world, "t", &[0, 1])));
    let topic = TopicId(world.topics.id("t"));
    let group = world.the_group();
    let older = group.check_commit("a", None, 2, Some(10)).expect("it may");
    assert_eq!(older.check(topic, 0), Ok(()));
    assert_eq!(older.check(topic, 3), Err(ErrorCode::STALE_MEMBER_EPOCH));
    let code = |result: Result<_, crate::group::consumer::Refusal>| result.err().map(|refusal| refusal.code);
    assert_eq!(code(group.check_commit("a", None, 4, Some(10)).map(|_| ())), Some(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(code(group.check_commit("a", None, 3, Some(8)).map(|_| ())), Some(ErrorCode::UNSUPPORTED_VERSION));
    assert_eq!(code(group.check_commit("x", None, 3, Some(9)).map(|_| ())), Some(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(code(group.check_commit("", None, -1, Some(9)).map(|_| ())), Some(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(code(group.check_offset_fetch(Some("a"), 2)), Some(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(code(group.check_offset_fetch(None, -1)), None);
    assert_eq!(group.check_delete(), Err(ErrorCode::NON_EMPTY_GROUP));
}

/// A classic group of two, stable, with all of topic `t`.
fn classic_group() -> ClassicGroup {
    let member = |id: &str, assigned: &[i32]| {
        let join = classic_join_of(id, &["t"]);
        let strategy = Strategy { name: "range".into(), metadata: join.protocols[0].metadata.clone() };
        let mut member = ClassicMember::new(id.into(), None, "client", "/127.0.0.1");
        member.session_timeout_ms = 45_000;
        member.rebalance_timeout_ms = REBALANCE_MS;
        member.strategies = vec![strategy];
        member.assignment = assignment("t", assigned);
        member
    };
    ClassicGroup::converted(GROUP, 0, 5, "consumer", vec![member("c1", &[0, 1]), member("c2", &[2, 3])])
}

fn assignment(topic: &str, partitions: &[i32]) -> Bytes {
    let mut bytes = vec![0, 1, 0, 0, 0, 1];
    bytes.extend_from_slice(&u16::try_from(topic.len()).expect("short").to_be_bytes());
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&u32::try_from(partitions.len()).expect("few").to_be_bytes());
    for partition in partitions {
        bytes.extend_from_slice(&partition.to_be_bytes());
    }
    bytes.extend_from_slice(&(-1i32).to_be_bytes());
    bytes.into()
}

fn upgraded(world: &mut World) {
    let classic = classic_group();
    let view = View { config: &world.config, topics: &world.topics };
    let (group, records) = migration::upgrade(&classic, view).expect("an upgrade");
    assert_eq!(records[0], Record::GroupMetadata { group: GROUP.to_owned(), value: None });
    assert_eq!(replayed(&records), Some(group), "records make the group");
    world.log.extend(records);
    world.restart();
}

#[test]
fn a_classic_group_changes_over_and_back_while_it_consumes() {
    let mut world = world(&[("t", 4)]);
    upgraded(&mut world);
    assert_eq!(world.the_group().state(), GroupState::Stable);
    assert_eq!(world.classic_heartbeat("c1", 5), ErrorCode::NONE);
    // A member of the other protocol joins: the classic ones are told to join again.
    assert_eq!(world.heartbeat(&joining("n", &["t"])).member_epoch, 6);
    assert_eq!(world.classic_heartbeat("c1", 5), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.classic_heartbeat("c2", 5), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.classic_heartbeat("c1", 4), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(world.classic_heartbeat("n", 6), ErrorCode::UNKNOWN_MEMBER_ID);
    for (member, before) in [("c1", vec![0, 1]), ("c2", vec![2, 3])] {
        let mut join = classic_join_of(member, &["t"]);
        join.protocols[0].name = "range".into();
        join.protocols[0].metadata = super::model::subscription_of(&["t"], &[("t", &before)]);
        let joined = world.join(&join);
        assert_eq!(joined.error_code, ErrorCode::NONE);
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        let synced = world.sync(&super::model::sync_of(member, joined.generation_id));
        let has = read_assignment_of(synced.assignment, "t");
        if has == before {
            assert_eq!(joined.generation_id, 6);
            continue;
        }
        // It has to give up one: it does, and says so with its next join.
        assert_eq!((joined.generation_id, has.len()), (5, 1));
        assert_eq!(world.classic_heartbeat(member, 5), ErrorCode::REBALANCE_IN_PROGRESS);
        join.protocols[0].metadata = super::model::subscription_of(&["t"], &[("t", &has)]);
        let again = world.join(&join);
        assert_eq!(again.generation_id, 6);
        assert_eq!(world.sync(&super::model::sync_of(member, 6)).error_code, ErrorCode::NONE);
    }
    assert_eq!(world.heartbeat(&beating("n", 6)).assignment.expect("its part").topic_partitions.len(), 1);
    assert_eq!(world.the_group().state(), GroupState::Stable);
    assert_eq!(replayed(compacted(&world.log)), world.group);
    // The only one of the new protocol goes: what is left is a classic group.
    assert_eq!(world.heartbeat(&beating("n", -1)).error_code, ErrorCode::NONE);
    let downgrade = world.downgraded.take().expect("a downgrade");
    assert!(downgrade.rebalance.is_some() && downgrade.joined.is_none());
    assert!(world.group.is_none(), "its records are gone");
    let Some(Record::GroupMetadata { value: Some(value), .. }) = world.log.last() else { panic!("no classic record") };
    assert_eq!((value.generation, value.protocol.as_deref(), value.members.len()), (6, Some("range"), 2));
    let classic = ClassicGroup::from_record(GROUP, value);
    assert_eq!(classic.members().len(), 2);
    assert!(value.members.iter().all(|member| !read_assignment_of(member.assignment.clone(), "t").is_empty()));
}

#[test]
fn the_policy_says_which_way_a_group_may_go() {
    let mut world = world(&[("t", 4)]);
    let classic = classic_group();
    for (policy, allowed) in [
        (MigrationPolicy::Disabled, false),
        (MigrationPolicy::Downgrade, false),
        (MigrationPolicy::Upgrade, true),
        (MigrationPolicy::Bidirectional, true),
    ] {
        world.config.migration_policy = policy;
        let result = migration::check_upgrade(&classic, &world.config);
        assert_eq!(result.is_ok(), allowed, "{policy:?}");
        assert!(result.err().is_none_or(|refusal| refusal.code == ErrorCode::GROUP_ID_NOT_FOUND));
    }
    world.config.consumer_max_size = 1;
    assert!(migration::check_upgrade(&classic, &world.config).is_err());
    world.config.consumer_max_size = 10;
    world.config.migration_policy = MigrationPolicy::Upgrade;
    upgraded(&mut world);
    world.heartbeat(&joining("n", &["t"]));
    world.heartbeat(&beating("n", -1));
    assert!(world.downgraded.is_none() && world.group.is_some(), "no way back");
    world.config.migration_policy = MigrationPolicy::Disabled;
    let refused = world.join(&classic_join_of("c1", &["t"]));
    assert_eq!(refused.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn a_classic_member_that_does_not_come_back_goes() {
    let mut world = world(&[("t", 4)]);
    world.config.migration_policy = MigrationPolicy::Upgrade;
    upgraded(&mut world);
    world.heartbeat(&joining("n", &["t"]));
    for _ in 0..3 {
        assert_eq!(world.classic_heartbeat("c1", 5), ErrorCode::REBALANCE_IN_PROGRESS);
        let epoch = world.the_group().member("n").expect("n").member_epoch;
        world.heartbeat(&beating("n", epoch));
        world.pass(10_000);
    }
    assert_eq!(world.classic_heartbeat("c1", 5), ErrorCode::UNKNOWN_MEMBER_ID);
    // Joined, and never synced.
    let join = classic_join_of("c3", &["t"]);
    assert_eq!(world.join(&join).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "the others know range only");
}

#[test]
fn members_may_be_taken_out_by_their_instance() {
    let mut world = world(&[("t", 2)]);
    let mut request = joining("a", &["t"]);
    request.instance_id = Some("i".into());
    world.heartbeat(&request);
    let identity = |member_id: &str, instance: Option<&str>| MemberIdentity {
        member_id: member_id.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        reason: None,
    };
    let members = [identity("", Some("i")), identity("x", Some("i")), identity("y", None)];
    let (response, downgrade) =
        world.turn(|group, presence, turn| classic_member::leave(group, presence, turn, &members));
    let codes: Vec<ErrorCode> = response.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::FENCED_INSTANCE_ID, ErrorCode::UNKNOWN_MEMBER_ID]);
    assert!(downgrade.is_none());
    assert!(world.the_group().is_empty());
    assert_eq!(world.the_group().check_delete(), Ok(()));
    let deletion = world.the_group().deletion();
    world.log.extend(deletion);
    assert_eq!(replayed(&world.log), None);
}

#[test]
fn states_of_later_versions_are_kept_and_fenced() {
    let mut world = world(&[("t", 2)]);
    world.heartbeat(&joining("a", &["t"]));
    for record in &mut world.log {
        if let Record::ConsumerGroupCurrentMemberAssignment { value: Some(value), .. } = record {
            value.state = 9;
        }
    }
    world.restart();
    assert_eq!(world.the_group().member("a").expect("a").state, MemberState::Unknown(9));
    let owned = partitions(&world, "t", &[0]);
    assert_eq!(world.heartbeat(&owning("a", 2, owned)).error_code, ErrorCode::FENCED_MEMBER_EPOCH);
    let rejoined = world.heartbeat(&joining("a", &["t"]));
    assert_eq!((rejoined.error_code, rejoined.member_epoch), (ErrorCode::NONE, 2));
}
