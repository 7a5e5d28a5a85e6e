"""Two thousand members of one group that join at once: each is answered, in one generation, in bounded memory."""

import contextlib
import resource
import time

from harness import broker as brokers, processes
from harness.group_wire import Peer
from harness.report import Report, Skip, check

MEMBERS = 2000
# Both ends of each connection, and what a process has besides.
FILES = MEMBERS + 500
MEMORY_BYTES_MAX = 128 << 20
NONE, REBALANCE_IN_PROGRESS, MEMBER_ID_REQUIRED = 0, 27, 79
NOT_READY = (14, 15, 16)
PATIENCE_S = 120
# Nobody is to be taken for dead while the machine is busy with the others.
TIMES = {"session": 120_000, "rebalance": 300_000}


def run(report: Report, options) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise Skip(f"a process may open {hard} files, {FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    settings = {"group.initial.rebalance.delay.ms": "0"}
    try:
        with brokers.make(options.broker, options.work_dir / "crowd", settings=settings) as broker:
            report.case(f"crowd/{MEMBERS} members join at once", join_at_once, broker)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ready(peer):
    deadline = time.monotonic() + 60
    while peer.coordinator_ready().answer()["error"] != NONE or peer.join("stranger").answer()["error"] in NOT_READY:
        check(time.monotonic() < deadline, "no coordinator after 60 s")
        time.sleep(0.1)


def join_at_once(broker):
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(broker.bootstrap, "crowd", PATIENCE_S)) for _ in range(MEMBERS)]
        first, crowd = peers[0], peers[1:]
        ready(first)
        # One leads alone. From then on a generation begins when all who were given an id have joined.
        leader = first.join(**TIMES).answer()["member"]
        joined = first.join(leader, **TIMES).answer()
        check(joined["error"] == NONE and joined["generation"] == 1, f"{joined}")
        check(first.sync(leader, 1, [(leader, b"all")]).answer()["error"] == NONE, "the first is not synced")
        before = processes.rss_bytes(broker.pid)
        began = time.monotonic()
        answers = [peer.answer() for peer in [peer.join(**TIMES) for peer in crowd]]
        check(all(answer["error"] == MEMBER_ID_REQUIRED for answer in answers), f"{answers[0]}")
        ids = [answer["member"] for answer in answers]
        check(len(set(ids)) == len(crowd), "member ids come twice")
        for peer, member in zip(crowd, ids, strict=True):
            peer.join(member, **TIMES)
        while (error := first.heartbeat(leader, 1).answer()["error"]) == NONE:
            check(time.monotonic() < began + PATIENCE_S, "the first member does not hear of the others")
            time.sleep(0.01)
        check(error == REBALANCE_IN_PROGRESS, f"a heartbeat in the rebalance: {error}")
        joined = first.join(leader, **TIMES).answer()
        check((joined["error"], joined["generation"], joined["leader"]) == (NONE, 2, leader), f"{joined['error']}")
        check({member for member, *_ in joined["members"]} == {leader, *ids}, "the leader does not see them all")
        for peer, member in zip(crowd, ids, strict=True):
            answer = peer.answer()
            check((answer["error"], answer["generation"], answer["member"]) == (NONE, 2, member), f"{answer}")
            peer.sync(member, 2)
        took = time.monotonic() - began
        first.sync(leader, 2, [(member, member.encode()) for member in (leader, *ids)])
        for peer, member in zip(peers, (leader, *ids), strict=True):
            answer = peer.answer()
            check((answer["error"], answer["assignment"]) == (NONE, member.encode()), f"{answer}")
        synced = time.monotonic() - began
        grown = processes.rss_bytes(broker.pid) - before
        if broker.name == "stratalog":
            check(grown < MEMORY_BYTES_MAX, f"{grown >> 20} MiB more for {MEMBERS} members")
        return f"joined in {took:.1f} s, synced in {synced:.1f} s, {grown >> 20} MiB more"
