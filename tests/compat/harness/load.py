"""Producers that go on through faults, and know what was acknowledged to them."""

import threading
import time

from .report import check
from .wire import Closed, Connection, batch, records_of

# What a client tries again after: the leader is not there, storage, time-out, not enough replicas, coordinator and so on.
RETRIABLE = {3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 56, 60, 72, 74, 76, 77, 78, 81, 84, 89}
RECORDS_PER_BATCH = 10
PADDING = "." * 900


class Load:
    """One thread for each (topic, partition): batches of numbered records, each sent until it is acknowledged."""

    def __init__(self, bootstrap: str, *partitions: tuple[str, int]):
        self.bootstrap = bootstrap
        self.partitions = {partition: Producer(self, *partition) for partition in partitions}

    def __enter__(self):
        for producer in self.partitions.values():
            producer.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for producer in self.partitions.values():
            producer.stopping = True
        for producer in self.partitions.values():
            producer.thread.join(60)

    def wait_for(self, partition, batches: int, timeout_s: float = 60) -> None:
        """So many more of it were acknowledged."""
        producer = self.partitions[partition]
        wanted, deadline = len(producer.acknowledged) + batches, time.monotonic() + timeout_s
        while len(producer.acknowledged) < wanted:
            check(time.monotonic() < deadline, f"{partition}: no acknowledgement; last error {producer.last_error}")
            time.sleep(0.02)

    def wait_for_error(self, partition, timeout_s: float = 60) -> int:
        """The next error that it hears from now on."""
        producer = self.partitions[partition]
        producer.last_error = 0
        deadline = time.monotonic() + timeout_s
        while not producer.last_error:
            check(time.monotonic() < deadline, f"{partition}: no error")
            time.sleep(0.02)
        return producer.last_error


class Producer:
    def __init__(self, load, topic, partition):
        self.load, self.topic, self.partition = load, topic, partition
        # (base offset, first number) of each batch that was acknowledged.
        self.acknowledged: list[tuple[int, int]] = []
        self.last_error = 0
        self.errors: set[int] = set()
        self.stopping = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def value(self, number: int) -> bytes:
        return f"{self.topic}-{self.partition} {number} {PADDING}".encode()

    def run(self):
        number, connection = 0, None
        while not self.stopping:
            values = [self.value(number + each) for each in range(RECORDS_PER_BATCH)]
            try:
                connection = connection or Connection(self.load.bootstrap, timeout_s=10)
                error, offset = connection.produce(self.topic, self.partition, batch(values))
            except (Closed, OSError):
                connection = None
                time.sleep(0.05)
                continue
            if error == 0:
                self.acknowledged.append((offset, number))
                number += RECORDS_PER_BATCH
                continue
            self.last_error = error
            self.errors.add(error)
            time.sleep(0.05)

    def verify(self, bootstrap: str, from_offset: int = 0) -> int:
        """Every acknowledged record at or above `from_offset` is at its offset; answers how many there are."""
        want = {base + each: self.value(first + each) for base, first in list(self.acknowledged)
                for each in range(RECORDS_PER_BATCH)}
        want = {offset: value for offset, value in want.items() if offset >= from_offset}
        checked, offset, idle, deadline = 0, from_offset, 0, time.monotonic() + 20
        with Connection(bootstrap, timeout_s=30) as connection:
            while want and offset <= max(want):
                error, high_watermark, data = connection.fetch(self.topic, self.partition, offset)
                # A broker that has just started may have to look at its tier first.
                while error in RETRIABLE and time.monotonic() < deadline:
                    time.sleep(0.1)
                    error, high_watermark, data = connection.fetch(self.topic, self.partition, offset)
                check(error == 0, f"{self.topic}-{self.partition} at {offset}: error {error}")
                records = [record for record in records_of(data) if record[0] >= offset]
                idle = 0 if records else idle + 1
                check(idle < 100, f"{self.topic}-{self.partition}: nothing at {offset}, high watermark {high_watermark}")
                for at, value in records:
                    if at in want:
                        check(want[at] == value, f"{self.topic}-{self.partition}: another record at {at}: {value[:40]}")
                        checked += 1
                offset = records[-1][0] + 1 if records else offset
        check(checked == len(want), f"{self.topic}-{self.partition}: {len(want) - checked} acknowledged records are missing")
        return checked
