"""Consumers that subscribe: they come, go, crash and are restarted, and the broker with them, while records flow.

Shown at the end: every record was processed, the order within a partition held for whoever owned it, and no two members
owned a partition at a time (a member that was killed, or that says it lost its partitions, owns nothing from then on).
"""

import json
import random
import subprocess
import threading
import time

from harness import broker as brokers, processes, tools
from harness.report import Report, check
from harness.wire import Connection, batch

PARTITIONS = 6
# Apache Kafka needs most of a minute after kill -9 before it leads again.
SETTLES_S = 150


def run(report: Report, options) -> None:
    print(f"subscribe: seed {options.seed}", flush=True)
    settings = {"group.initial.rebalance.delay.ms": "0"}
    with brokers.make(options.broker, options.work_dir / "subscribe", settings=settings) as broker:
        for client, strategy, static, commit in (
            ("librdkafka", "range", False, "sync"), ("librdkafka", "roundrobin", False, "async"),
            ("librdkafka", "cooperative-sticky", False, "auto"), ("librdkafka", "range", True, "sync"),
            ("kafka-python", "range", False, "sync"), ("kafka-python", "range", True, "auto"),
        ):
            name = f"subscribe/{client} {strategy}{' static' if static else ''} {commit} commits"
            report.case(name, Subscribe(broker, options, client, strategy, static, commit).run)
        report.case("subscribe/librdkafka range, the broker killed in between",
                    Subscribe(broker, options, "librdkafka", "range", False, "auto", kills=2).run)


class Member:
    """One process; its events are read as they come."""

    def __init__(self, job):
        command = tools.python_client("member")
        self.process = processes.spawn([*command, json.dumps(job)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
        self.events, self.killed_at = [], None
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if line.startswith(b"{") and line.endswith(b"}\n"):
                self.events.append(json.loads(line))

    def kill(self):
        processes.stop(self.process, kill=True)
        self.killed_at = time.monotonic_ns()

    def end(self):
        if self.killed_at is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("a member did not end in 30 s") from None
            processes.forget(self.process)
            check(self.process.returncode == 0, self.process.stderr.read().decode(errors="replace")[-1500:])

    def owned(self):
        owned = set()
        for event in list(self.events):
            if event["event"] == "given":
                owned |= set(event["partitions"])
            elif event["event"] in ("taken", "lost"):
                owned -= set(event["partitions"])
        return owned

    def spans(self):
        """(partition, from, until) of everything it owned."""
        open_at, spans = {}, []
        for event in self.events:
            if event["event"] == "given":
                for partition in event["partitions"]:
                    open_at.setdefault(partition, event["at"])
            elif event["event"] in ("taken", "lost", "ended"):
                for partition in event.get("partitions", list(open_at)):
                    if partition in open_at:
                        spans.append((partition, open_at.pop(partition), event["at"]))
        last = self.killed_at or (self.events[-1]["at"] if self.events else 0)
        return spans + [(partition, at, last) for partition, at in open_at.items()]


class Subscribe:
    def __init__(self, broker, options, client, strategy, static, commit, kills=0):
        self.broker, self.client, self.strategy, self.static, self.commit = broker, client, strategy, static, commit
        self.kills, self.random = kills, random.Random(options.seed)
        self.name = f"subscribe-{client}-{strategy}-{static}-{commit}-{kills}"
        self.members, self.here = [], {}
        self.stop_producing = threading.Event()
        self.ends = [0] * PARTITIONS

    def run(self):
        with Connection(self.broker.bootstrap) as connection:
            check(connection.create_topic(self.name, PARTITIONS) == 0, "CreateTopics failed")
        producer = threading.Thread(target=self.produce, daemon=True)
        producer.start()
        try:
            for index in range(3):
                self.come(index)
            self.settle()
            for turn in range(6):
                self.shake(turn)
            self.settle()
            self.stop_producing.set()
            producer.join()
            self.drain()
        except BaseException:
            self.stop_producing.set()
            for member in self.here.values():
                member.kill()
            raise
        for member in self.here.values():
            member.end()
        self.judge()
        rebalances = sum(event["event"] == "given" for member in self.members for event in member.events)
        return f"{sum(self.ends)} records, {len(self.members)} members, {rebalances} assignments"

    def come(self, index):
        job = {"client": self.client, "bootstrap": self.broker.bootstrap, "group": self.name, "topic": self.name,
               "strategy": self.strategy, "instance": f"i{index}" if self.static else None, "commit": self.commit}
        self.here[index] = Member(job)
        self.members.append(self.here[index])

    def shake(self, turn):
        index = self.random.choice(sorted(self.here))
        if self.kills and turn in (1, 4):
            self.come(max(self.here) + 1)
            time.sleep(0.3)
            self.broker.kill()
            self.broker.restart()
            # Members that leave want an answer.
            self.settle()
        elif turn % 3 == 0:
            self.come(max(self.here) + 1)
        elif turn % 3 == 1:
            self.here.pop(index).kill()
            if self.static:
                self.come(index)
        else:
            self.here.pop(index).end()
        time.sleep(self.random.uniform(0.2, 1.5))

    def settle(self):
        """Every partition is owned, by one member each."""
        deadline = time.monotonic() + SETTLES_S
        while True:
            owned = sorted(partition for member in self.here.values() for partition in member.owned())
            if owned == list(range(PARTITIONS)):
                return
            check(time.monotonic() < deadline, f"not settled after {SETTLES_S} s: {owned}")
            time.sleep(0.1)

    def produce(self):
        while not self.stop_producing.is_set():
            try:
                with Connection(self.broker.bootstrap) as connection:
                    while not self.stop_producing.wait(0.02):
                        partition = self.random.randrange(PARTITIONS)
                        error, offset = connection.produce(self.name, partition, batch([b"x"] * 5))
                        if error == 0:
                            self.ends[partition] = max(self.ends[partition], offset + 5)
            except Exception:  # the broker is down: a batch whose answer is lost may be there, and is counted or not
                time.sleep(0.1)

    def drain(self):
        deadline = time.monotonic() + SETTLES_S
        while self.missing():
            check(time.monotonic() < deadline, f"never processed: {self.missing()[:10]}")
            time.sleep(0.2)

    def missing(self):
        seen = {tuple(record) for member in self.members for event in list(member.events)
                for record in event.get("records", ())}
        return [(partition, offset) for partition, end in enumerate(self.ends) for offset in range(end)
                if (partition, offset) not in seen]

    def judge(self):
        spans = sorted((span, who) for who, member in enumerate(self.members) for span in member.spans())
        for ((partition, _, until), who), ((other, since, _), next_one) in zip(spans, spans[1:]):
            check(partition != other or who == next_one or since >= until,
                  f"partition {partition} was {who}'s and {next_one}'s for {(until - since) / 1e6:.1f} ms")
        for member in self.members:
            at = {}
            for event in member.events:
                if event["event"] in ("given", "taken", "lost"):
                    for partition in event["partitions"]:
                        at.pop(partition, None)
                for partition, offset in event.get("records", ()):
                    check(offset > at.get(partition, -1), f"{partition}: {offset} after {at.get(partition)}")
                    at[partition] = offset
