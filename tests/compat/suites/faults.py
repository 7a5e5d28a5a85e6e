"""Faults under load: the disk fails, fills, slows down or lies while producers go on. What was acknowledged is there, what
is damaged is named, the rest serves. Stratalog only.

Calls fail by strace's injection, in the running broker; files are edited under it or between two starts.
"""

import contextlib
import errno
import json
import os
import pathlib
import time

from harness import broker as brokers, processes, volume as volumes
from harness.injection import Injection, flip_in_memory
from harness.load import RETRIABLE, Load
from harness.report import Report, check
from harness.wire import Connection, records_of

KAFKA_STORAGE_ERROR = 56
# Small segments, so that some are closed; nothing is tiered where a case does not say so.
SETTINGS = {"log.segment.bytes": "1048576", "log.retention.check.interval.ms": "1000",
            "log.retention.ms": "-1"}
LOCAL = {"remote.storage.enable": "false"}
HURT, WELL = ("hurt", 0), ("well", 0)


def run(report: Report, options) -> None:
    if options.broker != "stratalog":
        print("faults: Stratalog only", flush=True)
        return
    for name in [name for name in dir(Faults) if name.startswith("case_")]:
        label = name.removeprefix("case_")
        case = Faults(options.work_dir / f"faults-{label}")
        report.case(f"faults/{label.replace('_', ' ')}", getattr(case, name))


def fill(file: pathlib.Path) -> None:
    """Takes the last block of the disk."""
    taken = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    os.write(taken, bytes(size))
            except OSError as error:
                check(error.errno == errno.ENOSPC, f"filling the disk: {error}")
    finally:
        os.close(taken)


