"""A queue bounded in bytes, between callbacks that must not wait and a disk that may."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

_OVERHEAD_BYTES = 128
"""What an entry costs beside its payload, so that empty messages are bounded too."""
_SMALL_BYTES = 64 * 1024
"""Up to here an entry may use the reserve: a flood of images must not push out commands and states."""
_RESERVE = 1 / 8


class ByteQueue(Generic[T]):
    """First in, first out; :meth:`put` may be called from any thread, :meth:`take` from one.

    An entry counts until it is released, so what the taker has in hand is bounded as well. The last eighth of the
    capacity is kept for small entries.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._used = 0
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._waiting = False

    def put(self, item: T, size: int) -> bool:
        """Add an entry of ``size`` bytes; False, at once, when there is no room or the queue is closed."""
        with self._changed:
            if self._closed or not self._fits(size):
                return False
            self._used += size + _OVERHEAD_BYTES
            self._append(item)
            return True

    def wait_for_room(self, size: int, timeout_s: float) -> bool:
        """Wait until an entry of ``size`` bytes would find room; for the one who alone puts and may wait.

        Returns:
            False when it did not within ``timeout_s``, or the queue is closed.
        """
        with self._changed:
            self._waiting = True
            self._changed.wait_for(lambda: self._closed or self._fits(size), timeout_s)
            self._waiting = False
            return not self._closed and self._fits(size)

    def _fits(self, size: int) -> bool:
        limit = self._capacity if size <= _SMALL_BYTES else self._capacity * (1 - _RESERVE)
        return self._used + size + _OVERHEAD_BYTES <= limit

    def put_control(self, item: T) -> bool:
        """Add an entry that counts no bytes and always finds room; False when the queue is closed."""
        with self._changed:
            if self._closed:
                return False
            self._append(item)
            return True

    def _append(self, item: T) -> None:
        self._items.append(item)
        if len(self._items) == 1:
            self._changed.notify_all()

    def take(self, timeout_s: float | None) -> deque[T]:
        """All entries there are; waits for the first one, at most ``timeout_s``, then gives none."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(timeout_s)
            items, self._items = self._items, deque()
            return items

    def release(self, size: int) -> None:
        """An entry of ``size`` bytes has been dealt with: make room."""
        with self._changed:
            self._used -= size + _OVERHEAD_BYTES
            if self._waiting:
                self._changed.notify_all()

    def close(self) -> None:
        """Let nothing more in; entries that are there stay to be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
