"""Members of consumer groups: a process each, of any client."""

import json
import os
import subprocess
import threading
import time

from . import processes, tools
from .group_judge import Story
from .report import check

COMMANDS = {
    "librdkafka": lambda job: [*tools.python_client("member"), job],
    "librdkafka-c": lambda job: [*tools.librdkafka_client("c"), "member", job],
    "librdkafka-rust": lambda job: [*tools.librdkafka_client("rust"), "member", job],
    "kafka-python": lambda job: [*tools.python_client("member"), job],
    "aiokafka": lambda job: [*tools.python_client("member"), job],
    "java": lambda job: [*tools.java_client("Member", heap="96m"), job],
    "franz-go": lambda job: [*tools.go_client(), "member", job],
    "kafkajs": lambda job: [*tools.node_client("member"), job],
}


class Member(Story):
    """One process; its events are read as they come."""

    def __init__(self, job: dict, who: str, log):
        super().__init__(who, [])
        self.log = open(log, "w+b")
        self.process = processes.spawn(COMMANDS[job["client"]](json.dumps(job)), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=self.log)
        self.latest, self.leaving = {}, False
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if line.startswith(b"{") and line.endswith(b"}\n"):
                event = json.loads(line)
                self.events.append(event)
                for partition, offset in event.get("records", ()):
                    self.latest[partition] = offset

    def order(self, command: str):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def kill(self):
        self.killed_at = time.monotonic_ns()
        processes.stop(self.process, kill=True)

    def freeze(self):
        self.lapses.append(time.monotonic_ns())
        processes.freeze(self.process)

    def thaw(self, expelled: bool):
        """`expelled`: it was away for longer than the group waits."""
        if not expelled:
            self.lapses.pop()
        processes.thaw(self.process)

    def leave(self):
        self.leaving = True
        self.process.stdin.close()

    def left(self) -> bool:
        """True once it has ended as it should; complains when it ended in another way."""
        code = self.process.poll()
        if code is None:
            return False
        processes.forget(self.process)
        self.reader.join(10)
        check(code == 0 and self.leaving, f"{self.who} ended with {code}: {self.tail()}")
        return True

    def tail(self) -> str:
        self.log.flush()
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, size - 1500))
        return self.log.read().decode(errors="replace")
