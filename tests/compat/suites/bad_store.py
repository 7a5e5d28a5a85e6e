"""A bucket that refuses, lies or is away, and a disk that is full: each error names what, where and the next step; what was
acknowledged is there, produce and hot reads go on. Stratalog only, beside a real MinIO.
"""

import subprocess
import time

from harness import broker as brokers, processes, store, volume as volumes
from harness.report import Report, check
from harness.wire import Connection, batch

KAFKA_STORAGE_ERROR = 56
LINES = 3000
# About 1 KiB a record: several segments of 1 MiB.
PADDING = "." * 1000
OLD = {"log.segment.bytes": "1048576"}


def run(report: Report, options) -> None:
    if options.broker != "stratalog":
        print("bad_store: Stratalog only", flush=True)
        return
    with store.Minio(options.work_dir / "bad-store-minio") as minio:
        for name in [name for name in dir(BadStore) if name.startswith("case_")]:
            label = name.removeprefix("case_")
            case = BadStore(minio, options.work_dir / f"bad-store-{label}")
            report.case(f"bad_store/{label.replace('_', ' ')}", getattr(case, name))


class BadStore:
    def __init__(self, minio, directory):
        self.minio, self.directory = minio, directory

    def broker(self, name="broker", **settings):
        own = {"stratalog.tier.url": f"s3://{self.minio.bucket}/{self.directory.name}"}
        own["stratalog.log.dir.reserve.bytes"] = str(4 << 20)
        own |= {key.replace("_", "."): value for key, value in settings.items()}
        return brokers.Stratalog(self.directory / name, settings=OLD | self.minio.settings() | own)

    def cli(self, broker, *arguments, timeout_s=60, **options):
        command = [broker.binary, *arguments, "--bootstrap-server", broker.bootstrap]
        return processes.run(command, timeout_s, env=brokers.plain_environment(), **options)

    def produce(self, broker, first, count=LINES):
        """Acknowledged, all of it."""
        lines = self.directory / f"lines-{first}"
        lines.write_text("".join(f"{number} {PADDING}\n" for number in range(first, first + count)))
        with open(lines) as source:
            done = self.cli(broker, "produce", "t", stdin=source)
        check(done.returncode == 0, f"produce: {done.stderr[-800:]}")

    def consume(self, broker, offset, count):
        """Records from `offset` on, each the one that was sent."""
        done = self.cli(broker, "consume", "t", "--offset", str(offset), "--count", str(count))
        check(done.returncode == 0, f"consume: {done.stderr[-800:]}")
        got = [int(line.split(" ", 1)[0]) for line in done.stdout.splitlines()]
        check(got == list(range(offset, offset + count)), f"{len(got)} records, from {got[:1]} to {got[-1:]}")

    def refused(self, broker, *words):
        """A flush fails, and says so in these words; produce and hot reads go on."""
        self.cli(broker, "topic", "create", "t", "--partitions", "1")
        self.produce(broker, 0)
        flush = processes.run(broker.tier_command("flush", "--topic", "t", "--wait"), 120,
                              env=brokers.plain_environment())
        check(flush.returncode != 0, "the flush succeeded")
        said = flush.stderr + broker.log_text()
        missing = [word for word in words if word.lower() not in said.lower()]
        check(not missing, f"nothing says {missing}:\n{flush.stderr[-800:]}\n{broker.log_text()[-1500:]}")
        self.produce(broker, LINES)
        self.consume(broker, 0, 2 * LINES)
        check("panicked at" not in broker.log_text(), "a panic in the log")
        return flush.stderr.strip().splitlines()[-1][:160] if flush.stderr.strip() else ""

    def case_wrong_credentials(self):
        with self.broker(stratalog_tier_s3_secret_access_key="not-the-secret") as broker:
            return self.refused(broker, self.minio.bucket, "access denied", "secret")

    def case_no_bucket(self):
        with self.broker(stratalog_tier_url="s3://nobody-made-it/x") as broker:
            return self.refused(broker, "nobody-made-it", "create")

    def case_nobody_listens(self):
        with self.broker(stratalog_tier_s3_endpoint=f"http://127.0.0.1:{brokers.free_port()}") as broker:
            return self.refused(broker, "stratalog.tier.s3.endpoint")

    def case_another_clusters_bucket(self):
        with self.broker("first") as first:
            self.cli(first, "topic", "create", "t", "--partitions", "1")
            self.produce(first, 0)
            first.flush("t")
        with self.broker("second") as second:
            note = self.refused(second, "cluster")
        with self.broker("first") as first:
            first.evict("t")
            self.consume(first, 0, LINES)
        return note

    def case_a_store_that_dies_and_comes_back(self):
        minio = store.Minio(self.directory / "minio")
        with minio, brokers.Stratalog(self.directory / "broker", settings=OLD | minio.settings()) as broker:
            self.cli(broker, "topic", "create", "t", "--partitions", "1")
            self.produce(broker, 0)
            broker.flush("t")
            broker.evict("t")
            minio.stop(kill=True)
            self.produce(broker, LINES)
            self.consume(broker, LINES, LINES)
            cold = processes.spawn([broker.binary, "consume", "t", "--offset", "0", "--count", str(LINES),
                                    "--bootstrap-server", broker.bootstrap], stdout=subprocess.PIPE,
                                   env=brokers.plain_environment(), text=True)
            self.produce(broker, 2 * LINES, 100)
            check(cold.poll() is None, "a cold read ended while the store was away")
            minio.start()
            got = [int(line.split(" ", 1)[0]) for line in cold.communicate(timeout=120)[0].splitlines()]
            processes.forget(cold)
            check(got == list(range(LINES)), f"{len(got)} records came back")
            broker.flush("t")
            broker.evict("t")
            self.consume(broker, 0, 2 * LINES + 100)

    def case_a_full_disk(self):
        """Refused as retriable, nothing acknowledged lost, and on without a restart when there is room."""
        volume = self.directory / "volume"
        with volumes.small(volume, self.directory / "broker/data", 24):
            with self.broker(remote_log_manager_task_interval_ms="3600000") as broker:
                self.cli(broker, "topic", "create", "t", "--partitions", "1")
                self.produce(broker, 0)
                with Connection(broker.bootstrap) as connection:
                    end, refused = self.fill(connection)
                self.consume(broker, 0, LINES)
                check(processes.run(["mount", "-o", "remount,size=256m", volume], 10).returncode == 0, "remount")
                deadline = time.monotonic() + 60
                with Connection(broker.bootstrap) as connection:
                    while (answer := connection.produce("t", 0, self.filler()))[0] != 0:
                        check(time.monotonic() < deadline, f"refused for ever:\n{broker.log_text()[-1500:]}")
                        time.sleep(0.2)
                check(answer[1] == end, f"acknowledged records end at {end}, the next went to {answer[1]}")
                self.produce(broker, LINES)
                self.consume(broker, 0, LINES)
                return f"{end} records, then error {refused}"

    @staticmethod
    def filler():
        return batch([PADDING.encode() * 100])

    def fill(self, connection):
        """Until the broker refuses: the end of what it acknowledged, and the error."""
        while True:
            error, offset = connection.produce("t", 0, self.filler())
            if error != 0:
                check(error == KAFKA_STORAGE_ERROR, f"a full disk is error {error}")
                return end, error
            end = offset + 1
