"""How soon a broker serves again: after a clean stop and after kill -9, with many partitions, and with much data.

A start is timed from the process's first moment to the first answer of the last partition's ListOffsets. Open files are
those beside what a broker without a topic has open. Each contender runs alone; what the other has on the disk stays.
"""

import os
import time

from harness import processes

GOALS = ("start",)
NEVER = str((1 << 63) - 1)
COST = (("cpu_s", "{:.2f} CPU s"), ("rss_mib", "{:,.0f} MiB"), ("files", "{:,.0f} files"))
PARTITIONS_PER_TOPIC = 1000
DATA_PARTITIONS = 200
# Kafka takes minutes with 10,000 partitions.
PATIENCE_S = 1200


class Start:
    def __init__(self, bench, row):
        self.bench, self.options, self.row = bench, bench.options, row

    def measure(self, goals):
        if "start" not in goals:
            return
        for partitions in self.options.start_partitions:
            with self.bench.pair(f"start-{partitions}", settings(), tiered=False):
                for contender in self.bench.contenders:
                    self.fill(contender, partitions)
                self.restarts(f"{partitions:,} partitions, a record in each", partitions)
        if self.options.start_bytes:
            with self.bench.pair("start-data", settings(), tiered=False):
                for contender in self.bench.contenders:
                    self.produce(contender, self.options.start_bytes)
                self.restarts(f"{self.options.start_bytes / 1e9:.0f} GB in {DATA_PARTITIONS} partitions", DATA_PARTITIONS)
        if self.options.start_unsynced:
            self.unsynced(self.options.start_unsynced)

    def fill(self, contender, partitions):
        for first in range(0, partitions, PARTITIONS_PER_TOPIC):
            count = min(PARTITIONS_PER_TOPIC, partitions - first)
            contender.create_quietly(f"t{first}", count)
            wait_for_leaders(contender, f"t{first}", count)
            self.bench.ask_loadgen("prepare", contender, topic=f"t{first}", partitions=count)

    def produce(self, contender, total):
        contender.create_quietly("t0", DATA_PARTITIONS, **{"flush.messages": NEVER, "segment.bytes": str(64 << 20)})
        wait_for_leaders(contender, "t0", DATA_PARTITIONS)
        self.bench.load("produce", contender, topic="t0", partitions=DATA_PARTITIONS, connections=4, in_flight=5,
                        batch_bytes=65_536, total_bytes=total)

    def restarts(self, what, partitions):
        last = f"t{(partitions - 1) // PARTITIONS_PER_TOPIC * PARTITIONS_PER_TOPIC}"
        index = (partitions - 1) % PARTITIONS_PER_TOPIC
        for how in ("clean stop", "kill -9"):
            def body(contender):
                # A round of checkpoints after the records; then nothing is written.
                contender.broker.kill() if how == "kill -9" else contender.broker.stop(PATIENCE_S)
                return timed_start(contender, last, index)

            self.bench.alternate(self.new_row(f"start after {how}, {what}"), body, 0, warm_ups=0)

    def unsynced(self, total):
        """Records that nobody waited for, and the end comes at once."""
        with self.bench.pair("start-unsynced", settings(), tiered=False):
            def body(contender):
                self.produce(contender, total)
                contender.broker.kill()
                run = timed_start(contender, "t0", DATA_PARTITIONS - 1)
                contender.delete("t0")
                return run

            self.bench.alternate(self.new_row(f"start after kill -9, {total / 1e9:.0f} GB just written without sync"), body,
                                 0, warm_ups=0)

    def new_row(self, name):
        return self.row(name, bar=1.0, metric="start_s", unit="s", less_is_better=True, extras=COST)


def wait_for_leaders(contender, topic, partitions):
    """A broker of Kafka takes partitions over one after the other, some time after their creation was answered."""
    for partition in range(partitions):
        contender.wait_for_leader(topic, partition)


def settings():
    """Neither tiers, neither expires what was written; groups are not in the way."""
    return {"log.retention.ms": "-1", "offsets.topic.num.partitions": "1"}


def timed_start(contender, topic, partition) -> dict:
    contender.broker.start_timeout_s = PATIENCE_S
    began = time.monotonic()
    contender.broker.restart()
    contender.wait_for_leader(topic, partition)
    seconds = time.monotonic() - began
    pid = contender.broker.pid
    return {"start_s": seconds, "cpu_s": processes.cpu_seconds(pid), "rss_mib": processes.rss_bytes(pid) / (1 << 20),
            "files": len(os.listdir(f"/proc/{pid}/fd"))}
