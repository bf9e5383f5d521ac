"""Writing files so that nothing half-written is ever seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from xrollout_ros.core.errors import DataError


def check_writable(path: Path, what: str) -> None:
    """Make sure, before hours of work, that ``path`` can be written at the end of them.

    Raises:
        DataError: it is a folder, or its folder cannot be written.
    """
    if path.is_dir():
        raise DataError(f"{what} {path} is a folder", f"Name a file, e.g. {path / 'checkpoint.pt'}.")
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise DataError(f"{what} {path} cannot be written: {parent} is not a writable folder", "Name another.")


def write_together(files: Mapping[Path, Callable[[Path], None]]) -> None:
    """Write several files, each by its function, and put them in place only when all are whole.

    Each is written under a temporary name beside its target, synced, then renamed over it in the order given; whatever
    interrupts this, no target is ever half-written and no temporary file stays.

    Raises:
        DataError: the disk refuses.
    """
    temporary = {path: path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}") for path in files}
    try:
        for path, write in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary[path])
            sync(temporary[path])
        for path, fresh in temporary.items():
            os.replace(fresh, path)
        for folder in {path.parent for path in files}:
            sync(folder)
    except OSError as error:
        names = ", ".join(map(str, files))
        what = f"{names} could not be written ({error})"
        raise DataError(what, "Free the disk or name another file.") from error
    finally:
        for fresh in temporary.values():
            if fresh.exists():
                fresh.unlink()


def write_texts(files: Mapping[Path, str]) -> None:
    """Write texts, UTF-8, as :func:`write_together` does.

    Raises:
        DataError: the disk refuses.
    """

    def writing(text: str) -> Callable[[Path], None]:
        return lambda fresh: write_bytes(fresh, text.encode())

    write_together({path: writing(text) for path, text in files.items()})


def write_bytes(path: Path, data: bytes) -> None:
    """``Path.write_bytes`` as a function for ``write_together``."""
    path.write_bytes(data)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
