"""The client programs, one per Kafka client, and how a plan of jobs is handed to one."""

import json
import pathlib
import subprocess
import tempfile

from . import processes, tools

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
COMMANDS = {
    "librdkafka": lambda: tools.python_client("confluent"),
    "librdkafka-c": lambda: tools.librdkafka_client("c"),
    "librdkafka-rust": lambda: tools.librdkafka_client("rust"),
    "java": tools.java_client,
    "kafka-python": lambda: tools.python_client("kafka_python"),
    "aiokafka": lambda: tools.python_client("aio"),
    "franz-go": tools.go_client,
}


class ClientError(Exception):
    """A client program failed; the message is its own."""


class Run:
    """A client program working through a plan."""

    def __init__(self, client: str, bootstrap: str, jobs: list[dict], timeout_s: int):
        self.client = client
        self.timeout_s = timeout_s
        self.jobs = jobs
        for job in jobs:
            job.setdefault("timeout_s", timeout_s)
        self._directory = tempfile.TemporaryDirectory(prefix="compat-client-")
        plan = pathlib.Path(self._directory.name) / "plan.json"
        plan.write_text(json.dumps({"bootstrap": bootstrap, "jobs": jobs}))
        self.process = processes.spawn([*COMMANDS[client](), plan], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True, errors="replace")

    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self) -> list[dict]:
        """One result per job, in order; what failed or never ran carries "error"."""
        try:
            out, err = self.process.communicate(timeout=self.timeout_s * len(self.jobs) + 30)
            ending = f"exit code {self.process.returncode}"
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            ending = "killed, out of time"
        processes.forget(self.process)
        self._directory.cleanup()
        results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        for job in self.jobs[len(results):]:
            results.append({"op": job["op"], "topic": job["topic"], "error": f"no result, {ending}: {err[-1500:]}"})
        return results


def run(client: str, bootstrap: str, jobs: list[dict], timeout_s: int = 120) -> list[dict]:
    """Results of all jobs; raises ClientError at the first that failed."""
    results = Run(client, bootstrap, jobs, timeout_s).wait()
    for result in results:
        if "error" in result:
            raise ClientError(f"{client} {result['op']} {result['topic']}: {result['error']}")
    return results


def create_topics(bootstrap: str, topics: list[str], partitions: int, configs: dict[str, str]) -> None:
    run("librdkafka", bootstrap,
        [{"op": "create", "topic": topic, "partitions": partitions, "configs": configs} for topic in topics])
