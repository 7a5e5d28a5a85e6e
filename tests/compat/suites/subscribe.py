"""Consumers that subscribe: they come, go, crash, freeze and pause, and the broker is killed, while records flow.

Shown at the end: every record was processed, each owner read its partition in order and without a hole, no partition had
two owners in one generation or member epoch (nor at a time), and nobody began before what was committed. With `--long`:
every case also on a topic that is read from the tier, more turns, absences longer than a session.

Many groups run side by side on one broker: they wait more than they work. Each is a generator, advanced from one loop
(a child process dies with the thread that started it).
"""

import contextlib
import random
import subprocess
import threading
import time
from typing import NamedTuple

from harness import broker as brokers, processes, store
from harness.group_judge import judge, missing
from harness.members import Member
from harness.report import Report, check
from harness.wire import Connection, batch

PARTITIONS = 6
SESSION_MS = 6000
# Apache Kafka needs most of a minute after kill -9 before it leads again.
SETTLES_S = 150
LANES = 6

SETTINGS = {
    "group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000", "group.consumer.session.timeout.ms": str(SESSION_MS),
    "group.consumer.min.heartbeat.interval.ms": "100", "group.consumer.heartbeat.interval.ms": "500",
}


class Case(NamedTuple):
    clients: str  # one, or several that share the group
    protocol: str
    strategy: str
    commit: str
    static: bool = False
    tiered: bool = False

    @property
    def name(self):
        words = [self.clients.replace(",", "+"), self.protocol, self.strategy, "static" if self.static else "",
                 f"{self.commit} commits", "cold" if self.tiered else ""]
        return " ".join(word for word in words if word)


CASES = (
    Case("java", "classic", "range", "sync", tiered=True),
    Case("java", "classic", "cooperative-sticky", "auto"),
    Case("java", "classic", "range", "async", static=True),
    Case("java", "consumer", "uniform", "sync"),
    Case("java", "consumer", "range", "auto", static=True, tiered=True),
    Case("librdkafka", "classic", "range", "sync", tiered=True),
    Case("librdkafka", "classic", "roundrobin", "async"),
    Case("librdkafka", "classic", "cooperative-sticky", "auto"),
    Case("librdkafka", "classic", "range", "sync", static=True),
    Case("librdkafka", "consumer", "uniform", "sync", tiered=True),
    Case("librdkafka", "consumer", "range", "async", static=True),
    Case("librdkafka-c", "classic", "cooperative-sticky", "sync"),
    Case("librdkafka-c", "consumer", "uniform", "auto", tiered=True),
    Case("librdkafka-c", "consumer", "range", "sync", static=True),
    Case("librdkafka-rust", "classic", "range", "async", tiered=True),
    Case("librdkafka-rust", "classic", "roundrobin", "auto", static=True),
    Case("librdkafka-rust", "consumer", "uniform", "sync"),
    Case("franz-go", "classic", "cooperative-sticky", "sync", tiered=True),
    Case("franz-go", "classic", "range", "auto", static=True),
    Case("franz-go", "consumer", "uniform", "async"),
    Case("kafka-python", "classic", "range", "sync"),
    Case("kafka-python", "classic", "cooperative-sticky", "async", tiered=True),
    Case("kafka-python", "classic", "range", "auto", static=True),
    Case("aiokafka", "classic", "range", "auto", tiered=True),
    Case("aiokafka", "classic", "sticky", "async"),
    Case("aiokafka", "classic", "roundrobin", "sync", static=True),
    Case("kafkajs", "classic", "roundrobin", "auto"),
    Case("kafkajs", "classic", "roundrobin", "sync", tiered=True),
    Case("java,librdkafka,franz-go,kafka-python,aiokafka", "classic", "range", "sync"),
    Case("java,librdkafka-c,franz-go,librdkafka-rust", "consumer", "uniform", "auto"),
)
# Clients that go on by themselves when the broker dies under them.
KILLED = (
    Case("librdkafka", "classic", "range", "auto"), Case("java", "classic", "cooperative-sticky", "sync"),
    Case("librdkafka", "consumer", "uniform", "sync"), Case("java", "consumer", "uniform", "async"),
    Case("franz-go", "consumer", "range", "sync"), Case("librdkafka-c", "consumer", "range", "async"),
    Case("librdkafka-rust", "classic", "cooperative-sticky", "sync"),
)


def run(report: Report, options) -> None:
    print(f"subscribe: seed {options.seed}", flush=True)
    cases = list(CASES)
    if options.long:
        cases += [case._replace(tiered=not case.tiered) for case in CASES]
    with started(options, "subscribe") as broker:
        groups = [Group(broker, options, case) for case in cases]
        side_by_side(report, [group for group in groups if report.wanted(group.label)])
    with started(options, "subscribe-killed") as broker:
        downfall = Downfall(broker, options, 5 if options.long else 2)
        groups = [Group(broker, options, case, downfall) for case in KILLED]
        downfall.groups = [group for group in groups if report.wanted(group.label)]
        side_by_side(report, downfall.groups, downfall)


