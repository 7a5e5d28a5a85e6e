"""Members of the classic protocol, request by request: every state, every error, in old and new versions.

The expectations were taken from Apache Kafka 4.3.1 by running this suite against it.
"""

import contextlib
import itertools
import time

from harness import broker as brokers
from harness.group_wire import Peer
from harness.report import Report, check

NONE, ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL, INVALID_GROUP_ID, UNKNOWN_MEMBER_ID = 0, 22, 23, 24, 25
INVALID_SESSION_TIMEOUT, REBALANCE_IN_PROGRESS, GROUP_ID_NOT_FOUND, MEMBER_ID_REQUIRED = 26, 27, 69, 79
GROUP_MAX_SIZE_REACHED, FENCED_INSTANCE_ID, COORDINATOR_LOAD_IN_PROGRESS, UNKNOWN_SERVER_ERROR = 81, 82, 14, -1
NOT_READY = (14, 15, 16)
TOPIC = "classic-groups"
MAX_SIZE = 5


def run(report: Report, options) -> None:
    settings = {"group.initial.rebalance.delay.ms": "0", "group.max.size": str(MAX_SIZE)}
    with brokers.make(options.broker, options.work_dir / "classic-groups", settings=settings) as broker:
        ClassicGroups(report, broker).run()


def same(answer: dict, **expected) -> None:
    got = {name: answer.get(name) for name in expected}
    check(got == expected, f"{got} instead of {expected} in {answer}")


