"""The workloads of groups: commits, joins, rebalances, idle groups, a restart. `run` prints them with the others.

Durability is equal unless a row says otherwise: Kafka's offsets topic gets `flush.messages=1`, which ours has. Members
heartbeat more often than clients do, so that the brokers' work shows beside the waiting; equal on both. The load
generator reads the broker's CPU at both ends of what it measures, without what it sets up.
"""

import json
import subprocess
import time

from harness import processes

GOALS = ("commits", "joins", "rebalances", "idle", "restart")
OFFSETS_TOPIC = "__consumer_offsets"
NEVER = str((1 << 63) - 1)
# The timers that make a group wait for more members: none, and as Kafka comes.
NO_DELAY = {"group.initial.rebalance.delay.ms": "0", "group.consumer.assignment.interval.ms": "0"}
KAFKAS_DELAY = {"group.initial.rebalance.delay.ms": "3000", "group.consumer.assignment.interval.ms": "1000"}
HEARTBEAT_MS = 100
PARTITIONS_PER_GROUP = 100
PROTOCOLS = ("classic", "consumer")
COST = (("cpu_s", "{:.2f} CPU s"), ("rss_mib", "{:,.0f} MiB"))


class Groups:
    def __init__(self, bench, row):
        self.bench, self.options, self.row = bench, bench.options, row
        self.names = 0

    def measure(self, goals):
        """Those of `GOALS` that are named."""
        warm = [goal for goal in ("commits", "joins", "rebalances", "idle") if goal in goals]
        if warm:
            with self.bench.pair("groups", NO_DELAY):
                self.prepare("commits", 1)
                for goal in warm:
                    self.sync_commits(kafka=True, stratalog=True)
                    getattr(self, goal)()
        if "joins" in goals:
            with self.bench.pair("groups-delayed", KAFKAS_DELAY):
                self.prepare("commits", 1)
                self.sync_commits(kafka=True, stratalog=True)
                self.joins("Kafka's delays", warm_ups=0)
        if "restart" in goals:
            with self.bench.pair("groups-restart", NO_DELAY):
                self.restart()

    def name(self, prefix):
        self.names += 1
        return f"{prefix}-{self.names}"

    def prepare(self, topic, partitions):
        """The topic on both, with a record in each partition, and coordinators that answer."""
        for contender in self.bench.contenders:
            contender.create(topic, partitions)
            self.bench.ask_loadgen("prepare", contender, topic=topic, partitions=partitions)

    def sync_commits(self, **synced):
        for contender in self.bench.contenders:
            value = "1" if synced[contender.kind] else NEVER
            self.bench.ask_loadgen("configure", contender, topic=OFFSETS_TOPIC, name="flush.messages", value=value)

    def load(self, command, contender, **arguments):
        return self.bench.ask_loadgen(command, contender, broker_pid=contender.broker.pid, **arguments)

    def commits(self):
        durability = (("each synced", 1.0, {"kafka": True, "stratalog": True}),
                      ("no sync", 1.0, {"kafka": False, "stratalog": False}),
                      ("Kafka without sync, Stratalog synced", None, {"kafka": False, "stratalog": True}))
        for how, bar, synced in durability:
            self.sync_commits(**synced)
            for connections, groups in ((1, 1), (64, self.options.groups)):
                def body(contender):
                    run = self.load("commits", contender, topic="commits", connections=connections, groups=groups,
                                    seconds=self.options.seconds)
                    return run | {"cpu_us": run["cpu_s"] / max(run["commits"], 1) * 1e6}

                name = f"commits, {counted(connections, 'connection')}, {counted(groups, 'group')}, {how}"
                extras = (("cpu_us", "{:,.0f} us CPU each"), ("p50_ms", "p50 {:.2f} ms"), ("p99_ms", "p99 {:.1f} ms"),
                          ("rss_mib", "{:,.0f} MiB"))
                self.bench.alternate(self.row(name, bar, "commits_s", "/s", extras=extras), body, 1 << 20)

    def joins(self, delay="no delay", warm_ups=1):
        for members in sorted({size for size in (1, 50, self.options.members) if size <= self.options.members}):
            topic = f"join-{members}"
            self.prepare(topic, members)
            for protocol in PROTOCOLS:
                def body(contender):
                    return self.load("join", contender, topic=topic, group=self.name("join"), protocol=protocol,
                                     members=members, heartbeat_ms=HEARTBEAT_MS)

                name = f"join until all read, {counted(members, 'member')}, {protocol}, {delay}"
                extras = (("first_ms", "first {:.1f} ms"), *COST)
                self.bench.alternate(self.row(name, 1.0, "all_ms", "ms", True, extras), body, 1 << 20, warm_ups)

    def rebalances(self):
        members = self.options.members
        self.prepare("rebalance", 2 * members)
        for protocol in PROTOCOLS:
            def body(contender):
                return self.load("rebalance", contender, topic="rebalance", group=self.name("rebalance"),
                                 protocol=protocol, members=members, heartbeat_ms=HEARTBEAT_MS)

            name = f"rebalance of {counted(members, 'member')}, {protocol}"
            joins = self.row(f"{name}: one joins", 1.0, "join_ms", "ms", True, COST)
            self.bench.alternate(joins, body, 1 << 20)
            self.bench.rows.append(self.row(f"{name}: one leaves", 1.0, "leave_ms", "ms", True, (), joins.runs))

    def idle(self):
        self.prepare("idle", 1)
        # As often as clients do.
        for protocol, heartbeat_ms in zip(PROTOCOLS, (3000, 5000)):
            def body(contender):
                return self.load("idle", contender, topic="idle", group=self.name("idle"), protocol=protocol,
                                 groups=self.options.groups, heartbeat_ms=heartbeat_ms,
                                 seconds=self.options.idle_seconds)

            name = f"{counted(self.options.groups, 'idle group')} for {self.options.idle_seconds} s, {protocol}"
            cpu = self.row(f"{name}: CPU", 1.0, "cpu_s", "s", True, (("heartbeats", "{:,.0f} heartbeats"),))
            self.bench.alternate(cpu, body, 1 << 20, warm_ups=0)
            self.bench.rows.append(self.row(f"{name}: memory", 0.1, "rss_mib", "MiB", True, (), cpu.runs))

    def restart(self):
        groups = max(self.options.offsets // PARTITIONS_PER_GROUP, 1)
        asked = {"groups": groups, "partitions": PARTITIONS_PER_GROUP}
        self.prepare("restart", PARTITIONS_PER_GROUP)
        for contender in self.bench.contenders:
            self.bench.ask_loadgen("fill_offsets", contender, topic="restart", **asked)

        for after in ("a clean stop", "kill -9"):
            def body(contender):
                contender.broker.stop() if after == "a clean stop" else contender.broker.kill()
                command = self.bench.load_command("first_offset", contender, since_ns=time.time_ns(), **asked)
                waiting = processes.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                contender.broker.restart()
                out, err = waiting.communicate(timeout=300)
                processes.forget(waiting)
                if waiting.returncode:
                    raise RuntimeError(f"{contender.label}: {err}")
                pid = contender.broker.pid
                rss_mib = processes.rss_bytes(pid) / (1 << 20)
                return json.loads(out) | {"cpu_s": processes.cpu_seconds(pid), "rss_mib": rss_mib}

            name = f"restart with {groups * PARTITIONS_PER_GROUP:,} committed offsets after {after}"
            extras = (("all_ms", "all groups {:,.0f} ms"), *COST)
            first = self.row(f"{name}: first answer", 1.0, "first_ms", "ms", True, extras)
            self.bench.alternate(first, body, 1 << 20, warm_ups=0)
            self.bench.rows.append(self.row(f"{name}: memory", 0.1, "rss_mib", "MiB", True, (), first.runs))


def counted(count, noun):
    return f"{count:,} {noun}{'s' * (count > 1)}"