@contextlib.contextmanager
def started(options, name, more=None):
    tiered = {"tiered": True} if options.broker == "kafka" else {}
    with store.make("files", options.work_dir / f"{name}-store") as objects:
        settings = SETTINGS | (more or {}) | (objects.settings() if options.broker == "stratalog" else {})
        with brokers.make(options.broker, options.work_dir / name, settings=settings, **tiered) as broker:
            yield broker


def side_by_side(report, groups, downfall=None) -> None:
    """Advances up to LANES groups at a time (all, where they wait for each other), and reports each as it ends."""
    waiting, running = list(groups), []
    while waiting or running:
        while waiting and (downfall or len(running) < LANES):
            running.append(waiting.pop(0))
        for group in list(running):
            if group.advance():
                running.remove(group)
                report.case(group.label, group.result)
        if downfall:
            downfall.advance()
        time.sleep(0.02)


class Downfall:
    """Kills the broker when every group is ready for it, `times` times."""

    def __init__(self, broker, options, times):
        self.broker, self.times, self.done, self.groups = broker, times, 0, []
        self.random = random.Random(options.seed)

    def advance(self):
        groups = [group for group in self.groups if not group.over]
        if groups and self.done < self.times and all(group.braced for group in groups):
            time.sleep(self.random.uniform(0, 1))
            self.broker.kill()
            self.broker.restart()
            self.done += 1


