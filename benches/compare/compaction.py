"""Compaction: the package records replayed twenty times, made into one log of each package's last record.

Cleaning is held back by the topic's dirty ratio while the log is filled, then let go; the time and the broker's CPU from
there to the cleaner's checkpoint are what is measured. Then the same again while a producer asks for synced
acknowledgements on another topic.
"""

import json
import pathlib
import subprocess
import time

from harness import processes

GOALS = ("compaction",)
REPLAYS = 20
SEGMENT_BYTES = 64 << 20
SETTINGS = {"log.cleaner.backoff.ms": "100"}
HELD_BACK = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1.0", "segment.bytes": str(SEGMENT_BYTES)}
COST = (("mb_s", "{:,.0f} MB/s"), ("cpu_s", "{:.2f} CPU s"), ("rss_mib", "{:,.0f} MiB"), ("left", "{:.3f} left"))
LATENCY = (("p50_ms", "p50 {:.1f} ms"), ("cleaning_s", "cleaned in {:.1f} s"), ("mb_s", "{:.0f} MB/s"))


class Compaction:
    def __init__(self, bench, row, data: pathlib.Path):
        self.bench, self.row, self.data = bench, row, data

    def measure(self):
        with self.bench.pair("compaction", SETTINGS):
            total = min(REPLAYS * self.data.stat().st_size, self.bench.options.bytes)
            name = f"compaction, {total / 1e9:.1f} GB of package records"
            self.bench.alternate(self.row(name, bar=3.0, metric="mb_cpu_s", unit="MB per CPU s", extras=COST),
                                 lambda contender: self.clean(contender, total), total, warm_ups=0)
            row = self.row("produce p99 while the cleaner runs", metric="p99_ms", unit="ms", less_is_better=True,
                           extras=LATENCY)
            self.bench.alternate(row, lambda contender: self.produce(contender, total), total, warm_ups=0)

    def dirty(self, contender, total) -> tuple[str, pathlib.Path]:
        topic = self.bench.topic()
        contender.create(topic, **HELD_BACK, **contender.topic_configs(sync=False), **local_only(contender))
        self.bench.ask_loadgen("fill", contender, topic=topic, data=self.data, batch_bytes=65_536, total_bytes=total)
        time.sleep(2)  # what was written behind is written
        return topic, contender.broker.data_dir / f"{topic}-0"

    def let_go(self, contender, topic):
        self.bench.ask_loadgen("configure", contender, topic=topic, name="min.cleanable.dirty.ratio", value="0.01")

    def clean(self, contender, total) -> dict:
        topic, directory = self.dirty(contender, total)
        before = closed_bytes(directory)
        cpu = processes.cpu_seconds(contender.broker.pid)
        began = time.monotonic()
        self.let_go(contender, topic)
        wait_until_clean(directory)
        seconds = time.monotonic() - began
        cpu = processes.cpu_seconds(contender.broker.pid) - cpu
        run = {"bytes": before, "seconds": seconds, "cpu_s": cpu, "mb_s": before / seconds / 1e6,
               "mb_cpu_s": before / cpu / 1e6, "left": closed_bytes(directory) / before,
               "rss_mib": processes.rss_bytes(contender.broker.pid) / (1 << 20)}
        contender.delete(topic)
        return run

    def produce(self, contender, total) -> dict:
        topic, directory = self.dirty(contender, total)
        synced = self.bench.topic()
        contender.create(synced, **contender.topic_configs(sync=True), **local_only(contender))
        load = processes.spawn(self.bench.load_command(
            "produce", contender, topic=synced, batch_bytes=16_384, in_flight=1, seconds=self.bench.options.seconds),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        began = time.monotonic()
        self.let_go(contender, topic)
        wait_until_clean(directory)
        cleaning_s = time.monotonic() - began
        out, err = load.communicate(timeout=600)
        processes.forget(load)
        if load.returncode:
            raise RuntimeError(f"{contender.label}: {err}")
        run = json.loads(out) | {"cleaning_s": cleaning_s}
        run["mb_s"] = run["bytes"] / run["seconds"] / 1e6
        for name in (topic, synced):
            contender.delete(name)
        return run


def local_only(contender) -> dict[str, str]:
    return {"remote.storage.enable": "false"} if contender.kind == "stratalog" else {}


def closed_bytes(directory: pathlib.Path) -> int:
    segments = sorted(directory.glob("*.log"))
    return sum(file.stat().st_size for file in segments[:-1])


def wait_until_clean(directory: pathlib.Path) -> None:
    """Until the cleaner's checkpoint is at the active segment."""
    topic, partition = directory.name.rsplit("-", 1)
    checkpoint = directory.parent / "cleaner-offset-checkpoint"
    deadline = time.monotonic() + 600
    active = max(int(file.stem) for file in directory.glob("*.log"))
    while time.monotonic() < deadline:
        lines = checkpoint.read_text().splitlines()[2:] if checkpoint.exists() else []
        if any(line.split()[:2] == [topic, partition] and int(line.split()[2]) >= active for line in lines):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{directory} is not clean after 600 s")
