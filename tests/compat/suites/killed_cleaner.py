"""Apache Kafka is killed while its cleaner works; what it left is opened by Apache Kafka and by us: the same records.

Producers write (plain, idempotent, in transactions) to compacted topics that Kafka cleans all the time. It is killed
(-9) at a random moment, or stopped when a file of a cleaning was seen and killed while that file is there, goes on
from what is there, and is killed again. What each kill left of each topic becomes a topic of its own, of a second Kafka
and of ours, beside the checkpoints as the kill left them; neither cleans. Then the batches in the files of both are the
same, and so is what a consumer gets.
"""

import json
import random
import shutil
import struct
import time

from harness import broker as brokers, processes, tools, wire
from harness.report import Report, check

KILLS = 5
TOPICS = {"plain-none": ("plain", "none"), "idempotent-lz4": ("idempotent", "lz4"),
          "transactions-zstd": ("transactions", "zstd"), "transactions-none": ("transactions", "none")}
CONFIGS = {"cleanup.policy": "compact", "segment.bytes": str(1 << 20), "min.cleanable.dirty.ratio": "0.01",
           "delete.retention.ms": "500", "max.message.bytes": str(1 << 20)}
# What is waited for before a kill, in turn; "" is nothing but time.
MOMENTS = (".log.swap", ".log.cleaned", "", "index.swap", ".cleaned")
LEFT_BY_CLEANING = (".cleaned", ".swap", ".deleted")
CHECKPOINTS = ("recovery-point-offset-checkpoint", "cleaner-offset-checkpoint", "log-start-offset-checkpoint")
TIMEOUT_S = 60


def run(report: Report, options) -> None:
    if options.broker != "stratalog":
        return
    tools.need("java")
    scratch = options.work_dir / "killed-cleaner"
    scratch.mkdir(parents=True)
    print(f"killed_cleaner: seed {options.seed}", flush=True)
    KilledCleaner(report, options, scratch).run()