class Group:
    """One group on a topic of its own, from its first member to the judgement."""

    suite = "subscribe"

    def __init__(self, broker, options, case: Case, downfall=None):
        self.broker, self.options, self.case, self.downfall = broker, options, case, downfall
        self.random = random.Random(f"{options.seed}/{case.name}")
        self.label = f"{self.suite}/{case.name}{', the broker killed in between' if downfall else ''}"
        self.name = self.label.translate(str.maketrans(" ,+/", "----")).replace("--", "-")
        self.members, self.here = [], {}
        self.stop_producing = threading.Event()
        self.ends = [0] * PARTITIONS
        self.over, self.braced, self.began = False, False, None
        self.outcome = "never ran"
        self.steps = self.live()

    def advance(self) -> bool:
        """One look; True when it is over."""
        self.began = self.began or time.monotonic()
        try:
            next(self.steps)
            return False
        except StopIteration as end:
            self.outcome = end.value
        except Exception as error:  # reported as its case
            self.outcome = error
        self.over = True
        self.stop_producing.set()
        for member in self.here.values():
            member.kill()
        return True

    def result(self):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def live(self):
        configs = {"retention.ms": "-1"}  # the records are old
        if self.case.tiered:
            configs |= {"remote.storage.enable": "true", "segment.bytes": str(1 << 20)}
        if self.case.tiered and self.options.broker == "kafka":
            configs |= {"local.retention.bytes": "1"}
        with Connection(self.broker.bootstrap) as connection:
            check(connection.create_topic(self.name, PARTITIONS, configs) == 0, "CreateTopics failed")
        producer = threading.Thread(target=self.produce, daemon=True)
        if self.case.tiered:
            yield from self.sink()
        producer.start()
        for _ in range(max(2, self.case.clients.count(",") + 1)):
            self.come()
        yield from self.settled()
        for act in self.plan():
            yield from act()
            if self.random.random() < 0.5:
                yield from self.settled()
            yield from self.wait(self.random.uniform(0.1, 0.8))
        yield from self.settled()
        self.stop_producing.set()
        producer.join()
        yield from self.until(lambda: not missing(self.ends, self.members),
                              lambda: f"never processed: {missing(self.ends, self.members)[:10]}")
        for member in self.here.values():
            member.leave()
        for index in list(self.here):
            yield from self.gone(self.here.pop(index))
        claims = judge(self.members)
        owners = sum(any(event["event"] == "given" and event["partitions"] for event in member.events)
                     for member in self.members)
        check(owners >= 3 and claims > PARTITIONS, f"{owners} owners, {claims} claims: nothing was shown")
        return (f"{sum(self.ends)} records, {len(self.members)} members, {claims} claims, "
                f"{time.monotonic() - self.began:.1f} s")

    def plan(self):
        if self.downfall:
            return [self.brace] * self.downfall.times + [self.crash, self.go]
        acts = [self.pause, self.crash, self.freeze, self.go] + [self.bury] * self.case.tiered
        if self.options.long:
            acts = acts * 2 + [self.join, self.expel]
        self.random.shuffle(acts)
        return [self.join, *acts]

    # What happens to members.

    def come(self, index=None):
        index = len(self.members) if index is None else index
        clients = self.case.clients.split(",")
        protocol, strategy = self.speech(index)
        job = {"client": clients[index % len(clients)], "bootstrap": self.broker.bootstrap, "group": self.name,
               "topic": self.name, "protocol": protocol, "strategy": strategy, "commit": self.case.commit,
               "instance": f"i{index}" if self.case.static else None, "session_ms": SESSION_MS}
        log = self.options.work_dir / f"{self.name}-{len(self.members)}.log"
        self.here[index] = Member(job, f"{job['client']} {index}", log)
        self.members.append(self.here[index])

    def speech(self, index):
        """The protocol and the strategy of the member that comes."""
        return self.case.protocol, self.case.strategy

    def join(self):
        """One more, who gets its share."""
        self.come()
        if len(self.here) <= PARTITIONS:
            newcomer = self.members[-1]
            yield from self.until(newcomer.owned, lambda: f"{newcomer.who} is given nothing: {self.standing()}")

    def crash(self):
        """kill -9; another comes, or the same again where members are static. The consumer protocol lets nobody
        have the instance id of a member who did not leave, until its session is over: UNRELEASED_INSTANCE_ID is
        fatal to clients."""
        index = self.one()
        self.here.pop(index).kill()
        held_s = SESSION_MS / 1000 + 2 if self.case.static and self.case.protocol == "consumer" else 0
        yield from self.wait(held_s + self.random.uniform(0, 0.5))
        self.come(index if self.case.static else None)

    def go(self):
        index = self.one()
        member = self.here.pop(index)
        member.leave()
        yield from self.gone(member)
        if self.case.static and self.random.random() < 0.5:
            self.come(index)
        elif len(self.here) < 2:
            self.come()

    def pause(self):
        """It stays a member and polls, without taking records."""
        member = self.here[self.one()]
        member.order("pause")
        yield from self.wait(self.random.uniform(0.5, 2))
        member.order("resume")

    def freeze(self):
        """The whole process stands still, for less than its session."""
        member = self.here[self.one()]
        member.freeze()
        yield from self.wait(self.random.uniform(0.5, 2))
        member.thaw(expelled=False)

    def expel(self):
        """It stands still until the group has gone on without it, and comes back believing that it is a member."""
        member = self.here[self.one()]
        member.freeze()
        yield from self.wait(SESSION_MS / 1000 * 2)
        member.thaw(expelled=True)

    def brace(self):
        """In the middle of a rebalance the broker is killed; then everybody goes on."""
        self.come()
        done = self.downfall.done
        self.braced = True
        yield from self.until(lambda: self.downfall.done > done, lambda: "the broker was not killed")
        self.braced = False
        yield from self.settled()

    def one(self):
        return self.random.choice(sorted(self.here))

    def gone(self, member):
        yield from self.until(member.left, lambda: f"{member.who} did not leave: {member.tail()}")

    # What is waited for.

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield

    def until(self, condition, complaint):
        deadline = time.monotonic() + SETTLES_S
        while not condition():
            check(time.monotonic() < deadline, f"{complaint()} ({SETTLES_S} s)")
            for member in self.here.values():
                check(member.leaving or not member.left(), "")
            yield from self.wait(0.1)

    def settled(self):
        """Every partition has one owner, who processes what is produced from now on. That a member says that it owns
        a partition is not enough: after the broker's death it says so until it hears otherwise."""
        since = list(self.ends)

        def settled():
            owned = [(partition, member) for member in self.here.values() for partition in member.owned()]
            return sorted(partition for partition, _ in owned) == list(range(PARTITIONS)) and all(
                member.latest.get(partition, -1) >= since[partition] for partition, member in owned)

        yield from self.until(settled, lambda: f"not settled: {self.standing()}")

    def standing(self):
        return {member.who: sorted(member.owned()) for member in self.here.values()}

    # Records.

    def produce(self):
        records = batch([b"x"] * 5)
        while not self.stop_producing.is_set():
            try:
                with Connection(self.broker.bootstrap) as connection:
                    while not self.stop_producing.wait(0.05):
                        partition = self.random.randrange(PARTITIONS)
                        self.append(connection, partition, records, 5)
            except Exception:  # the broker is down: a batch whose answer is lost may be there, and is counted or not
                time.sleep(0.1)

    def append(self, connection, partition, records, count):
        error, offset = connection.produce(self.name, partition, records)
        if error == 0:
            self.ends[partition] = max(self.ends[partition], offset + count)
        return error == 0

    def sink(self):
        """A history of some segments in each partition, of which only the tier has a copy when members come."""
        records = batch([b"x" * 20_000] * 30)
        with Connection(self.broker.bootstrap) as connection:
            for partition in range(PARTITIONS):
                for _ in range(4):  # right after its creation a partition may have no leader yet
                    yield from self.until(lambda: self.append(connection, partition, records, 30),
                                          lambda: f"partition {partition} takes no records")
            yield from self.bury()
            cold = lambda: all(connection.offset_at(self.name, partition, -4) > 0 for partition in range(PARTITIONS))
            yield from self.until(cold, lambda: "the history stays on the local disk")

    def bury(self):
        """Everything so far goes to the tier and from the disk. Apache Kafka does so by itself."""
        for command in (("flush", "--wait"), ("evict",)) if self.options.broker == "stratalog" else ():
            child = processes.spawn(self.broker.tier_command(command[0], "--topic", self.name, *command[1:]),
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    env=brokers.plain_environment())
            yield from self.until(lambda: child.poll() is not None, lambda: f"tier {command[0]} does not end")
            processes.forget(child)
            check(child.returncode == 0, f"tier {command[0]} ended with {child.returncode}")