class Faults:
    def __init__(self, directory: pathlib.Path):
        self.directory = directory

    def broker(self, **settings):
        own = {key.replace("_", "."): value for key, value in settings.items()}
        return brokers.Stratalog(self.directory, settings=SETTINGS | own)

    def topics(self, broker, configs=None):
        with Connection(broker.bootstrap) as connection:
            for topic, _ in (HURT, WELL):
                error = connection.create_topic(topic, 1, LOCAL if configs is None else configs)
                check(error == 0, f"creating {topic}: error {error}")

    def load(self, broker):
        return Load(broker.bootstrap, HURT, WELL)

    @staticmethod
    def verify(load, broker, *partitions):
        """All that was acknowledged is there; clients heard nothing that they would not try again after."""
        for partition in partitions or (HURT, WELL):
            load.partitions[partition].verify(broker.bootstrap)
        errors = set().union(*(producer.errors for producer in load.partitions.values()))
        check(errors <= RETRIABLE, f"producers heard {sorted(errors - RETRIABLE)}")
        check("panicked at" not in broker.log_text(), "a panic in the log")

    def partition_dir(self, broker, partition=HURT):
        return broker.data_dir / f"{partition[0]}-{partition[1]}"

    def closed(self, broker, suffix="log", partition=HURT):
        """The oldest file of the partition, of which there is a younger one."""
        files = sorted(self.partition_dir(broker, partition).glob(f"*.{suffix}"))
        check(len(files) > 1, f"nothing closed: {files}")
        return files[0]

    @staticmethod
    def named(broker, *words):
        """A line of the log at warn or error has all of these words."""
        for _ in range(100):
            lines = [line for line in broker.log_text().splitlines() if '"WARN"' in line or '"ERROR"' in line]
            if any(all(str(word).lower() in line.lower() for word in words) for line in lines):
                return
            time.sleep(0.1)
        check(False, f"nothing says {words}:\n" + "\n".join(lines[-10:]))

    # Calls that fail.

    def case_a_sync_that_fails(self):
        """The directory takes no more writes and shows nothing unsynced; a restart finds all that was acknowledged."""
        with self.broker() as broker:
            self.topics(broker)
            with self.load(broker) as load:
                load.wait_for(HURT, 50)
                with Injection(broker.pid, "fdatasync,fsync", "error=EIO:when=5+"):
                    error = load.wait_for_error(HURT)
                check(error == KAFKA_STORAGE_ERROR, f"error {error}")
                self.named(broker, "sync of", "failed")
                time.sleep(0.5)
                count = len(load.partitions[HURT].acknowledged)
                time.sleep(0.5)
                check(count == len(load.partitions[HURT].acknowledged), "acknowledged after a failed sync")
                broker.kill()
                broker.restart()
                load.wait_for(HURT, 20)
            self.verify(load, broker)

    def case_one_of_two_directories_fails(self):
        """Its partitions are offline, the others are served; a restart brings back what was acknowledged."""
        first, second = self.directory / "data", self.directory / "second"
        with self.broker(log_dirs=f"{first},{second}") as broker:
            self.topics(broker)
            homes = {topic: home for home in (first, second) for topic in (HURT[0], WELL[0])
                     if (home / f"{topic}-0").is_dir()}
            check(homes[HURT[0]] != homes[WELL[0]], f"both partitions are in one directory: {homes}")
            with self.load(broker) as load:
                load.wait_for(HURT, 50)
                hurt = sorted((homes[HURT[0]] / "hurt-0").glob("*.log"))[-1]
                with Injection(broker.pid, "fdatasync", "error=EIO", hurt):
                    error = load.wait_for_error(HURT)
                check(error == KAFKA_STORAGE_ERROR, f"error {error}")
                load.wait_for(WELL, 100)
                load.partitions[WELL].verify(broker.bootstrap)
                check(not load.partitions[WELL].errors, f"the other heard {load.partitions[WELL].errors}")
                broker.kill()
                broker.restart()
                load.wait_for(HURT, 20)
            self.verify(load, broker)

    def case_no_room_at_any_write(self):
        """Each write may find the disk full: refused, tried again, in order, and on without a restart."""
        with self.broker() as broker:
            self.topics(broker)
            with self.load(broker) as load:
                load.wait_for(HURT, 20)
                with Injection(broker.pid, "pwritev,pwrite64,write", "error=ENOSPC:when=3+4", *self.files(broker)):
                    load.wait_for_error(HURT)
                    load.wait_for(HURT, 20)
                load.wait_for(HURT, 20)
            self.verify(load, broker)
            broker.kill()
            broker.restart()
            self.verify(load, broker)

    def files(self, broker, partition=HURT):
        return sorted(self.partition_dir(broker, partition).glob("*.*"))

    def case_no_room_for_new_segments(self):
        """Files that cannot be made: the roll is tried again."""
        with self.broker() as broker:
            self.topics(broker)
            with self.load(broker) as load:
                load.wait_for(HURT, 20)
                with Injection(broker.pid, "openat", "error=ENOSPC"):
                    load.wait_for_error(HURT)
                load.wait_for(HURT, 20)
            self.verify(load, broker)
            broker.kill()
            broker.restart()
            self.verify(load, broker)

    def case_a_slow_disk(self):
        """Every sync takes a quarter of a second: slower, nothing else."""
        with self.broker() as broker:
            self.topics(broker)
            with self.load(broker) as load:
                load.wait_for(HURT, 20)
                with Injection(broker.pid, "fdatasync", "delay_exit=250000"):
                    load.wait_for(HURT, 8)
                load.wait_for(HURT, 20)
            self.verify(load, broker)
            check(not set().union(*(p.errors for p in load.partitions.values())), "an error of a slow disk")

    def case_reads_that_fail(self):
        """EIO on a closed segment: named, an error for who asks for it, the rest is served; over when the disk is well."""
        with self.broker() as broker:
            self.topics(broker)
            with self.load(broker) as load:
                load.wait_for(HURT, 300)
                segment = self.closed(broker)
                with Injection(broker.pid, "pread64,preadv,preadv2,sendfile,read", "error=EIO", segment):
                    with Connection(broker.bootstrap) as connection:
                        error, _, data = connection.fetch(*HURT, 0)
                        check(error == KAFKA_STORAGE_ERROR and not data, f"error {error}, {len(data)} bytes")
                        check(connection.fetch(*WELL, 0)[0] == 0, "the other partition does not answer")
                    load.wait_for(WELL, 10)
                    load.wait_for(HURT, 10)
                    self.named(broker, segment.name)
            self.verify(load, broker)

    # Files that are not what they were.

    def damaged(self, broker, damage, *words, clean=False, suffix="log", other=()):
        """Loads, stops, damages, starts: the other partition serves all, the damage is named."""
        self.topics(broker)
        with self.load(broker) as load:
            load.wait_for(HURT, 300)
        broker.stop() if clean else broker.kill()
        file = self.closed(broker, suffix) if suffix else None
        damage(file)
        broker.restart()
        load.partitions[WELL].verify(broker.bootstrap)
        if words:
            self.named(broker, *words)
        return load

    @staticmethod
    def flip(file, at=None):
        """One bit, in the middle of the file if nothing else is said."""
        with open(file, "r+b") as f:
            f.seek(0, os.SEEK_END)
            at = f.tell() // 2 if at is None else at
            f.seek(at)
            (byte,) = f.read(1)
            f.seek(at)
            f.write(bytes([byte ^ 0x10]))

    @staticmethod
    def cut(file):
        os.truncate(file, file.stat().st_size // 2 + 7)

    def refusing(self, broker, at=0):
        """The error of whoever reads the damaged partition, while the broker lives."""
        with Connection(broker.bootstrap) as connection:
            error, _, _ = connection.fetch(*HURT, at)
        return error

    def case_a_segment_deleted_while_running(self):
        with self.broker() as broker:
            self.topics(broker)
            with self.load(broker) as load:
                load.wait_for(HURT, 300)
                # A start of its own, so that no descriptor of it is open.
                broker.stop()
                broker.restart()
                segment = self.closed(broker)
                segment.unlink()
                with Connection(broker.bootstrap) as connection:
                    error = connection.fetch(*HURT, 0)[0]
                check(error == KAFKA_STORAGE_ERROR, f"error {error}")
                self.named(broker, segment.name)
                load.wait_for(HURT, 20)
                load.wait_for(WELL, 20)
            first = int(sorted(self.partition_dir(broker).glob("*.log"))[0].stem)
            load.partitions[HURT].verify(broker.bootstrap, first)
            load.partitions[WELL].verify(broker.bootstrap)

    def case_a_segment_truncated_while_running(self):
        with self.broker() as broker:
            self.topics(broker)
            with self.load(broker) as load:
                load.wait_for(HURT, 300)
                segment = self.closed(broker)
                with Connection(broker.bootstrap) as connection:
                    check(connection.fetch(*HURT, 0)[0] == 0, "not readable before")
                    self.cut(segment)
                    offset, error = 0, 0
                    while not error and offset < 2000:
                        error, _, data = connection.fetch(*HURT, offset, 100_000)
                        offset += 10 * max(len(data) // 9_500, 1)
                check(error == KAFKA_STORAGE_ERROR, f"error {error}, at offset {offset}")
                self.named(broker, segment.name)
                load.wait_for(HURT, 20)
            following = int(sorted(self.partition_dir(broker).glob("*.log"))[1].stem)
            load.partitions[HURT].verify(broker.bootstrap, following)
            load.partitions[WELL].verify(broker.bootstrap)

    def case_a_read_only_disk(self):
        volume = self.directory / "volume"
        with volumes.small(volume, self.directory / "data", 256):
            with self.broker(stratalog_log_dir_reserve_bytes=str(4 << 20)) as broker:
                self.topics(broker)
                with self.load(broker) as load:
                    load.wait_for(HURT, 100)
                    # As after an error of the file system: writable descriptors do not keep it from happening.
                    done = processes.run(["mount", "-o", "remount,ro", "--force", volume], 10)
                    if done.returncode != 0:
                        with Injection(broker.pid, "pwritev,pwrite64,fdatasync,fsync,rename,unlink,ftruncate",
                                       "error=EROFS"):
                            load.wait_for_error(HURT)
                    else:
                        load.wait_for_error(HURT)
                    with Connection(broker.bootstrap) as connection:
                        check(connection.fetch(*HURT, 0)[0] == 0, "reads do not go on")
                    broker.kill()
                    processes.run(["mount", "-o", "remount,rw", volume], 10)
                    broker.restart()
                    load.wait_for(HURT, 20)
                self.verify(load, broker)

    def case_a_disk_that_another_program_filled(self):
        """To the last block: a shorter retention can be set, makes room, and produce goes on by itself."""
        with self.filled() as (broker, load, spare):
            self.keep_less(broker)
            load.wait_for(HURT, 20)
            self.named(broker, "room that was kept")
            self.recovered(broker, load, spare)

    def case_a_start_on_a_disk_that_another_program_filled(self):
        """It serves what is there, and a shorter retention makes room again."""
        with self.filled() as (broker, load, spare):
            broker.kill()
            broker.restart()
            for partition in load.partitions:
                with Connection(broker.bootstrap) as connection:
                    error, _, data = connection.fetch(*partition, 0)
                    check(error == 0 and records_of(data), f"fetch from {partition} at 0: error {error}")
            self.keep_less(broker)
            load.wait_for(HURT, 20)
            self.recovered(broker, load, spare)

    def case_a_topic_deleted_on_a_disk_that_another_program_filled(self):
        """Deleting a topic makes room, and what the disk refused before can be made then."""
        with self.filled() as (broker, load, spare):
            with Connection(broker.bootstrap) as connection:
                error = connection.create_topic("refused", 100, LOCAL)
                check(error == KAFKA_STORAGE_ERROR, f"creating a topic on a full disk: error {error}")
                error = connection.delete_topic(WELL[0])
                check(error == 0, f"deleting a topic on a full disk: error {error}")
                load.wait_for(HURT, 20)
                self.recovered(broker, load, spare)
                error = connection.create_topic("refused", 100, LOCAL)
                check(error == 0, f"creating a topic once there is room: error {error}")
            load.stop()
            self.verify(load, broker, HURT)

    @contextlib.contextmanager
    def filled(self):
        """Producers at a broker whose disk has no block left, but for the room that is kept."""
        volume = self.directory / "volume"
        with volumes.small(volume, self.directory / "data", 256):
            with self.broker(stratalog_log_dir_reserve_bytes=str(1 << 20)) as broker:
                self.topics(broker, LOCAL | {"file.delete.delay.ms": "0"})
                spare = volume / "data" / "spare-room"
                with self.load(broker) as load:
                    for partition in load.partitions:
                        load.wait_for(partition, 1000)
                    check(spare.stat().st_size == 1 << 20, "no room is kept")
                    fill(volume / "filler")
                    load.wait_for_error(HURT)
                    yield broker, load, spare

    @staticmethod
    def keep_less(broker):
        for topic, _ in (HURT, WELL):
            done = processes.run([broker.binary, "topic", "alter", topic, "--set", "retention.ms=1000",
                                  "--bootstrap-server", broker.bootstrap], 30)
            check(done.returncode == 0, f"retention.ms of {topic} on a full disk: {done.stderr}")

    @staticmethod
    def recovered(broker, load, spare):
        deadline = time.monotonic() + 20
        while not spare.exists():
            check(time.monotonic() < deadline, "the room is not kept again")
            time.sleep(0.1)
        errors = load.partitions[HURT].errors
        check(errors <= RETRIABLE, f"producers heard {sorted(errors - RETRIABLE)}")
        check("panicked at" not in broker.log_text(), "a panic in the log")

    def case_a_bit_flipped_in_an_offset_index(self):
        with self.broker() as broker:
            load = self.damaged(broker, self.flip, suffix="index")
            self.verify(load, broker)

    def case_a_bit_flipped_in_a_time_index(self):
        with self.broker() as broker:
            load = self.damaged(broker, self.flip, suffix="timeindex")
            self.verify(load, broker)

    def case_indexes_deleted(self):
        with self.broker() as broker:
            def delete(_):
                for file in self.partition_dir(broker).glob("*index"):
                    file.unlink()

            load = self.damaged(broker, delete, clean=True)
            self.verify(load, broker)

    def case_a_bit_flipped_in_a_snapshot(self):
        with self.broker() as broker:
            def flip(_):
                for file in self.partition_dir(broker).glob("*.snapshot"):
                    self.flip(file)

            load = self.damaged(broker, flip)
            self.verify(load, broker)

    def case_a_rotten_recovery_point_checkpoint(self):
        with self.broker() as broker:
            file = broker.data_dir / "recovery-point-offset-checkpoint"
            load = self.damaged(broker, lambda _: file.write_bytes(b"0\n\xffrot"), file.name)
            self.verify(load, broker)

    def case_a_rotten_log_start_checkpoint(self):
        with self.broker() as broker:
            file = broker.data_dir / "log-start-offset-checkpoint"
            load = self.damaged(broker, lambda _: file.write_bytes(b"0\n\xffrot"), file.name)
            self.verify(load, broker)

    def case_a_rotten_leader_epoch_checkpoint(self):
        with self.broker() as broker:
            load = self.damaged(broker, lambda _: (self.partition_dir(broker) / "leader-epoch-checkpoint").write_bytes(
                b"0\n\xffrot"), "leader-epoch-checkpoint")
            self.verify(load, broker)

    def case_a_bit_flipped_in_a_closed_segment(self):
        """Below the recovery point: never cut. The scrub says where it is damaged, the others serve."""
        with self.broker(stratalog_log_scrub_bytes_per_second="100000000") as broker:
            load = self.damaged(broker, self.flip, "00000000000000000000.log", clean=True)
            check(self.closed(broker).stat().st_size > 900_000, "the segment was cut")
            with Connection(broker.bootstrap) as connection:
                check(connection.fetch(*WELL, 0)[0] == 0, "the other partition does not answer")
            return f"its readers hear {self.refusing(broker)}, {len(load.partitions[HURT].acknowledged)} batches"

    def case_a_rotten_metadata_store(self):
        """Nothing can be served without it: the start says which file, and what to do; the logs are untouched."""
        with self.broker() as broker:
            self.topics(broker)
            with self.load(broker) as load:
                load.wait_for(HURT, 50)
            broker.stop()
            store = broker.data_dir / "stratalog-metadata.redb"
            before = store.read_bytes()
            for damage in (lambda: self.flip(store, 12), lambda: os.truncate(store, 1000), lambda: store.write_bytes(b"")):
                damage()
                try:
                    broker.restart()
                except brokers.StartError as refused:
                    check(store.name in str(refused), f"the start does not name the file: {str(refused)[-600:]}")
                    check("panicked" not in str(refused), f"a panic: {str(refused)[-600:]}")
                else:
                    # Whatever it could still read is all there is to know.
                    self.verify(load, broker)
                    broker.stop()
                store.write_bytes(before)
            broker.restart()
            self.verify(load, broker)

    # With a tier behind it.

    def case_a_damaged_segment_that_the_tier_has(self):
        """Healed: the tier's copy answers."""
        with self.broker() as broker:
            self.topics(broker, {})
            with self.load(broker) as load:
                load.wait_for(HURT, 300)
            broker.flush(HURT[0])
            broker.kill()
            segment = self.closed(broker)
            self.flip(segment)
            broker.restart()
            self.verify(load, broker)
            return f"{segment.name}"

    def case_a_deleted_segment_that_the_tier_has(self):
        with self.broker() as broker:
            self.topics(broker, {})
            with self.load(broker) as load:
                load.wait_for(HURT, 300)
            broker.flush(HURT[0])
            broker.stop()
            self.closed(broker).unlink()
            broker.restart()
            self.verify(load, broker)

    def in_the_tier_alone(self, broker) -> Load:
        """All that was acknowledged and is closed: its local copies are gone."""
        self.topics(broker, {})
        with self.load(broker) as load:
            load.wait_for(HURT, 300)
        for topic in (HURT[0], WELL[0]):
            broker.flush(topic)
            broker.evict(topic)
        return load

    def case_a_bit_flipped_in_an_object(self):
        """Nobody reads a wrong record: a named error for who asks, and `tier verify` finds it."""
        with self.broker() as broker:
            load = self.in_the_tier_alone(broker)
            listed = json.loads(broker.tier("ls", "--topic", HURT[0], "--format", "json"))
            oldest = listed["partitions"][0]["segments"][0]["object"]
            found = [path for path in (broker.data_dir / "tier").rglob("*.seg") if path.name == oldest.rsplit("/", 1)[-1]]
            check(len(found) == 1, f"objects called {oldest}: {found}")
            self.flip(found[0])
            last = load.partitions[HURT].acknowledged[-1][0]
            with Connection(broker.bootstrap, timeout_s=60) as connection:
                errors = {connection.fetch(*HURT, offset, 100_000)[0] for offset in range(0, last, 50)}
                check(errors != {0}, "no read of it failed")
            load.partitions[WELL].verify(broker.bootstrap)
            verified = processes.run(broker.tier_command("verify", "--topic", HURT[0]), 120,
                                     env=brokers.plain_environment())
            check(verified.returncode != 0 and found[0].name in verified.stdout + verified.stderr,
                  f"verify: {verified.stdout[-500:]} {verified.stderr[-500:]}")
            self.named(broker, found[0].name)
            return f"readers hear {sorted(errors - {0})}"

    def case_a_bit_flipped_in_a_cached_chunk(self):
        """In the broker's memory, where no checksum of a chunk is looked at again: the batch's own tells every client."""
        with self.broker() as broker:
            load = self.in_the_tier_alone(broker)
            base, first = load.partitions[HURT].acknowledged[20]
            with Connection(broker.bootstrap, timeout_s=60) as connection:
                error, _, data = connection.fetch(*HURT, base)
                check(error == 0 and len(records_of(data)) > 0, f"not readable before: error {error}")
                places = flip_in_memory(broker.pid, load.partitions[HURT].value(first))
                check(places > 0, "no chunk of it is in memory")
                error, _, data = connection.fetch(*HURT, base)
                believed = False
                try:
                    believed = error == 0 and len(records_of(data)) > 0
                except AssertionError as refused:
                    check("checksum" in str(refused), f"refused for something else: {refused}")
                check(not believed, "a flipped record was believed")
            load.partitions[WELL].verify(broker.bootstrap)
            # What is loaded again is right.
            broker.kill()
            broker.restart()
            self.verify(load, broker)
            return f"flipped in {places} places; the fetch answers {error}"

    def case_a_damaged_segment_is_not_uploaded(self):
        """A rotten batch never leaves as good: the upload stops there and names it."""
        with self.broker(remote_log_manager_task_interval_ms="3600000") as broker:
            self.topics(broker, {})
            with self.load(broker) as load:
                load.wait_for(HURT, 300)
            segment = self.closed(broker)
            self.flip(segment)
            flush = processes.run(broker.tier_command("flush", "--topic", HURT[0], "--wait"), 120,
                                  env=brokers.plain_environment())
            check(flush.returncode != 0, "a rotten segment was uploaded")
            check(segment.name in flush.stderr, f"the segment is not named: {flush.stderr[-800:]}")
            broker.flush(WELL[0])
            load.partitions[WELL].verify(broker.bootstrap)