class KilledCleaner:
    def __init__(self, report, options, scratch):
        self.report, self.scratch, self.seed = report, scratch, options.seed
        self.kills = max(KILLS, options.kills)
        cleaner = {"log.cleaner.backoff.ms": "5", "log.cleaner.threads": "2"}
        self.killed = brokers.make("kafka", scratch / "killed", settings=cleaner)
        still = {"log.cleaner.enable": "false"}
        self.theirs = brokers.make("kafka", scratch / "theirs", settings=still)
        self.ours = brokers.make("stratalog", scratch / "ours", settings=still)
        self.copies = []  # the topic of a copy, the kill and the topic that it is of

    def run(self):
        try:
            if self.report.case(f"killed_cleaner/{self.kills} kills of Apache Kafka while it cleans", self.kill_all):
                self.report.case("killed_cleaner/what was left opens, here and there", self.open)
                self.report.case("killed_cleaner/the same batches are in the files", self.compare_files)
                self.report.case("killed_cleaner/a consumer gets the same", self.consume)
        finally:
            for broker in (self.killed, self.theirs, self.ours):
                broker.kill()

    def kill_all(self):
        met = set()
        for number in range(self.kills):
            self.killed.start()
            if number == 0:
                create(self.killed, TOPICS)
            dice = random.Random(self.seed + number)
            producers = [self.producer(number, at, topic) for at, topic in enumerate(TOPICS)]
            self.wait(MOMENTS[number % len(MOMENTS)], dice)
            self.killed.kill()
            for producer in producers:
                processes.stop(producer, kill=True)
            shutil.copytree(self.killed.data_dir, self.left(number))
            left = {name.split(".", 1)[1] for topic in TOPICS for name in self.names(self.left(number), topic)
                    if name.endswith(LEFT_BY_CLEANING)}
            met |= left
            self.copies += [(f"{topic}-{number}", number, topic) for topic in TOPICS]
        check(any(name.endswith(".cleaned") for name in met) and any(name.endswith(".swap") for name in met),
              f"no kill met a cleaning half done: only {sorted(met)}")
        return f"left: {', '.join(sorted(met))}"

    def left(self, number):
        return self.scratch / f"left-{number}"

    def producer(self, number, at, topic):
        kind, codec = TOPICS[topic]
        job = {"op": "produce", "bootstrap": self.killed.bootstrap, "topic": topic, "codec": codec, "kind": kind,
               "seed": self.seed + number * len(TOPICS) + at, "first": number, "keys": 100, "batches": 1_000_000,
               "value_bytes": 3000}
        plan = self.scratch / f"plan-{topic}-{number}.jsonl"
        plan.write_text(json.dumps(job) + "\n")
        with open(self.scratch / "producers.log", "ab") as log:
            return processes.spawn([*tools.python_client("history"), str(plan)], stdout=log, stderr=log)

    def names(self, data_dir, topic):
        return [file.name for file in (data_dir / f"{topic}-0").iterdir()]

    def wait(self, suffix, dice):
        """Until a cleaning began, and then for a while; then until Apache Kafka stands still beside such a file."""
        deadline = time.monotonic() + TIMEOUT_S

        def seen(*suffixes):
            return any(name.endswith(suffixes) for topic in TOPICS for name in self.names(self.killed.data_dir, topic))

        def until(*suffixes):
            while not seen(*suffixes):
                check(time.monotonic() < deadline, f"Apache Kafka cleans nothing: no file of {suffixes}")

        until(*LEFT_BY_CLEANING)
        time.sleep(dice.uniform(0.5, 2))
        while suffix:
            until(suffix)
            processes.freeze(self.killed.process)
            if seen(suffix):  # what is there now is there after the kill
                return
            processes.thaw(self.killed.process)

    def open(self):
        names = [name for name, _, _ in self.copies]
        for broker in (self.theirs, self.ours):
            broker.start()
            create(broker, names)
            broker.stop()
            for name, number, topic in self.copies:
                replace(broker.data_dir / f"{name}-0", self.left(number) / f"{topic}-0")
            for checkpoint in CHECKPOINTS:
                self.write_checkpoint(broker.data_dir / checkpoint)
            (broker.data_dir / ".kafka_cleanshutdown").unlink()
            broker.restart()
        waiting = [name for name in self.names_left() if name.endswith((".cleaned", ".swap"))]
        check(not waiting, f"ours left {waiting[:5]}")

    def names_left(self):
        return [name for copy, _, _ in self.copies for name in self.names(self.ours.data_dir, copy)]

    def write_checkpoint(self, file):
        """What each kill left in it, under the names of the copies."""
        entries = []
        for number in range(self.kills):
            path = self.left(number) / file.name
            for line in path.read_text().splitlines()[2:] if path.exists() else []:
                topic, partition, offset = line.split()
                if topic in TOPICS:
                    entries.append(f"{topic}-{number} {partition} {offset}")
        file.write_text("\n".join(["0", str(len(entries)), *entries, ""]))

    def compare_files(self):
        total = 0
        for name, number, topic in self.copies:
            theirs, ours = (batches(broker.data_dir / f"{name}-0") for broker in (self.theirs, self.ours))
            differ = [pair for pair in zip(theirs, ours) if pair[0] != pair[1]]
            check(theirs == ours, f"{name}, seed {self.seed}: {len(theirs)} batches of Kafka's, {len(ours)} of ours; "
                                  f"they differ from {differ[:2]} on; {sorted(self.names(self.left(number), topic))}")
            total += len(ours)
        return f"{total} batches of {len(self.copies)} logs"

    def consume(self):
        job = {"op": "consume", "topics": [name for name, _, _ in self.copies]}
        answers = []
        for broker in (self.theirs, self.ours):
            plan = self.scratch / "consume.jsonl"
            plan.write_text(json.dumps(job | {"bootstrap": broker.bootstrap}) + "\n")
            done = processes.run([*tools.python_client("history"), str(plan)], TIMEOUT_S * 3)
            check(done.returncode == 0, f"{broker.name}: {done.stderr[-1500:]}")
            answers.append(json.loads(done.stdout))
        theirs, ours = answers
        for name, _, _ in self.copies:
            check(theirs[name] == ours[name], f"{name}, seed {self.seed}: {len(theirs[name])} records of Kafka's, "
                                              f"{len(ours[name])} of ours, or not the same")
        records = sum(len(records) for records in ours.values())
        check(records > len(self.copies), f"only {records} records in all")
        return f"{records} records"


def create(broker, topics):
    with wire.Connection(broker.bootstrap) as connection:
        for topic in topics:
            error = connection.create_topic(topic, 1, CONFIGS)
            check(error == 0, f"{broker.name}: CreateTopics {topic} answered {error}")
    deadline = time.monotonic() + TIMEOUT_S
    while not all(list((broker.data_dir / f"{topic}-0").glob("*.log")) for topic in topics):
        check(time.monotonic() < deadline, f"{broker.name}: no files of the new topics")
        time.sleep(0.1)


def replace(target, source):
    for file in target.iterdir():
        if file.name != "partition.metadata":
            file.unlink()
    for file in source.iterdir():
        if file.name != "partition.metadata":
            shutil.copy2(file, target)


def batches(directory):
    """Base offset, bytes and checksum of each batch of a log that is not written to."""
    found = []
    for file in sorted(directory.glob("*.log")):
        data, at = file.read_bytes(), 0
        while at + 61 <= len(data):
            base, length = struct.unpack_from(">qi", data, at)
            if length == 0:  # room that was made and not used
                break
            found.append((base, length, struct.unpack_from(">I", data, at + 17)[0]))
            at += 12 + length
    return found
