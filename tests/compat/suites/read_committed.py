"""read_committed of a history that Apache Kafka took: what its consumers saw there they see here.

Apache Kafka takes transactions of several producers that overlap, aborted and committed, and one that is left open.
Java, librdkafka and franz-go read the topics with read_committed. Kafka stops, the partitions' files are taken over,
and each client gets the same bytes again: from disk, from the tier once the local copies are gone, and after a
compaction each key's last record and nothing that it did not get before.
"""

import pathlib
import struct
import time

from harness import clients, tools
from harness.report import Report, check
from suites.compaction import TIMEOUT_S, Compaction

CLIENTS = ("java", "librdkafka", "franz-go")
SEGMENT = {"segment.bytes": str(1 << 20)}
COMPACT = SEGMENT | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1.0", "delete.retention.ms": "0"}
# Topic: its configs, and whether a transaction is left open in it. With one nothing behind it goes to the tier.
TOPICS = {"ended": (SEGMENT, False), "left-open": (SEGMENT, True), "compacted": (COMPACT, True)}


def run(report: Report, options) -> None:
    if options.broker != "stratalog":
        return
    tools.need("java")
    ReadCommitted(report, options, options.work_dir / "read-committed").run()


class ReadCommitted(Compaction):
    def __init__(self, report, options, scratch):
        super().__init__(report, options, scratch)
        self.topics = list(TOPICS)
        self.before, self.looks = {}, 0

    def run(self):
        print(f"read_committed: seed {self.options.seed}", flush=True)
        wanted = [client for client in CLIENTS if client in self.options.clients]
        try:
            self.report.case("read_committed/the history on Apache Kafka", self.history_on_kafka, wanted)
            for client in self.before:
                self.report.case(f"read_committed/{client}, on disk: as on Kafka", self.same, client, self.topics)
            self.report.case("read_committed/moved to the tier", self.move_up)
            for client in self.before:
                self.report.case(f"read_committed/{client}, from the tier: as on Kafka", self.same, client, self.topics)
            self.report.case("read_committed/compacted", self.compact)
            for client in self.before:
                self.report.case(f"read_committed/{client}, compacted: each key's last", self.last_ones, client)
        finally:
            for broker in self.both:
                broker.stop()

    def history_on_kafka(self, wanted):
        for broker in self.both:
            broker.start()
        for topic, (configs, _) in TOPICS.items():
            clients.create_topics(self.kafka.bootstrap, [topic], 1, configs)
            tiered = {"remote.storage.enable": "true"} if "cleanup.policy" not in configs else {}
            clients.create_topics(self.ours.bootstrap, [topic], 1, configs | tiered)
        left_open = [topic for topic, (_, is_left_open) in TOPICS.items() if is_left_open]
        (counts,) = self.history(self.kafka, [{"op": "interleave", "topics": self.topics, "left_open": left_open,
                                               "seed": self.options.seed, "producers": 4, "turns": 200,
                                               "value_bytes": 20_000}])
        for client in wanted:
            self.before[client] = {topic: self.read(self.kafka, client, topic) for topic in self.topics}
        everything = {topic: self.read(self.kafka, "java", topic, "read_uncommitted") for topic in self.topics}
        for topic in self.topics:
            seen = {client: offsets(mine[topic]) for client, mine in self.before.items()}
            one = next(iter(seen.values()))
            check(all(other == one for other in seen.values()), f"{topic}: the clients differ on Kafka itself")
            check(0 < len(one) < len(offsets(everything[topic])), f"{topic}: {len(one)} records, nothing is aborted")
        for broker in self.both:
            broker.stop()
        for topic in self.topics:
            self.copy(topic)
            check(list((self.ours.data_dir / f"{topic}-0").glob("*.txnindex")), f"{topic}: no transaction index came")
        # Ours recovers what it finds; Kafka's own start trusts its clean stop.
        (self.ours.data_dir / ".kafka_cleanshutdown").unlink()
        self.ours.restart()
        return f"{counts['aborted']} aborted, {counts['committed']} committed"

    def read(self, broker, client, topic, isolation="read_committed") -> bytes:
        """All records that the client gets, in the form of clients/python/stream.py."""
        self.looks += 1
        output = self.scratch / f"look-{self.looks}"
        output.mkdir()
        job = {"op": "consume", "topic": topic, "partitions": 1, "output": str(output), "isolation": isolation}
        clients.run(client, broker.bootstrap, [job], self.options.timeout_s)
        return (output / "0").read_bytes()

    def same(self, client, topics):
        count = 0
        for topic in topics:
            before, now = self.before[client][topic], self.read(self.ours, client, topic)
            had, has = offsets(before), offsets(now)
            more, missing = sorted(set(has) - set(had)), sorted(set(had) - set(has))
            check(had == has, f"{topic}: {len(has)} records, not {len(had)}; more {more[:5]}, missing {missing[:5]}")
            check(before == now, f"{topic}: the same offsets, other records")
            count += len(had)
        return f"{count} records"

    def move_up(self):
        self.ours.flush("ended")
        self.ours.evict("ended")
        left = self.logs("ended")
        check(len(left) == 1 and left[0].stat().st_size == 0, f"still on disk: {left}")
        # What lies before the open transaction goes.
        check(len(self.logs("left-open")) > 3, f"only {self.logs('left-open')}")
        self.ours.tier("flush", "--topic", "left-open")
        deadline = time.monotonic() + TIMEOUT_S
        while len(self.logs("left-open")) > 3:
            check(time.monotonic() < deadline, f"still on disk: {self.logs('left-open')}")
            self.ours.evict("left-open")
            time.sleep(0.2)

    def logs(self, topic) -> list[pathlib.Path]:
        return sorted((self.ours.data_dir / f"{topic}-0").glob("*.log"))

    def compact(self):
        """Up to the open transaction: what is behind it is not cleaned."""
        bytes_before = sum(file.stat().st_size for file in self.logs("compacted"))
        configs = {"min.cleanable.dirty.ratio": "0.0"}
        self.history(self.ours, [{"op": "alter", "topics": ["compacted"], "configs": configs}])
        deadline = time.monotonic() + TIMEOUT_S
        while sum(file.stat().st_size for file in self.logs("compacted")) > bytes_before * 2 // 3:
            check(time.monotonic() < deadline, f"not clean after {TIMEOUT_S} s")
            time.sleep(0.2)
        # The swap goes on under other names for a moment.
        time.sleep(1)

    def last_ones(self, client):
        before, now = self.before[client]["compacted"], self.read(self.ours, client, "compacted")
        had, has = records(before), records(now)
        check(set(has.items()) <= set(had.items()), "a record that was not there before")
        check(len(has) < len(had), f"all {len(had)} records are still there")
        check(last_of(has) == last_of(had), "some key's last record is gone, or another")
        return f"{len(has)} records of {len(had)}"


def records(stream: bytes) -> dict[int, tuple]:
    """Offset to timestamp, key and value. The records have no headers."""
    found, at = {}, 0
    while at < len(stream):
        offset, timestamp, key_bytes = struct.unpack_from(">qqi", stream, at)
        at += 20
        key = stream[at:at + key_bytes]
        (value_bytes,) = struct.unpack_from(">i", stream, at + key_bytes)
        at += key_bytes + 4
        found[offset] = (timestamp, key, stream[at:at + value_bytes])
        at += value_bytes + 4
    return found


def offsets(stream: bytes) -> list[int]:
    return list(records(stream))


def last_of(found: dict[int, tuple]) -> dict[bytes, int]:
    return {key: offset for offset, (_, key, _) in sorted(found.items())}
