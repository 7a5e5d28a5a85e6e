"""Every command of README.md, run in its order: a README that stops working fails CI.

Each fenced block marked `sh` or `console` is a case, run by bash from the root of the clone with the release binary on the
PATH (in `console` only the lines that begin with `$ ` are commands). An invisible comment right above a block says more:

    <!-- ci: background READY -->   what it starts stays until the end; goes on once READY is in its output
    <!-- ci: minio READY -->        as background, once the broker before it is stopped and a MinIO with the bucket
                                    `my-bucket` is there, as the README takes for granted at this point
    <!-- ci: expect TEXT -->        its output must hold TEXT
    <!-- ci: skip REASON -->        not run here (counted as skipped even where nothing may be skipped)
"""

import contextlib
import os
import re
import shutil
import subprocess
import time

from harness import broker as brokers, processes, store
from harness.report import Report, Skip, check

TIMEOUT_S = 600
MINIO_PORT = 9000
_BLOCK = re.compile(r"(?:<!--\s*ci:\s*(\w+)\s*(.*?)\s*-->\s*\n+)?```(sh|console)\n(.*?)```", re.DOTALL)


def run(report: Report, options) -> None:
    readme = brokers.ROOT / "README.md"
    if options.broker != "stratalog" or not readme.exists():
        print("readme: nothing to run", flush=True)
        return
    made = [brokers.ROOT / "stratalog-data", brokers.ROOT / "with-s3"]
    for data in made:
        check(not data.exists(), f"{data} exists: the README's broker would open it; move it away first")
    commands = Commands(options.work_dir)
    try:
        for number, block in enumerate(blocks(readme.read_text()), 1):
            title = block[2].strip().splitlines()[0][:70]
            report.case(f"readme/{number} {title}", commands.run, *block)
    finally:
        commands.close()
        for data in made:
            shutil.rmtree(data, ignore_errors=True)


def blocks(text: str):
    """(what, its argument, script) of each block."""
    for what, argument, kind, body in _BLOCK.findall(text):
        if kind == "console":
            body = "\n".join(line[2:] for line in body.splitlines() if line.startswith("$ "))
        yield what, argument, body


class Commands:
    def __init__(self, directory):
        self.directory = directory
        self.logs = 0
        self.background = []
        self.objects = contextlib.ExitStack()
        release = brokers.Stratalog(directory / "unused").binary.parent
        self.env = brokers.plain_environment() | {"PATH": f"{release}:{os.environ['PATH']}"}

    def run(self, what, argument, script):
        if what == "skip":
            raise Skip(argument)
        bash = ["bash", "-euo", "pipefail", "-c", script]
        if what == "minio":
            self.stop()
            self.objects.enter_context(store.Minio(self.directory / "minio", "my-bucket", MINIO_PORT))
        if what in ("background", "minio"):
            return self.start(bash, argument)
        done = processes.run(bash, TIMEOUT_S, cwd=brokers.ROOT, env=self.env)
        check(done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        if what == "expect":
            check(argument in done.stdout + done.stderr, f"{argument!r} is not in its output:\n{done.stdout[-1500:]}")

    def start(self, bash, ready):
        self.logs += 1
        output = self.directory / f"readme-{self.logs}.log"
        with open(output, "wb") as log:
            child = processes.spawn(bash, stdout=log, stderr=subprocess.STDOUT, cwd=brokers.ROOT, env=self.env)
        self.background.append(child)
        deadline = time.monotonic() + TIMEOUT_S
        while ready not in output.read_text(errors="replace"):
            check(child.poll() is None, f"ended with {child.returncode}:\n{output.read_text(errors='replace')[-1500:]}")
            check(time.monotonic() < deadline, f"{ready!r} is not in its output after {TIMEOUT_S} s")
            time.sleep(0.05)

    def stop(self):
        """The whole group: `cargo run` and the broker under it."""
        for child in self.background:
            try:
                os.killpg(child.pid, 15)
            except ProcessLookupError:
                pass
            processes.stop(child)
        self.background.clear()

    def close(self):
        self.stop()
        self.objects.close()
