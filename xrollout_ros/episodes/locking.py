"""One process at a time for what reads the journal and then writes to it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xrollout_ros.core.errors import DataError


@contextmanager
def alone(data: Path, name: str, what: str) -> Iterator[None]:
    """Wait for the others who hold this lock, and hold it.

    Args:
        data: the data folder.
        name: of the lock's file in it.
        what: what is not done where the lock cannot be taken, e.g. ``nothing was tagged``.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        handle = os.open(data / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DataError(f"the data folder {data} cannot be written ({error})", f"Mend its rights; {what}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
