"""The same bytes produced to the broker and to Apache Kafka: what becomes of codecs and timestamps, which records a refusal
names, offsets by time, and index files, side by side.

Batches are those of real clients (`protocol/tests/golden/records`), sent as they are, with a producer id of their own.
"""

import json
import pathlib
import random
import re
import struct
import time

from harness import broker as brokers, processes, tools
from harness.report import Report, check
from harness.wire import PRODUCE, Connection, array, blob, crc32c, header, string, varint

GOLDEN = brokers.ROOT / "protocol/tests/golden/records"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TARGETS = {
    "producer": {}, "uncompressed": {}, "gzip": {}, "snappy": {}, "lz4": {}, "zstd": {},
    "gzip-1": {"compression.type": "gzip", "compression.gzip.level": "1"},
    "gzip-9": {"compression.type": "gzip", "compression.gzip.level": "9"},
    "lz4-1": {"compression.type": "lz4", "compression.lz4.level": "1"},
    "lz4-12": {"compression.type": "lz4", "compression.lz4.level": "12"},
    "lz4-17": {"compression.type": "lz4", "compression.lz4.level": "17"},
    "zstd-19": {"compression.type": "zstd", "compression.zstd.level": "19"},
    "zstd-fast": {"compression.type": "zstd", "compression.zstd.level": "-5"},
}
NOW = 1_760_000_000_000
DELETE_RECORDS, LIST_OFFSETS = 21, 2
TIMEOUT_S = 120
KEEP = {"retention.ms": "-1"}


def run(report: Report, options) -> None:
    tools.need("java")
    scratch = options.work_dir / "times"
    with brokers.make(options.broker, scratch / "ours") as ours, brokers.make("kafka", scratch / "kafka") as kafka:
        Times(report, ours, kafka, options.seed).run()


def golden(client: str, codec: str, size: str) -> bytes:
    return (GOLDEN / f"{client}-{codec}-{size}.bin").read_bytes()


def by_producer(batch: bytes, producer_id: int) -> bytes:
    """The batch as of another producer's first."""
    checked = batch[21:43] + struct.pack(">qhi", producer_id, 0, 0) + batch[57:]
    return batch[:17] + struct.pack(">I", crc32c(checked)) + checked


def batch_at(times: list[int], value: bytes) -> bytes:
    """An uncompressed batch of records with these times."""
    base = times[0]
    payload = b""
    for delta, time in enumerate(times):
        body = b"\0" + varint(time - base) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
        payload += varint(len(body)) + body
    checked = struct.pack(">hiqqqhii", 0, len(times) - 1, base, max(times), -1, -1, -1, len(times)) + payload
    return struct.pack(">qiibI", 0, 9 + len(checked), -1, 2, crc32c(checked)) + checked


class Asking(Connection):
    def produce_8(self, topic: str, batch: bytes) -> dict:
        """Produce v8, the first that names records: KIP-467."""
        body = string(None) + struct.pack(">hi", -1, 30_000)
        body += array([string(topic) + array([struct.pack(">i", 0) + blob(batch)])])
        answer = self.ask(header(PRODUCE, 8) + body)
        at = 4 + 2 + len(topic.encode()) + 4
        _, error, offset, _, start, count = struct.unpack_from(">ihqqqi", answer, at)
        at += 34
        named = []
        for _ in range(count):
            index, length = struct.unpack_from(">ih", answer, at)
            at += 6 + max(length, 0)
            named.append(index)
        return {"error": error, "offset": offset, "log_start": start, "records": named}

    def at_time(self, topic: str, timestamp: int) -> tuple:
        """ListOffsets v5: error, timestamp, offset. The special ones need later versions."""
        if timestamp < -2:
            body = struct.pack(">ib", -1, 0) + b"\x02" + bytes([len(topic) + 1]) + topic.encode() + b"\x02"
            body += struct.pack(">iiq", 0, -1, timestamp) + b"\0\0\0"
            answer = self.ask(header(LIST_OFFSETS, 8, flexible=True) + body)
            return struct.unpack_from(">hqq", answer, 1 + 4 + 1 + 1 + len(topic) + 1 + 4)
        body = struct.pack(">ib", -1, 0) + array([string(topic) + array([struct.pack(">iiq", 0, -1, timestamp)])])
        answer = self.ask(header(LIST_OFFSETS, 5) + body)
        return struct.unpack_from(">hqq", answer, 4 + 4 + 2 + len(topic) + 4 + 4)

    def delete_below(self, topic: str, offset: int) -> tuple:
        body = array([string(topic) + array([struct.pack(">iq", 0, offset)])]) + struct.pack(">i", 30_000)
        answer = self.ask(header(DELETE_RECORDS, 1) + body)
        return struct.unpack_from(">iqh", answer, 4 + 4 + 2 + len(topic) + 4)