class ClassicGroups:
    def __init__(self, report, broker):
        self.report, self.broker = report, broker
        self.groups = (f"classic-{number}" for number in itertools.count())

    def run(self):
        with self.peers(1) as (peer,):
            error = peer.create_topic(TOPIC, 1)
            check(error == NONE, f"CreateTopics answered {error}")
            deadline = time.monotonic() + 60
            while (error := peer.coordinator_ready().answer()["error"]) != NONE:
                check(time.monotonic() < deadline, f"no coordinator after 60 s: {error}")
                time.sleep(0.1)
            # Its partition may still be loading.
            while peer.join("stranger").answer()["error"] in NOT_READY:
                check(time.monotonic() < deadline, "the coordinator is not loaded after 60 s")
                time.sleep(0.1)
        for name in [name for name in dir(self) if name.startswith("case_")]:
            label = name.removeprefix("case_").replace("_", " ")
            self.report.case(f"classic_groups/{label}", getattr(self, name))

    @contextlib.contextmanager
    def peers(self, count):
        """Connections of members of one new group."""
        group = next(self.groups)
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(Peer(self.broker.bootstrap, group)) for _ in range(count)]
            for _ in range(400):
                if peers[0].join("stranger").answer()["error"] not in NOT_READY:
                    break
                time.sleep(0.05)
            yield peers

    def stable(self, peers, **join):
        """Members of a stable group, the leader first: [(peer, member id)], and the generation."""
        def synced(members, generation):
            for peer, member in members[1:]:
                peer.sync(member, generation)
            members[0][0].sync(members[0][1], generation, [(member, member.encode()) for _, member in members])
            for peer, member in members:
                same(peer.answer(), error=NONE, assignment=member.encode())
            return members, generation

        ids = [peer.join(**join).answer()["member"] for peer in peers[:1]]
        same(peers[0].join(ids[0], **join).answer(), error=NONE, leader=ids[0], generation=1)
        synced([(peers[0], ids[0])], 1)
        if len(peers) == 1:
            return [(peers[0], ids[0])], 1
        # All ask for an id, so that none is left out; the second generation has them all.
        ids += [peer.join(**join).answer()["member"] for peer in peers[1:]]
        for peer, member in zip(peers[1:], ids[1:]):
            peer.join(member, **join)
        self.rebalancing(peers[0], len(ids))
        peers[0].join(ids[0], **join)
        answers = [peer.answer() for peer in peers]
        check(all((answer["error"], answer["generation"]) == (NONE, 2) for answer in answers), str(answers))
        members = sorted(zip(peers, ids), key=lambda pair: pair[1] != answers[0]["leader"])
        return synced(members, 2)

    def rebalancing(self, peer, members):
        """Joins that were sent on other connections have arrived."""
        deadline = time.monotonic() + 20
        while True:
            described = peer.describe().answer()
            if described["state"] == "PreparingRebalance" and len(described["members"]) == members:
                return
            check(time.monotonic() < deadline, f"no rebalance of {members}: {described}")
            time.sleep(0.01)

    def static(self, peer, instance="i"):
        answer = peer.join(instance=instance).answer()
        same(answer, error=NONE, generation=1, leader=answer["member"])
        peer.sync(answer["member"], 1, [(answer["member"], b"all")], instance=instance)
        same(peer.answer(), error=NONE, assignment=b"all")
        return answer["member"]

    def case_join_is_checked_before_the_group(self):
        with self.peers(1) as (peer,):
            same(peer.join(session=5_999).answer(), error=INVALID_SESSION_TIMEOUT, generation=-1, member="", members=[])
            same(peer.join(session=1_800_001).answer(), error=INVALID_SESSION_TIMEOUT)
            same(peer.join("m", session=1, group="").answer(), error=INVALID_GROUP_ID, member="m")
            same(peer.join("stranger").answer(), error=UNKNOWN_MEMBER_ID, member="stranger", generation=-1, leader="")
            same(peer.describe().answer(), error=NONE, state="Dead", type="", data="", members=[])
            same(peer.describe(version=6).answer(), error=GROUP_ID_NOT_FOUND, state="Dead")

    def case_member_id_first_since_version_4(self):
        with self.peers(1) as (peer,):
            answer = peer.join(version=4).answer()
            same(answer, error=MEMBER_ID_REQUIRED, generation=-1, leader="", protocol="")
            check(answer["member"].startswith("compat-") and len(answer["member"]) == 7 + 36, answer["member"])
            same(peer.describe().answer(), error=NONE, state="Empty", type="", members=[])
            same(peer.listed().answer(), error=NONE, mine=[("", "Empty", "classic")])
            same(peer.join(answer["member"], version=4).answer(), error=NONE, generation=1, leader=answer["member"])

    def case_every_join_version(self):
        for version in range(10):
            with self.peers(1) as (peer,):
                answer = peer.join(version=version).answer()
                if version >= 4:
                    same(answer, error=MEMBER_ID_REQUIRED)
                    answer = peer.join(answer["member"], version=version).answer()
                same(answer, error=NONE, generation=1, protocol="range", leader=answer["member"])
                same(answer, members=[(answer["member"], None, b"x")])
                if version >= 7:
                    same(answer, type="consumer")
                if version >= 9:
                    same(answer, skip=False)
                member = answer["member"]
                same(peer.sync(member, 1, [(member, b"a")], version=min(version, 5)).answer(), error=NONE,
                     assignment=b"a")
                same(peer.heartbeat(member, 1, version=min(version, 4)).answer(), error=NONE)
                same(peer.leave([(member, None)], version=min(version, 5)).answer(), error=NONE)

    def case_protocols_are_checked(self):
        with self.peers(2) as (one, other):
            same(one.join(protocols=()).answer(), error=INCONSISTENT_GROUP_PROTOCOL, member="")
            same(one.join(kind="").answer(), error=INCONSISTENT_GROUP_PROTOCOL)
            same(one.describe().answer(), state="Empty")
            [(_, member)], generation = self.stable([one])
            same(other.join(protocols=[("sticky", b"")]).answer(), error=INCONSISTENT_GROUP_PROTOCOL)
            same(other.join(kind="connect").answer(), error=INCONSISTENT_GROUP_PROTOCOL)
            same(one.join(member, protocols=[("sticky", b"")]).answer(), error=INCONSISTENT_GROUP_PROTOCOL,
                 member=member)
            same(one.heartbeat(member, generation).answer(), error=NONE)

    def case_sync_is_checked(self):
        with self.peers(1) as (peer,):
            same(peer.sync("m", 1).answer(), error=UNKNOWN_MEMBER_ID, assignment=b"")
            [(_, member)], generation = self.stable([peer])
            same(peer.sync(member, generation + 1).answer(), error=ILLEGAL_GENERATION, assignment=b"")
            same(peer.sync("m", generation).answer(), error=UNKNOWN_MEMBER_ID)
            same(peer.sync(member, generation, kind="x").answer(), error=INCONSISTENT_GROUP_PROTOCOL)
            same(peer.sync(member, generation, kind=None).answer(), error=INCONSISTENT_GROUP_PROTOCOL)
            same(peer.sync(member, generation, protocol=None).answer(), error=INCONSISTENT_GROUP_PROTOCOL)
            same(peer.sync("stranger", generation, kind=None).answer(), error=INCONSISTENT_GROUP_PROTOCOL)
            same(peer.sync(member, generation, version=4).answer(), error=NONE)
            same(peer.sync(member, generation, protocol="x").answer(), error=INCONSISTENT_GROUP_PROTOCOL)
            same(peer.sync(member, generation, kind="consumer", protocol="range").answer(), error=NONE,
                 assignment=member.encode(), type="consumer", protocol="range")

    def case_a_member_left_out_gets_nothing(self):
        with self.peers(1) as (peer,):
            member = peer.join(version=3).answer()["member"]
            same(peer.sync(member, 1, [("stranger", b"all")]).answer(), error=NONE, assignment=b"")

    def case_heartbeats_in_each_state(self):
        with self.peers(2) as (one, other):
            same(one.heartbeat("m", 1).answer(), error=UNKNOWN_MEMBER_ID)
            members, generation = self.stable([one, other])
            (leader, leader_id), (follower, follower_id) = members
            same(leader.heartbeat(leader_id, generation).answer(), error=NONE)
            same(leader.heartbeat(leader_id, generation - 1).answer(), error=ILLEGAL_GENERATION)
            same(leader.heartbeat("m", generation).answer(), error=UNKNOWN_MEMBER_ID)
            same(leader.heartbeat(leader_id, generation, instance="nobody").answer(), error=UNKNOWN_MEMBER_ID)
            leader.join(leader_id)
            self.rebalancing(follower, 2)
            same(follower.heartbeat(follower_id, generation).answer(), error=REBALANCE_IN_PROGRESS)
            same(follower.describe().answer(), state="PreparingRebalance", type="consumer", data="")
            same(follower.sync(follower_id, generation).answer(), error=REBALANCE_IN_PROGRESS)
            same(follower.commit(TOPIC, 1, member=follower_id, generation=generation).answer(), error=NONE)
            same(follower.join(follower_id).answer(), error=NONE, generation=generation + 1)
            same(leader.answer(), error=NONE, generation=generation + 1)
            same(follower.heartbeat(follower_id, generation + 1).answer(), error=NONE)
            same(follower.describe().answer(), state="CompletingRebalance")
            same(follower.commit(TOPIC, 1, member=follower_id, generation=generation + 1).answer(),
                 error=REBALANCE_IN_PROGRESS)

    def case_joining_again_in_each_state(self):
        with self.peers(2) as (one, other):
            members, generation = self.stable([one, other])
            (leader, leader_id), (follower, follower_id) = members
            same(follower.join(follower_id).answer(), error=NONE, generation=generation, members=[], leader=leader_id)
            same(follower.describe().answer(), state="Stable", data="range")
            follower.join(follower_id, protocols=[("range", b"new")])
            self.rebalancing(leader, 2)
            same(leader.heartbeat(leader_id, generation).answer(), error=REBALANCE_IN_PROGRESS)
            same(leader.join(leader_id).answer(), generation=generation + 1, leader=leader_id)
            same(follower.answer(), generation=generation + 1, members=[])
            # Nobody has synced: the answer again, to each its own.
            again = leader.join(leader_id).answer()
            same(again, error=NONE, generation=generation + 1)
            check(sorted(again["members"]) == sorted([(leader_id, None, b"x"), (follower_id, None, b"new")]), str(again))
            same(follower.join(follower_id, protocols=[("range", b"new")]).answer(), generation=generation + 1)
            follower.sync(follower_id, generation + 1)
            check(follower.silent(0.3), "the leader's assignment was not waited for")
            leader.join(leader_id, protocols=[("range", b"newer")])
            same(follower.answer(), error=REBALANCE_IN_PROGRESS, assignment=b"")

    def case_votes(self):
        with self.peers(3) as peers:
            votes = [[("b", b"1"), ("a", b"2")], [("c", b""), ("a", b""), ("b", b"")], [("b", b""), ("a", b"")]]
            first = peers[0].join(version=3, protocols=votes[0]).answer()["member"]
            for peer, vote in zip(peers[1:], votes[1:]):
                peer.join(version=3, protocols=vote)
            self.rebalancing(peers[0], 3)
            same(peers[0].join(first, version=3, protocols=votes[0]).answer(), protocol="b", generation=2)

    def case_static_member_comes_back(self):
        for version, skips in ((5, None), (8, None), (9, True)):
            with self.peers(2) as (one, other):
                old = self.static(one)
                check(old.startswith("i-") and len(old) == 2 + 36, old)
                answer = other.join(instance="i", version=version).answer()
                new = answer["member"]
                check(new != old, "the id is the old one")
                same(answer, error=NONE, generation=1, skip=skips, leader=new if skips else old)
                same(answer, members=[(new, "i", b"x")] if skips else [])
                fenced = {"error": FENCED_INSTANCE_ID}
                same(one.heartbeat(old, 1, instance="i").answer(), **fenced)
                same(one.sync(old, 1, instance="i").answer(), **fenced)
                same(one.join(old, instance="i").answer(), member=old, protocol=None, **fenced)
                same(one.join(old, instance="i", version=6).answer(), member=old, protocol="", **fenced)
                same(one.commit(TOPIC, 1, member=old, generation=1, instance="i").answer(), **fenced)
                same(one.leave([(old, "i")]).answer(), error=NONE, members=[(old, "i", FENCED_INSTANCE_ID)])
                same(one.heartbeat(old, 1).answer(), error=UNKNOWN_MEMBER_ID)
                same(other.sync(new, 1, instance="i").answer(), error=NONE, assignment=b"all")
                described = one.describe().answer()
                same(described, state="Stable", data="range")
                check(described["members"] == [{"member": new, "instance": "i", "client": "compat",
                      "host": "/127.0.0.1", "metadata": b"x", "assignment": b"all"}], str(described))

    def case_static_member_with_other_protocols_rebalances(self):
        with self.peers(2) as (one, other):
            self.static(one)
            answer = other.join(instance="i", protocols=[("range", b"y"), ("sticky", b"z")]).answer()
            same(answer, error=NONE, generation=1, skip=True, members=[(answer["member"], "i", b"y")])
            with self.peers(2) as (one, other):
                answer = one.join(instance="i", protocols=[("range", b"x"), ("sticky", b"x")]).answer()
                one.sync(answer["member"], 1, [(answer["member"], b"all")], instance="i").answer()
                answer = other.join(instance="i", protocols=[("sticky", b"z")]).answer()
                same(answer, error=NONE, generation=2, protocol="sticky", skip=False)

    def case_static_member_that_waits_is_fenced_by_its_next_life(self):
        with self.peers(3) as (one, other, third):
            old = self.static(one)
            third.join().answer()
            one.join(old, instance="i")
            check(one.silent(0.3), "the pending member was not waited for")
            other.join(instance="i")
            same(one.answer(), error=FENCED_INSTANCE_ID, member=old, generation=-1, type=None, protocol=None)

    def case_leaving(self):
        with self.peers(3) as (one, other, third):
            same(one.leave([("m", None), ("n", "i")]).answer(), error=NONE,
                 members=[("m", None, UNKNOWN_MEMBER_ID), ("n", "i", UNKNOWN_MEMBER_ID)])
            same(one.leave([("m", None)], version=2).answer(), error=UNKNOWN_MEMBER_ID)
            members, generation = self.stable([one, other])
            (leader, leader_id), (follower, follower_id) = members
            pending = third.join().answer()["member"]
            asked = [("m", None), ("", "i"), ("", None), (pending, None), (leader_id, "i"), (leader_id, None)]
            codes = [UNKNOWN_MEMBER_ID] * 3 + [NONE, UNKNOWN_MEMBER_ID, NONE]
            same(leader.leave(asked).answer(), error=NONE, members=[(*who, code) for who, code in zip(asked, codes)])
            same(follower.heartbeat(follower_id, generation).answer(), error=REBALANCE_IN_PROGRESS)
            same(follower.leave([(follower_id, None)], version=1).answer(), error=NONE)
            same(one.describe().answer(), state="Empty", type="consumer", data="", members=[])
            same(one.listed().answer(), mine=[("consumer", "Empty", "classic")])
            same(one.leave([(follower_id, None)], version=1).answer(), error=UNKNOWN_MEMBER_ID)
            same(one.join(version=3).answer(), error=NONE, generation=generation + 2)

    def case_an_id_given_back_in_a_stable_group(self):
        with self.peers(2) as (one, other):
            [(_, member)], generation = self.stable([one])
            pending = other.join().answer()["member"]
            same(one.heartbeat(member, generation).answer(), error=NONE)
            same(other.leave([(pending, None)]).answer(), error=NONE, members=[(pending, None, NONE)])
            same(one.heartbeat(member, generation).answer(), error=REBALANCE_IN_PROGRESS)

    def case_static_members_leave_by_instance(self):
        with self.peers(1) as (peer,):
            member = self.static(peer)
            asked = [("wrong", "i"), ("", "i"), (member, "i")]
            codes = [FENCED_INSTANCE_ID, NONE, UNKNOWN_MEMBER_ID]
            same(peer.leave(asked).answer(), members=[(*who, code) for who, code in zip(asked, codes)])
            same(peer.describe().answer(), state="Empty")

    def case_commits_are_checked(self):
        with self.peers(1) as (peer,):
            same(peer.commit(TOPIC, 1, member="m", generation=1).answer(), error=ILLEGAL_GENERATION)
            same(peer.commit(TOPIC, 1).answer(), error=NONE)
            same(peer.describe().answer(), state="Empty", type="")
            [(_, member)], generation = self.stable([peer])
            same(peer.commit(TOPIC, 1, member=member, generation=generation).answer(), error=NONE)
            same(peer.commit(TOPIC, 1, member=member, generation=generation - 1).answer(), error=ILLEGAL_GENERATION)
            same(peer.commit(TOPIC, 1, member="m", generation=generation).answer(), error=UNKNOWN_MEMBER_ID)
            same(peer.commit(TOPIC, 1).answer(), error=UNKNOWN_MEMBER_ID)
            same(peer.commit(TOPIC, 1, member=member).answer(), error=ILLEGAL_GENERATION)
            same(peer.commit(TOPIC, 1, member=member, generation=generation, instance="i").answer(),
                 error=UNKNOWN_MEMBER_ID)
            same(peer.leave([(member, None)]).answer(), error=NONE)
            same(peer.commit(TOPIC, 1, member=member, generation=-1).answer(), error=NONE)
            same(peer.commit(TOPIC, 1, member=member, generation=generation).answer(), error=UNKNOWN_MEMBER_ID)

    def case_a_session_expires(self):
        with self.peers(2) as (one, other):
            [(_, member)], generation = self.stable([one], session=6_000)
            deadline = time.monotonic() + 20
            while other.describe().answer()["state"] != "Empty":
                check(time.monotonic() < deadline, "still there after 20 s")
                time.sleep(0.2)
            same(one.heartbeat(member, generation).answer(), error=UNKNOWN_MEMBER_ID)
            same(other.join(version=3).answer(), generation=generation + 2)

    def case_who_joins_and_never_syncs_goes(self):
        with self.peers(2) as (one, other):
            members, generation = self.stable([one, other], rebalance=3_000)
            (leader, leader_id), (follower, follower_id) = members
            leader.join(leader_id, rebalance=3_000)
            self.rebalancing(follower, 2)
            follower.join(follower_id, rebalance=3_000)
            same(leader.answer(), generation=generation + 1)
            same(follower.answer(), generation=generation + 1)
            same(follower.sync(follower_id, generation + 1).answer(), error=REBALANCE_IN_PROGRESS)
            same(leader.heartbeat(leader_id, generation + 1).answer(), error=UNKNOWN_MEMBER_ID)
            same(follower.join(follower_id, rebalance=3_000).answer(), generation=generation + 2, leader=follower_id)

    def case_who_does_not_rejoin_is_left_behind(self):
        with self.peers(2) as (one, other):
            members, generation = self.stable([one, other], rebalance=2_000)
            (leader, leader_id), (follower, follower_id) = members
            answer = follower.join(follower_id, rebalance=2_000, protocols=[("range", b"new")]).answer()
            same(answer, error=NONE, generation=generation + 1, leader=follower_id,
                 members=[(follower_id, None, b"new")])
            same(leader.heartbeat(leader_id, generation).answer(), error=UNKNOWN_MEMBER_ID)

    def case_the_group_has_a_size_limit(self):
        with self.peers(MAX_SIZE + 1) as peers:
            [(_, member)], generation = self.stable(peers[:1], rebalance=2_000)
            for peer in peers[1:MAX_SIZE]:
                peer.join(version=3, rebalance=2_000)
            self.rebalancing(peers[MAX_SIZE], MAX_SIZE)
            peers[0].join(member, rebalance=2_000)
            answers = [peer.answer() for peer in peers[:MAX_SIZE]]
            check(all(answer["error"] == NONE for answer in answers), str(answers))
            same(peers[MAX_SIZE].join().answer(), error=GROUP_MAX_SIZE_REACHED, member="")

    def case_a_pending_member_is_not_static(self):
        with self.peers(1) as (peer,):
            pending = peer.join().answer()["member"]
            same(peer.join(pending, instance="i").answer(), error=UNKNOWN_SERVER_ERROR)

    def case_timeouts_that_make_no_sense(self):
        with self.peers(1) as (peer,):
            same(peer.join(version=3, rebalance=-5).answer(), error=NONE, generation=1)
        with self.peers(1) as (peer,):
            same(peer.join(version=3, rebalance=2**31 - 1).answer(), error=NONE, generation=1)
