"""Child processes that never outlive the driver: the kernel kills them when it dies, `stop_all` when it ends."""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_live: list[subprocess.Popen] = []


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(command, **options) -> subprocess.Popen:
    """Starts `command` in its own session (so that Ctrl-C reaches the driver alone). Call from the main thread."""
    options.setdefault("stdin", subprocess.DEVNULL)
    if sys.platform == "linux":
        options["preexec_fn"] = _die_with_parent
    child = subprocess.Popen([str(part) for part in command], start_new_session=True, **options)
    _live.append(child)
    return child


def run(command, timeout_s: float, **options) -> subprocess.CompletedProcess:
    """Runs to the end, output captured as text; past `timeout_s` the child is killed and TimeoutExpired raised."""
    child = spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", **options)
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise
    finally:
        forget(child)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def stop(child: subprocess.Popen, kill: bool = False, timeout_s: float = 60) -> int:
    """Ends `child` and returns its exit code; a child that ignores SIGTERM for `timeout_s` is killed."""
    if child.poll() is None:
        child.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    forget(child)
    return child.returncode


def freeze(child: subprocess.Popen) -> None:
    """Returns when no thread of `child` runs any more, Linux only: a call into the kernel is finished first."""
    child.send_signal(signal.SIGSTOP)
    while child.poll() is None and not all(state in "Tt" for state in _thread_states(child.pid)):
        time.sleep(0.0005)


def thaw(child: subprocess.Popen) -> None:
    child.send_signal(signal.SIGCONT)


def _thread_states(pid: int):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            yield (task / "stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:  # it ended meanwhile
            continue


def forget(child: subprocess.Popen) -> None:
    if child in _live:
        _live.remove(child)


def stop_all() -> None:
    for child in list(_live):
        stop(child, kill=True)


def rss_bytes(pid: int) -> int:
    """Resident memory, Linux only."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far, Linux only."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