class Times:
    def __init__(self, report, ours, kafka, seed):
        self.report, self.ours, self.kafka, self.seed = report, ours, kafka, seed
        self.both = (ours, kafka)
        self.random = random.Random(f"times/{seed}")
        self.offsets = {}

    def run(self):
        print(f"times: seed {self.seed}", flush=True)
        for name, configs in TARGETS.items():
            self.report.case(f"times/compression.type={name}, all clients and codecs", self.recompress, name,
                             {"compression.type": name} | configs)
        self.report.case("times/compression.type=zstd with LogAppendTime", self.recompress, "append",
                         {"compression.type": "zstd", "message.timestamp.type": "LogAppendTime"})
        self.report.case("times/refusals name the same records", self.refusals)
        self.report.case("times/offsets by time, clocks that jump", self.by_time)
        for broker in self.both:
            code = broker.stop()
            check(code in (0, 143), f"{broker.name} ended with {code}")
        for name in [*TARGETS, "append"]:
            self.report.case(f"times/stored by both, compression.type={name}", self.stored, name)
        self.report.case("times/the indexes agree entry by entry", self.indexes)
        if self.ours.name == "stratalog":
            for broker in self.both:
                self.report.case(f"times/log verify of {broker.name}'s directory", self.verify, broker)

    def ask(self, question, *arguments) -> list:
        """The answers of both, ours first."""
        answers = []
        for broker in self.both:
            with Asking(broker.bootstrap) as connection:
                answers.append(question(connection, *arguments))
        return answers

    def same(self, question, *arguments):
        ours, kafka = self.ask(question, *arguments)
        check(ours == kafka, f"{question.__name__}{arguments[:2]!s:.80}: ours {ours}, Kafka {kafka}")
        return ours

    def topic(self, name, configs):
        check(self.same(Asking.create_topic, name, 1, KEEP | configs) == 0, f"{name} was not created")
        # A broker of Kafka learns that it leads a partition some time after the creation is answered.
        deadline = time.monotonic() + TIMEOUT_S
        while any(answer[0] for answer in self.ask(Asking.at_time, name, -1)):
            check(time.monotonic() < deadline, f"{name} has no leader")
            time.sleep(0.05)

    def recompress(self, name, configs):
        topic = f"codec-{name}"
        self.topic(topic, configs)
        sent = 0
        for client in ("java", "librdkafka", "python"):
            for codec in CODECS:
                for size in ("small", "large"):
                    if (codec, size) != ("none", "large"):
                        answer = self.same(Asking.produce_8, topic, by_producer(golden(client, codec, size), 5000 + sent))
                        check(answer["error"] == 0 and answer["offset"] == 12 * sent, f"{answer}")
                        sent += 1
        # A retry is the batch that is there, in whatever codec.
        retried = self.same(Asking.produce_8, topic, by_producer(golden("python", "zstd", "large"), 5000 + sent - 1))
        check(retried["offset"] == 12 * (sent - 1), f"{retried}")
        return f"{sent} batches"

    def refusals(self):
        late = {"message.timestamp.before.max.ms": "1000"}
        kinds = {
            "late": late, "late-gzip": late | {"compression.type": "gzip"},
            "late-append": late | {"message.timestamp.type": "LogAppendTime"},
            "compact": {"cleanup.policy": "compact"},
            "compact-lz4": {"cleanup.policy": "compact", "compression.type": "lz4"},
            "compact-late": late | {"cleanup.policy": "compact"},
            "small": {"max.message.bytes": "1500"},
            "small-plain": {"max.message.bytes": "3000", "compression.type": "uncompressed"},
            "small-zstd": {"max.message.bytes": "3000", "compression.type": "zstd"},
        }
        refused = 0
        for kind, configs in kinds.items():
            topic = f"refuse-{kind}"
            self.topic(topic, configs)
            for at, codec in enumerate(CODECS):
                for size in ("small", "large"):
                    if (codec, size) != ("none", "large"):
                        batch = by_producer(golden("java", codec, size), 7000 + 2 * at + len(size))
                        answer = self.same(Asking.produce_8, topic, batch)
                        refused += answer["error"] != 0
        self.topic("refuse-future", {"message.timestamp.after.max.ms": "1000"})
        future = NOW * 2
        for times in ([NOW, future, NOW], [future], [-1, future, -1, future]):
            answer = self.same(Asking.produce_8, "refuse-future", batch_at(times, b"v"))
            check(answer["error"] == 32 and answer["records"], f"{answer}")
            refused += 1
        check(refused > 30, f"only {refused} refusals: nothing was shown")
        return f"{refused} refusals"

    def by_time(self):
        self.topic("by-time", {"segment.bytes": str(1 << 20), "segment.ms": "604800000", "index.interval.bytes": "4096"})
        clock, times = NOW - 50_000_000, []
        for _ in range(700):
            batch = []
            for _ in range(self.random.randrange(1, 5)):
                clock += self.random.choice((0, 1, 500, 1000, -700, self.random.randrange(-3_000_000, 3_000_000)))
                batch.append(clock)
            answer = self.same(Asking.produce_8, "by-time", batch_at(batch, self.random.randbytes(3000)))
            check(answer["error"] == 0, f"{answer}")
            times += batch
        asked, blind = 0, 0
        for _ in range(3):
            start = self.same(Asking.at_time, "by-time", -2)[2]
            for timestamp in self.spread(times, start):
                ours, kafka = self.ask(Asking.at_time, "by-time", timestamp)
                if timestamp >= 0:
                    first = next((at for at in range(start, len(times)) if times[at] >= timestamp), None)
                    truth = (0, -1, -1) if first is None else (0, times[first], first)
                    check(ours == truth, f"time {timestamp}: ours {ours}, of the records {truth}, log start {start}")
                    # Kafka looks only into the first segment that ever held such a time, deleted records counted.
                    if kafka == (0, -1, -1) != truth and max(times[:start], default=-1) >= timestamp:
                        blind += 1
                        continue
                check(ours == kafka, f"time {timestamp}: ours {ours}, Kafka {kafka}, log start {start}")
                asked += 1
            # Within the first segment: Kafka finds nothing in the next ones until it has deleted those before.
            self.same(Asking.delete_below, "by-time", start + 37)
        return f"{len(times)} records, {asked} times, {blind} that Kafka cannot see past deleted records"

    def spread(self, times, start):
        special = [-1, -2, -4, 0, min(times), max(times), max(times) + 1, 1 << 62]
        near = [time + self.random.randrange(-1, 2) for time in self.random.sample(times, 120)]
        # What was deleted counts for Kafka's newest record, and not for ours.
        newest = [-3] if start == 0 else []
        return special + newest + near

    def directory(self, broker, topic) -> pathlib.Path:
        return next(broker.data_dir.glob(f"**/{topic}-0"))

    def dump(self, directory, suffix, *arguments) -> list[str]:
        files = sorted(file for file in directory.iterdir() if file.suffix == suffix)
        command = tools.java_command("org.apache.kafka.tools.DumpLogSegments", *arguments, "--files",
                                     ",".join(map(str, files)))
        done = processes.run(command, TIMEOUT_S)
        check(done.returncode == 0, f"{done.stdout[-1500:]}{done.stderr[-1500:]}")
        for complaint in ("isvalid: false", "Mismatches", "invalid bytes", "Exception", "Non-consecutive"):
            check(complaint not in done.stdout, f"{complaint} in {directory}")
        return done.stdout.splitlines()

    def stored(self, name):
        topic = f"codec-{name}"
        batches, records = [], []
        for broker in self.both:
            lines = self.dump(self.directory(broker, topic), ".log", "--deep-iteration", "--print-data-log")
            batches.append([fields(line) for line in lines if line.startswith("baseOffset")])
            records.append([line for line in lines if line.startswith("| offset")])
        check(len(batches[0]) == len(batches[1]) > 0, f"{len(batches[0])} and {len(batches[1])} batches")
        for ours, kafka in zip(*batches):
            for field in set(ours) | set(kafka):
                # Where the clock of the broker rules, the two are not the same; nor are encoders.
                if field in ("size", "position", "crc") or (name == "append" and field == "LogAppendTime"):
                    continue
                check(ours.get(field) == kafka.get(field), f"{field}: ours {ours}, Kafka {kafka}")
            sizes = int(ours["size"]), int(kafka["size"])
            check(sizes[0] <= sizes[1] * 1.35 + 64 and sizes[1] <= sizes[0] * 1.35 + 64,
                  f"ours {sizes[0]} bytes, Kafka {sizes[1]}: {ours}")
            if name in ("uncompressed", "producer"):
                check(ours["crc"] == kafka["crc"], f"not the same bytes: ours {ours}, Kafka {kafka}")
        if name == "append":
            records = [[re.sub(r"LogAppendTime: \d+", "", line) for line in each] for each in records]
        differing = [pair for pair in zip(*records) if pair[0] != pair[1]]
        check(len(records[0]) == len(records[1]) and not differing, f"{len(differing)} differ: {differing[:1]}")
        totals = [sum(int(batch["size"]) for batch in each) for each in batches]
        return f"{len(records[0])} records in {totals[0]} bytes, Kafka's {totals[1]}"

    def indexes(self):
        compared = 0
        for suffix in (".index", ".timeindex"):
            entries = []
            for broker in self.both:
                directory = self.directory(broker, "by-time")
                files = sorted(directory.glob(f"*{suffix}"))
                # Only what was closed before the stop: Kafka notes the newest time of the last one when it stops.
                entries.append({file.name: file.read_bytes() for file in files[:-1]})
                self.dump(directory, suffix)
            names = set(entries[0]) & set(entries[1])
            check(len(names) > 1, f"segments {sorted(entries[0])} and {sorted(entries[1])}")
            for name in sorted(names):
                check(entries[0][name] == entries[1][name], f"{name}: {difference(entries, name, suffix)}")
                compared += 1
        return f"{compared} files"

    def verify(self, broker):
        done = processes.run([self.ours.binary, "log", "verify", "--quiet", broker.data_dir], TIMEOUT_S,
                             env=brokers.plain_environment())
        check(done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-500:]}")
        dumped = []
        for each in self.both:
            out = processes.run([self.ours.binary, "log", "dump", "--records", "--format", "json",
                                 self.directory(each, "codec-uncompressed")], TIMEOUT_S, env=brokers.plain_environment())
            rows = [json.loads(line) for line in out.stdout.splitlines()]
            dumped.append([{key: row[key] for key in row if key != "file"} for row in rows
                           if row["kind"] in ("batch", "record")])
        check(dumped[0] == dumped[1] and len(dumped[0]) > 300, f"{len(dumped[0])} and {len(dumped[1])} rows")
        return done.stdout.strip()


def fields(line: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+): (\S+)", line))


def difference(entries, name, suffix) -> str:
    form = ">ii" if suffix == ".index" else ">qi"
    ours, kafka = ([*struct.iter_unpack(form, each[name])] for each in entries)
    at = next((at for at, pair in enumerate(zip(ours, kafka)) if pair[0] != pair[1]), min(len(ours), len(kafka)))
    return f"{len(ours)} entries, Kafka's {len(kafka)}; from {at}: {ours[at:at + 3]}, Kafka's {kafka[at:at + 3]}"
