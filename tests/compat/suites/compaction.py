"""The same produced history compacted by Apache Kafka and by us: the same records, batches, tombstones and markers stay.

Apache Kafka takes the history, with real transactions, while cleaning is held back. Its partitions' files are copied
into our topics' directories, so both begin with the same bytes. Then both clean, twice more after records that only
close a segment, so that delete horizons pass. After each round the files of both are read by Apache's own
DumpLogSegments, and the topics by a consumer of read_uncommitted, which sees aborted records too.
"""

import json
import pathlib
import re
import shutil
import time

from harness import broker as brokers, clients, processes, tools, wire
from harness.report import Report, check

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
KINDS = ("plain", "idempotent", "transactions")
TIMEOUT_S = 300
# What comes with a batch and must be the same; where a batch lies and what it weighs may differ.
BATCH = re.compile(
    r"^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) baseSequence: (-?\d+) lastSequence: (-?\d+) producerId: (-?\d+) "
    r"producerEpoch: (-?\d+) partitionLeaderEpoch: (-?\d+) isTransactional: (\w+) isControl: (\w+) "
    r"deleteHorizonMs: (\S+) position: \d+ (\w+): (-?\d+) size: \d+ magic: (\d+) compresscodec: (\w+) crc: \d+ "
    r"isvalid: (\w+)$")
RECORD = re.compile(r"^\| offset: (\d+) (.*)$")

CONFIGS = {"cleanup.policy": "compact", "segment.bytes": str(1 << 20), "min.cleanable.dirty.ratio": "1.0",
           "delete.retention.ms": "0", "max.message.bytes": str(1 << 20)}


def run(report: Report, options) -> None:
    if options.broker != "stratalog":
        return
    tools.need("java")
    scratch = options.work_dir / "compaction"
    Compaction(report, options, scratch).run()


class Compaction:
    def __init__(self, report, options, scratch):
        self.report, self.options, self.scratch = report, options, scratch
        scratch.mkdir(parents=True)
        broker = {"log.cleaner.backoff.ms": "200", "log.retention.check.interval.ms": "300000"}
        self.kafka = brokers.make("kafka", scratch / "kafka", settings=broker)
        self.ours = brokers.make("stratalog", scratch / "ours", settings=broker)
        self.topics = [f"{kind}-{codec}" for kind in KINDS for codec in CODECS]

    both = property(lambda self: (self.kafka, self.ours))

    def run(self):
        try:
            self.prepare()
            for turn, name in enumerate(("the first cleaning", "the second, horizons set", "the third, horizons passed")):
                if turn:
                    self.close_segments(turn)
                self.clean()
                for topic in self.topics:
                    self.report.case(f"compaction/{topic}, {name}: the same batches and records", self.compare, topic)
                self.report.case(f"compaction/{name}: a consumer gets the same", self.consume)
        finally:
            for broker in self.both:
                broker.stop()

    def prepare(self):
        for broker in self.both:
            broker.start()
            with wire.Connection(broker.bootstrap) as connection:
                for topic in self.topics:
                    error = connection.create_topic(topic, 1, CONFIGS)
                    check(error == 0, f"{broker.name}: CreateTopics {topic} answered {error}")
        time.sleep(1)
        jobs = [{"op": "produce", "topic": topic, "codec": topic.split("-")[1], "kind": topic.split("-")[0],
                 "seed": self.options.seed + at, "first": 0, "keys": 60, "batches": 100, "value_bytes": 5000}
                for at, topic in enumerate(self.topics)]
        self.history(self.kafka, jobs)
        for broker in self.both:
            broker.stop()
        for topic in self.topics:
            self.copy(topic)
        # Ours recovers what it finds; Kafka's own start trusts its clean stop.
        (self.ours.data_dir / ".kafka_cleanshutdown").unlink()
        for broker in self.both:
            broker.restart()

    def copy(self, topic):
        source, target = self.kafka.data_dir / f"{topic}-0", self.ours.data_dir / f"{topic}-0"
        for file in target.iterdir():
            if file.name != "partition.metadata":
                file.unlink()
        for file in source.iterdir():
            if file.name != "partition.metadata":
                shutil.copy(file, target)
        check(len(list(target.glob("*.log"))) > 2, f"{topic}: only {len(list(target.glob('*.log')))} segments to clean")

    def history(self, broker, jobs):
        plan = self.scratch / "plan.jsonl"
        plan.write_text("".join(json.dumps(job | {"bootstrap": broker.bootstrap}) + "\n" for job in jobs))
        done = processes.run([*tools.python_client("history"), str(plan)], TIMEOUT_S)
        check(done.returncode == 0, f"history: {done.stderr[-1500:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def close_segments(self, turn):
        """The same few records to both, large enough to close the active segment."""
        fillers = []
        for part in range(4):
            value = bytes([turn, part]) * 150_000
            fillers.append(wire.batch([value], payload=wire.record(0, f"filler {part}".encode(), value)))
        for broker in self.both:
            with wire.Connection(broker.bootstrap) as connection:
                for topic in self.topics:
                    for records in fillers:
                        error, _ = connection.produce(topic, 0, records)
                        check(error == 0, f"{broker.name}: produce to {topic} answered {error}")

    def clean(self):
        """Lets both clean what is dirty, and holds cleaning back again."""
        for broker in self.both:
            self.history(broker, [{"op": "alter", "topics": self.topics,
                                   "configs": {"min.cleanable.dirty.ratio": "0.0"}}])
        deadline = time.monotonic() + TIMEOUT_S
        waiting = [(broker, topic) for broker in self.both for topic in self.topics]
        while waiting:
            waiting = [(broker, topic) for broker, topic in waiting if not is_clean(broker.data_dir, topic)]
            check(time.monotonic() < deadline, f"not clean after {TIMEOUT_S} s: "
                                               f"{[(broker.name, topic) for broker, topic in waiting]}")
            time.sleep(0.2)
        for broker in self.both:
            self.history(broker, [{"op": "alter", "topics": self.topics,
                                   "configs": {"min.cleanable.dirty.ratio": "1.0"}}])
        # Old files of Kafka's wait under other names; both have written their checkpoints.
        time.sleep(0.5)

    def compare(self, topic):
        theirs, ours = dump(self.kafka.data_dir, topic), dump(self.ours.data_dir, topic)
        differences = [f"Kafka {left}\n     ours  {right}" for left, right in zip(theirs, ours) if left != right]
        check(not differences and len(theirs) == len(ours),
              f"{len(theirs)} lines of Kafka's, {len(ours)} of ours\n     " + "\n     ".join(differences[:3]))
        batches = [line for line in ours if line[0] == "batch"]
        records = [line for line in ours if line[0] == "record"]
        empty = sum(1 for line in batches if line[3] == "0")
        tombstones = sum(1 for line in records if "valueSize: -1" in line[2])
        markers = sum(1 for line in records if "endTxnMarker" in line[2])
        return f"{len(batches)} batches ({empty} empty), {len(records)} records ({tombstones} tombstones, {markers} markers)"

    def consume(self):
        job = {"op": "consume", "topics": self.topics}
        (theirs,), (ours,) = self.history(self.kafka, [job]), self.history(self.ours, [job])
        for topic in self.topics:
            check(theirs[topic] == ours[topic], f"{topic}: {len(theirs[topic])} records of Kafka's, {len(ours[topic])} of "
                                                f"ours, or not the same")
        return f"{sum(len(records) for records in ours.values())} records"


def is_clean(data_dir: pathlib.Path, topic: str) -> bool:
    """Whether the cleaner's checkpoint has reached the active segment."""
    checkpoint = data_dir / "cleaner-offset-checkpoint"
    if not checkpoint.exists():
        return False
    points = {tuple(line.split()[:2]): int(line.split()[2]) for line in checkpoint.read_text().splitlines()[2:]}
    active = max(int(file.stem) for file in (data_dir / f"{topic}-0").glob("*.log"))
    return points.get((topic, "0"), -1) >= active


def dump(data_dir: pathlib.Path, topic: str) -> list[tuple]:
    """What Apache's DumpLogSegments tells of a topic's partition: batches and records in order."""
    files = sorted((data_dir / f"{topic}-0").glob("*.log"))
    command = tools.java_command("org.apache.kafka.tools.DumpLogSegments", "--print-data-log", "--files",
                                 ",".join(map(str, files)))
    done = processes.run(command, TIMEOUT_S)
    check(done.returncode == 0, f"DumpLogSegments: {done.stderr[-1500:]}")
    lines = []
    for line in done.stdout.splitlines():
        if found := BATCH.match(line):
            fields = list(found.groups())
            # What came after the copy has the leader epochs of each broker's own starts.
            fields[7] = "0" if fields[7] == "0" else "later"
            fields[10] = "set" if fields[10].startswith("OptionalLong[") else "none"
            check(fields[15] == "true", f"{data_dir}: {line}")
            lines.append(("batch", *fields))
        elif found := RECORD.match(line):
            lines.append(("record", found.group(1), found.group(2)))
        elif line.startswith("baseOffset"):
            raise AssertionError(f"a line that is not known: {line}")
    return lines
