"""A small disk of its own for a broker's data: a tmpfs, for as long as the block lasts."""

import contextlib
import os
import pathlib

from . import processes
from .report import Skip


@contextlib.contextmanager
def small(volume: pathlib.Path, data_dir: pathlib.Path, mib: int):
    """Mounts it at `volume`; `data_dir` leads to a directory there."""
    volume.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", volume]
    if os.geteuid() != 0 or processes.run(mount, 10).returncode != 0:
        raise Skip("cannot mount a small file system here")
    try:
        (volume / "data").mkdir()
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        data_dir.symlink_to(volume / "data")
        yield
    finally:
        processes.run(["umount", "-l", volume], 10)
