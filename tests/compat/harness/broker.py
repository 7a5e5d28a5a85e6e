"""Brokers under test: Stratalog's release binary, and Apache Kafka for proving a suite against the original.

Both give: `bootstrap`, `start`, `stop`, `kill`, `restart`, `pid`, `log_text`, `data_dir`, and, where `tiers` says so,
`flush(topic)` and `evict(topic)`: everything closed, stored, committed; then no local copy of it left.
"""

import json
import os
import pathlib
import socket
import subprocess
import time

from . import processes, tools

ROOT = tools.HERE.parent.parent


class StartError(Exception):
    """The broker did not get ready; the message ends with its log."""


class Broker:
    """One broker process over one directory."""

    name = "?"
    tiers = False
    start_timeout_s = 60.0

    def __init__(self, directory: pathlib.Path, settings: dict[str, str] | None = None):
        self.directory = directory
        self.settings = dict(settings or {})
        self.process = None
        self.bootstrap = ""
        directory.mkdir(parents=True, exist_ok=True)

    data_dir = property(lambda self: self.directory / "data")
    log_file = property(lambda self: self.directory / "broker.log")
    pid = property(lambda self: self.process.pid)

    def log_text(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> "Broker":
        with open(self.log_file, "ab") as log:
            began_at = log.tell()
            self.process = processes.spawn(self._command(), stdout=log, stderr=subprocess.STDOUT, env=self._env())
        deadline = time.monotonic() + self.start_timeout_s
        while time.monotonic() < deadline:
            with open(self.log_file, "rb") as log:
                log.seek(began_at)
                text = log.read().decode(errors="replace")
            address = self._ready(text)
            if address:
                self.bootstrap = address
                return self
            if self.process.poll() is not None:
                raise StartError(f"{self.name} exited with {self.process.returncode}:\n{text[-3000:]}")
            time.sleep(0.02)
        self.kill()
        raise StartError(f"{self.name} not ready after {self.start_timeout_s:.0f} s:\n{text[-3000:]}")

    def stop(self, timeout_s: float = 60) -> int:
        return processes.stop(self.process, timeout_s=timeout_s) if self.process else 0

    def kill(self) -> None:
        if self.process:
            processes.stop(self.process, kill=True)

    def restart(self) -> None:
        """After `stop` or `kill`: the same directory on the same port."""
        self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _env(self):
        return plain_environment()

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _ready(self, text: str) -> str | None:
        raise NotImplementedError

    def flush(self, topic: str, timeout_s: float = 300) -> None:
        raise NotImplementedError

    def evict(self, topic: str, timeout_s: float = 300) -> None:
        raise NotImplementedError


class Stratalog(Broker):
    name = "stratalog"
    tiers = True
    start_timeout_s = 30.0

    def __init__(self, directory, settings=None, environment: dict[str, str] | None = None):
        super().__init__(directory, settings)
        self.environment = environment or {}
        self.admin = ""

    binary = property(lambda self: pathlib.Path(
        os.environ.get("STRATALOG_BIN")
        or pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release/stratalog"))

    def _command(self):
        if not self.binary.exists():
            raise tools.MissingTool(f"{self.binary} is not built: cargo build --release")
        listener = f"PLAINTEXT://{self.bootstrap or '127.0.0.1:0'}"
        command = [self.binary, "broker", "--data-dir", self.data_dir, "--listeners", listener, "--log-format", "json"]
        settings = {"stratalog.admin.listener": self.admin or "127.0.0.1:0"} | self.settings
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        return command

    def _env(self):
        return super()._env() | self.environment

    def _ready(self, text):
        for line in text.splitlines():
            if '"address"' not in line:
                continue
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # half a line: the rest comes with the next look
                continue
            fields = entry | entry.get("fields", {})
            self.admin = fields.get("admin", self.admin)
            if fields.get("address"):
                return str(fields["address"])
        return None

    def tier_command(self, *arguments: str) -> list[str]:
        return [str(self.binary), "tier", *arguments, "--admin", self.admin]

    def tier(self, *arguments: str, timeout_s: float = 300) -> str:
        done = processes.run(self.tier_command(*arguments), timeout_s, env=plain_environment())
        if done.returncode != 0:
            raise RuntimeError(f"tier {' '.join(arguments)}: exit code {done.returncode}: {done.stderr[-1500:]}")
        return done.stdout

    def flush(self, topic, timeout_s=300):
        self.tier("flush", "--topic", topic, "--wait", timeout_s=timeout_s)

    def evict(self, topic, timeout_s=300):
        self.tier("evict", "--topic", topic, timeout_s=timeout_s)


class ApacheKafka(Broker):
    """One KRaft node from the published jars. `tiered` gives it its own LocalTieredStorage (files)."""

    name = "kafka"
    start_timeout_s = 120.0

    def __init__(self, directory, settings=None, tiered: bool = False, heap: str = "1g"):
        super().__init__(directory, settings)
        self.tiers = tiered
        self.heap = heap
        self._port = None

    properties = property(lambda self: self.directory / "server.properties")

    def start(self):
        if self._port is None:
            self._port, controller = free_port(), free_port()
            self._write_properties(self._port, controller)
            self._format()
        return super().start()

    def _java(self, *arguments):
        tools.need("java")
        return ["java", f"-Xms{self.heap}", f"-Xmx{self.heap}", "-XX:+UseG1GC", "-Dcompat.log.level=info",
                f"-Dlog4j2.configurationFile={tools.HERE / 'clients/java/log4j2.properties'}",
                "-cp", f"{tools.kafka_libs()}/*", *arguments]

    def _command(self):
        return self._java("kafka.Kafka", str(self.properties))

    def _env(self):
        return super()._env() | {"KAFKA_LOG_DIR": str(self.directory)}

    def _ready(self, text):
        return f"127.0.0.1:{self._port}" if "Kafka Server started" in text else None

    def _format(self):
        tools.step(self._java("kafka.tools.StorageTool", "format", "--standalone", "-t", "Y29tcGF0LWNsdXN0ZXItMQ",
                              "-c", str(self.properties)))

    def _write_properties(self, port, controller):
        settings = {
            "process.roles": "broker,controller", "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.data_dir), "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
        }
        if self.tiers:
            settings |= {
                "remote.log.storage.system.enable": "true", "remote.log.metadata.manager.listener.name": "PLAINTEXT",
                "remote.log.storage.manager.class.name":
                    "org.apache.kafka.server.log.remote.storage.LocalTieredStorage",
                "remote.log.storage.manager.impl.prefix": "rsm.config.",
                "rsm.config.dir": str(self.directory / "remote"), "rsm.config.delete.on.close": "false",
                "rlmm.config.remote.log.metadata.topic.replication.factor": "1",
                "remote.log.manager.task.interval.ms": "500", "log.retention.check.interval.ms": "1000",
            }
        settings |= self.settings
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))


def plain_environment() -> dict[str, str]:
    """Ours without what a broker reads as configuration (and STRATALOG_BIN, STRATALOG_CACHE, which it would refuse)."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "STRATALOG_"))}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make(kind: str, directory: pathlib.Path, **options) -> Broker:
    return {"stratalog": Stratalog, "kafka": ApacheKafka}[kind](directory, **options)
