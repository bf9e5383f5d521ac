"""Files of lines that several processes add to: durably, and all lines of one go or none."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from xrollout_ros.core.files import sync


def append_lines(path: Path, lines: bytes) -> None:
    """Add whole lines; they are on the disk when this returns.

    Raises:
        OSError: the disk refuses; the file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _append(handle, lines)
    finally:
        os.close(handle)
    sync(path.parent)


def _append(handle: int, lines: bytes) -> None:
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        lines = b"\n" + lines  # a writer was killed in the middle of a line: that line stays, ours begin anew
    try:
        if os.write(handle, lines) != len(lines):
            raise OSError("the disk took only a part of the line")
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise
