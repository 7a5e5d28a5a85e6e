"""Faults of the kernel's calls in a running process, by strace: they last as long as the block."""

import subprocess
import time

from . import processes, tools
from .report import Skip, check


class Injection:
    """`syscalls` of `pid` meet `fault` (`error=EIO`, `delay_enter=200000`, …), where `path` says so on that file alone."""

    def __init__(self, pid: int, syscalls: str, fault: str, *paths):
        self.command = [tools.strace(), "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={syscalls}",
                        "-e", f"inject={syscalls}:{fault}"]
        for path in paths:
            self.command += ["-P", str(path)]
        self.process = None

    def __enter__(self):
        self.process = processes.spawn(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(0.5)
        if self.process.poll() is not None:
            said = self.process.stderr.read().decode(errors="replace")
            if "not permitted" in said:
                raise Skip(f"strace may not look at processes here: {said.strip()[-200:]}")
            check(False, f"strace ended: {said[-500:]}")
        return self

    def __exit__(self, *_):
        processes.stop(self.process)
        self.process.stderr.close()
