"""Real records through every client and codec, and back from offset 0 by another client: hot, tiered, across kills.

A topic per producing client and codec, three partitions of different records. What a consumer wrote must equal what was
sent: key, value, headers, timestamp, offset, order, count. Then everything is flushed to the tier and evicted and read
again by a third client; uploads and replays are cut by kill -9 at random moments (the seed is printed) first.
"""

import pathlib
import random
import shutil
import subprocess
import tempfile
import time

from harness import broker as brokers
from harness import clients, processes, store
from harness.records import PARTITIONS, DataSet
from harness.report import Report, Skip, check
from harness.wire import Connection

# Clients that reconnect by themselves when the broker dies under them.
SURVIVORS = ("librdkafka", "java", "franz-go")
# kafka-python refuses to send a header without a value.
NO_NULL_HEADERS = ("kafka-python",)


def run(report: Report, options) -> None:
    print(f"real_records: seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="compat-records-", dir=options.work_dir) as scratch:
        scratch = pathlib.Path(scratch)
        each = options.bytes_per_topic // PARTITIONS
        data = {nulls: DataSet(scratch / f"data-{nulls}", each, nulls) for nulls in (True, False)}
        for kind in options.stores:
            for segment_bytes in options.segment_bytes:
                Round(report, options, scratch / f"{kind}-{segment_bytes}", data, kind, segment_bytes).run()


class Round:
    """All clients and codecs against one broker, one store, one segment size."""

    def __init__(self, report, options, directory, data, store_kind, segment_bytes):
        self.report, self.options, self.sets = report, options, data
        self.directory, self.store_kind, self.segment_bytes = directory, store_kind, segment_bytes
        self.label = f"real_records/{store_kind}/{segment_bytes >> 20} MiB"
        self.random = random.Random(f"{options.seed}/{self.label}")
        self.outputs = 0
        self.matrix: dict[tuple[str, str], list[str]] = {}

    def run(self):
        names = [name for name in clients.COMMANDS if name in self.options.clients]
        with store.make(self.store_kind, self.directory / "store") as objects:
            settings = objects.settings() if self.options.broker == "stratalog" else {}
            with brokers.make(self.options.broker, self.directory / "broker", settings=settings) as self.broker:
                for client in names:
                    self.produce(client)
                for producer in names:
                    self.read_all(producer, self.other(names, producer, 1), "hot")
                if self.broker.tiers:
                    self.tier(names)
                self.print_matrix()
        shutil.rmtree(self.directory, ignore_errors=True)

    def other(self, names, producer, step):
        return names[(names.index(producer) + step) % len(names)]

    @staticmethod
    def topic(producer, codec):
        return f"{producer}.{codec}"

    def sent_by(self, producer) -> DataSet:
        return self.sets[producer not in NO_NULL_HEADERS]

    def produce(self, client):
        topics = {codec: self.topic(client, codec) for codec in self.options.codecs}
        # The records are older than the default retention.
        configs = {"segment.bytes": str(self.segment_bytes), "retention.ms": "-1"}
        if self.broker.tiers:
            configs["remote.storage.enable"] = "true"
        try:
            clients.create_topics(self.broker.bootstrap, list(topics.values()), PARTITIONS, configs)
            jobs = [{"op": "produce", "topic": topic, "codec": codec, "input": str(self.sent_by(client).input)}
                    for codec, topic in topics.items()]
            results = clients.Run(client, self.broker.bootstrap, jobs, self.options.timeout_s).wait()
        except Exception as error:
            results = [{"error": str(error)}] * len(topics)
        for (codec, _), result in zip(topics.items(), results):
            done = self.report.case(f"{self.label}/{client}/{codec}/produce", self.produced, client, result)
            self.matrix[client, codec] = ["sent" if done else "NOT SENT"]

    def produced(self, client, result):
        check("error" not in result, result.get("error", ""))
        wanted = sum(self.sent_by(client).counts)
        check(result["records"] == wanted, f"{result['records']} sent of {wanted}")
        return f"in {result['seconds']:.2f} s"

    def read_all(self, producer, consumer, phase):
        """`consumer` reads what `producer` sent from offset 0; a case per topic. What was not sent has failed already."""
        codecs = [codec for codec in self.options.codecs if self.matrix[producer, codec][0] == "sent"]
        jobs = [self.consume_job(self.topic(producer, codec)) for codec in codecs]
        results = clients.Run(consumer, self.broker.bootstrap, jobs, self.options.timeout_s).wait()
        for codec, job, result in zip(codecs, jobs, results):
            name = f"{self.label}/{producer}/{codec}/{phase} by {consumer}"
            if self.report.case(name, self.compare, job, result):
                self.matrix[producer, codec].append(f"{phase} {consumer}")
            else:
                self.matrix[producer, codec].append(f"{phase} {consumer} FAILED")

    def consume_job(self, topic):
        output = self.directory / f"read-{self.outputs}"
        self.outputs += 1
        output.mkdir(parents=True)
        return {"op": "consume", "topic": topic, "partitions": PARTITIONS, "output": str(output)}

    def compare(self, job, result):
        output = pathlib.Path(job["output"])
        try:
            check("error" not in result, result.get("error", ""))
            difference = self.sent_by(job["topic"].partition(".")[0]).difference(output)
            check(difference is None, difference or "")
            return f"in {result['seconds']:.2f} s"
        finally:
            shutil.rmtree(output, ignore_errors=True)

    def tier(self, names):
        topics = [self.topic(*made) for made, cells in self.matrix.items() if cells[0] == "sent"]
        if not self.report.case(f"{self.label}/upload across {self.options.kills} kills", self.upload_with_kills, topics):
            return
        for topic in topics:
            self.broker.flush(topic, self.options.timeout_s)
            self.broker.evict(topic, self.options.timeout_s)
        self.report.case(f"{self.label}/only the tier holds closed segments", self.evicted, topics)
        for producer in names:
            self.read_all(producer, self.other(names, producer, 2), "cold")
        for how in ("a clean stop", "kill -9"):
            self.report.case(f"{self.label}/offsets of evicted topics after {how}", self.offsets_survive, topics, how)
        self.report.case(f"{self.label}/replay across {self.options.kills} kills", self.replay_with_kills, topics)

    def upload_with_kills(self, topics):
        """Kills the broker while `tier flush` of a topic runs. A flush that ends before its kill leaves its topic done:
        the next takes another and is cut sooner; with all topics done the remaining kills have nothing to cut."""
        left, killed = list(topics), 0
        delay_max_s = 0.1 + self.options.bytes_per_topic / 200e6
        while killed < self.options.kills and left:
            topic = self.random.choice(left)
            flush = processes.spawn(self.broker.tier_command("flush", "--topic", topic, "--wait"),
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    env=brokers.plain_environment())
            time.sleep(self.random.uniform(0, delay_max_s))
            if flush.poll() is None:
                self.broker.kill()
                killed += 1
                self.broker.restart()
            else:
                left.remove(topic)
                delay_max_s = max(delay_max_s / 2, 0.005)
            check(flush.wait(self.options.timeout_s) == 0 or topic in left, f"tier flush of {topic} failed")
            processes.forget(flush)
        check(killed > 0, "no upload could be cut: nothing was shown")
        return f"{killed} kills, {len(topics) - len(left)} flushes too quick for theirs"

    def evicted(self, topics):
        """After flush and evict a partition directory holds its active segment only."""
        for topic in topics:
            for directory in self.broker.data_dir.glob(f"**/{topic}-[0-9]*"):
                logs = sorted(file.name for file in directory.glob("*.log") if file.stat().st_size > 0)
                check(not logs, f"{directory.name} still holds {logs}")

    def offsets_survive(self, topics, how):
        """The log starts where it started, whatever files are left: else history is there and nobody can reach it."""
        if how == "kill -9":
            self.broker.kill()
        else:
            code = self.broker.stop()
            check(code == 0, f"a clean stop ended with {code}")
        self.broker.restart()
        moved = []
        with Connection(self.broker.bootstrap) as connection:
            for topic in topics:
                for partition, count in enumerate(self.sent_by(topic.partition(".")[0]).counts):
                    found = [connection.offset_at(topic, partition, time) for time in (-2, -1)]
                    if found != [0, count]:
                        moved.append(f"{topic}-{partition} at {found}, sent were [0, {count}]")
        check(not moved, f"{len(moved)} partitions moved (earliest, latest): {', '.join(moved[:4])}")

    def replay_with_kills(self, topics):
        """A consumer reads from the tier while the broker is killed; it must end with every record, once, in order."""
        readers = [name for name in SURVIVORS if name in self.options.clients]
        if not readers:
            raise Skip("no client that survives a broker's death was chosen")
        killed, attempts, delay_max_s = 0, 0, 3.0
        while killed < self.options.kills:
            attempts += 1
            check(attempts < 20 + 10 * self.options.kills, f"only {killed} kills fell into a replay")
            reader, topic = self.random.choice(readers), self.random.choice(topics)
            job = self.consume_job(topic)
            run = clients.Run(reader, self.broker.bootstrap, [job], self.options.timeout_s)
            delay = self.random.uniform(0, delay_max_s)
            self.wait_for_output(run, pathlib.Path(job["output"]))
            time.sleep(delay if self.options.bytes_per_topic > 64 << 20 else delay / 100)
            if run.running():
                self.broker.kill()
                killed += 1
                self.broker.restart()
            else:
                delay_max_s /= 2
            result = run.wait()[0]
            try:
                self.compare(job, result)
            except AssertionError as error:
                raise AssertionError(f"{reader} reading {topic}, {killed} kills so far: {error}") from error
        return f"{killed} kills in {attempts} replays"

    @staticmethod
    def wait_for_output(run, output):
        """Until the client has its end offsets and has opened its outputs: from here on it fetches."""
        while run.running() and not any(output.iterdir()):
            time.sleep(0.005)

    def print_matrix(self):
        data = self.sets[True]
        print(f"\n{self.label}: {sum(data.counts)} records, {data.bytes:,} bytes per topic")
        for (client, codec), cells in self.matrix.items():
            print(f"  {client:13} {codec:7} {', '.join(cells)}")
        print(flush=True)
