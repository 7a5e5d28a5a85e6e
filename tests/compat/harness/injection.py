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


def flip_in_memory(pid: int, needle: bytes) -> int:
    """A bit of the last byte of `needle`, wherever a process has it in memory; answers in how many places."""
    piece_bytes, places = 16 << 20, []
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            for line in maps:
                span, rights, *_ = line.split(maxsplit=5)
                start, end = (int(side, 16) for side in span.split("-"))
                if not rights.startswith("rw"):
                    continue
                for piece in range(start, end, piece_bytes):
                    try:
                        memory.seek(piece)
                        content = memory.read(min(piece_bytes + len(needle) - 1, end - piece))
                    except OSError:
                        continue
                    at = content.find(needle)
                    while at >= 0:
                        places.append(piece + at + len(needle) - 1)
                        at = content.find(needle, at + 1)
            for place in places:
                memory.seek(place)
                memory.write(bytes([needle[-1] ^ 0x10]))
    except PermissionError as refused:
        raise Skip(f"another process's memory may not be written here: {refused}") from refused
    return len(places)
