"""What happened last, in memory: a ring of messages bounded in bytes and in seconds, and taps that follow it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from xrollout_ros.core.clock import NS, nanoseconds, seconds
from xrollout_ros.core.errors import SpecError

ENTRY_BYTES = 256
"""What a message costs beside its payload, so that empty ones are bounded too."""
TAP_BYTES = 256 << 20
"""What may wait in a tap for a disk that is slower than the topics."""


class Kept(NamedTuple):
    """One message. The payload is shared with whoever else has it, never copied."""

    topic: str
    cdr: bytes
    log_time_ns: int
    keyframe: bool = True
    """False: an image of a video that needs the one before it."""

    @property
    def size(self) -> int:
        """What it counts in the ring."""
        return len(self.cdr) + ENTRY_BYTES


class Tap:
    """The messages with receive times from ``begin_ns`` to :attr:`until_ns`, each once.

    First those that were in the ring, then those that come. A video begins at the keyframe before ``begin_ns`` where
    the ring still has it, else at the next one. Made by :meth:`Ring.tap`.
    """

    def __init__(
        self, entries: Iterable[Kept], standing: dict[str, bytes], begin_ns: int, after_ns: int, capacity: int
    ) -> None:
        """Use :meth:`Ring.tap`."""
        self.begin_ns = begin_ns
        self.until_ns: int | None = None
        """The last moment that belongs to it; None: no end yet."""
        self.dropped: dict[str, int] = {}
        """What found no room, by topic."""
        self._standing = standing
        self._entries = deque(entries)
        self._after_ns = after_ns
        self._capacity = capacity
        self._waiting = 0
        self._live: deque[Kept] = deque()
        self._decodable: set[str] = set()
        self._broken: set[str] = set()
        self._needed: dict[str, list[Kept]] = {}
        self._changed = threading.Condition()
        self._closed = False

    @property
    def standing(self) -> dict[str, bytes]:
        """For each latched topic the sample that was in force at the begin; whole once :meth:`backlog` was called."""
        return {topic: cdr for topic, cdr in self._standing.items() if cdr}

    def backlog(self) -> deque[Kept]:
        """What was in the ring, to be emptied by the caller; once, before :meth:`take`."""
        entries, self._entries = self._entries, deque()
        starts = self._video_starts(entries)
        chosen: deque[Kept] = deque()
        while entries:
            kept = entries.popleft()
            if self._wanted(kept, starts.get(kept.topic)):
                chosen.append(kept)
            elif kept.topic in self._standing and kept.log_time_ns < self.begin_ns:
                self._standing[kept.topic] = kept.cdr
        self._decodable.update(topic for topic, start_ns in starts.items() if start_ns is not None)
        return chosen

    def _video_starts(self, entries: Iterable[Kept]) -> dict[str, int | None]:
        """For each video topic the time from which its images can be decoded; None: from none of them."""
        starts: dict[str, int | None] = {}
        oldest: dict[str, int] = {}
        videos = {kept.topic for kept in entries if not kept.keyframe}
        for kept in entries:
            if kept.topic not in videos:
                continue
            oldest.setdefault(kept.topic, kept.log_time_ns)
            start_ns = starts.setdefault(kept.topic, None)
            later = start_ns is None or kept.log_time_ns <= self.begin_ns
            if kept.keyframe and kept.log_time_ns > self._after_ns and later:
                starts[kept.topic] = kept.log_time_ns
        for topic, start_ns in starts.items():
            # What came before is in the bag already, up to the image before the first one here.
            continued = oldest[topic] <= self._after_ns
            if continued and (start_ns is None or start_ns > self.begin_ns):
                starts[topic] = self._after_ns + 1
        return starts

    def _wanted(self, kept: Kept, start_ns: int | None) -> bool:
        if kept.log_time_ns <= self._after_ns or (self.until_ns is not None and kept.log_time_ns > self.until_ns):
            return False
        if kept.keyframe and start_ns is None:
            return kept.log_time_ns >= self.begin_ns
        return start_ns is not None and kept.log_time_ns >= start_ns

    def put(self, kept: Kept) -> None:
        """A message has come; called by the ring."""
        with self._changed:
            over = self.until_ns is not None and kept.log_time_ns > self.until_ns
            if self._closed or over or kept.log_time_ns <= self._after_ns:
                return
            if kept.keyframe:
                self._broken.discard(kept.topic)
            if kept.topic in self._broken or self._waiting + kept.size > self._capacity:
                self.dropped[kept.topic] = self.dropped.get(kept.topic, 0) + 1
                self._broken.add(kept.topic)
                return
            self._waiting += kept.size
            self._live.append(kept)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> list[Kept]:
        """What has come since; waits for the first of it, at most ``timeout_s``."""
        with self._changed:
            if not self._live and not self._closed:
                self._changed.wait(timeout_s)
            live, self._live = self._live, deque()
            self._waiting = 0
        return [chosen for kept in live for chosen in self._with_what_it_needs(kept)]

    def _with_what_it_needs(self, kept: Kept) -> list[Kept]:
        """A message that has come, after the images that it cannot be decoded without; nothing for one too old."""
        if kept.log_time_ns < self.begin_ns:
            # An image that was being encoded when the tap began. It may be the one that a later one needs.
            if kept.keyframe:
                self._needed[kept.topic] = [kept]
            elif kept.topic in self._needed:
                self._needed[kept.topic].append(kept)
            elif kept.topic in self._decodable:
                return [kept]
            return []
        needed = self._needed.pop(kept.topic, [])
        if kept.keyframe or needed:
            self._decodable.add(kept.topic)
        if kept.topic not in self._decodable:
            return []
        return [kept] if kept.keyframe else [*needed, kept]

    def end(self, until_ns: int | None) -> None:
        """Let it end at this moment, or go on."""
        with self._changed:
            self.until_ns = until_ns

    def close(self) -> None:
        """Take nothing more; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Ring:
    """The newest messages of all topics; called from any thread.

    The oldest goes when the bytes exceed the capacity or it is older than the newest by more than the time kept. A
    message larger than the whole capacity is not kept, and counted. Of a latched topic the last sample that went is
    remembered, since it is still in force.
    """

    def __init__(self, keep_s: float, capacity_bytes: int, *, margin_s: float = 0.0) -> None:
        """
        Args:
            keep_s: how far back it reaches, s.
            capacity_bytes: bound of payloads and :data:`ENTRY_BYTES` for each message.
            margin_s: how much longer messages are kept, so that a video has the keyframe before the begin, s.

        Raises:
            SpecError: a bound is not positive.
        """
        if not keep_s > 0 or keep_s * NS >= 2**62:
            raise SpecError(f"the ring's time is {keep_s!r} s", "Give more than 0 s.")
        if capacity_bytes < 1:
            raise SpecError(f"the ring's capacity is {capacity_bytes!r} bytes", "Give more than 0.")
        self.keep_s, self.capacity_bytes = keep_s, capacity_bytes
        self.too_large = 0
        """Messages that were larger than the whole ring."""
        self._keep_ns = nanoseconds(keep_s + margin_s)
        self._entries: deque[Kept] = deque()
        self._bytes = 0
        self._newest_ns = 0
        self._standing: dict[str, bytes] = {}
        self._taps: list[Tap] = []
        self._lock = threading.Lock()

    def add(self, topic: str, cdr: bytes, log_time_ns: int, *, keyframe: bool = True, latched: bool = False) -> None:
        """Keep a message and hand it to the taps; never waits for anyone's disk."""
        kept = Kept(topic, cdr, log_time_ns, keyframe)
        with self._lock:
            for tap in self._taps:
                tap.put(kept)
            if latched:
                self._standing.setdefault(topic, b"")
            if kept.size > self.capacity_bytes:
                self.too_large += 1
                if latched:
                    self._standing[topic] = cdr
                return
            self._entries.append(kept)
            self._bytes += kept.size
            self._newest_ns = max(self._newest_ns, log_time_ns)
            self._evict()

    def _evict(self) -> None:
        oldest_ns = self._newest_ns - self._keep_ns
        while self._bytes > self.capacity_bytes or (self._entries and self._entries[0].log_time_ns < oldest_ns):
            gone = self._entries.popleft()
            self._bytes -= gone.size
            if gone.topic in self._standing:
                self._standing[gone.topic] = gone.cdr

    def tap(self, begin_ns: int, after_ns: int = -1, capacity_bytes: int = TAP_BYTES) -> Tap:
        """Follow the ring from a moment in the past on. Costs a reference for each message in it.

        Args:
            begin_ns: the moment; what has left the ring already is not there.
            after_ns: messages up to here belong to the tap before, which goes on until then.
            capacity_bytes: bound of what waits to be taken.
        """
        with self._lock:
            begin_ns = max(begin_ns, after_ns + 1)
            tap = Tap(self._entries, dict(self._standing), begin_ns, after_ns, capacity_bytes)
            self._taps.append(tap)
        return tap

    def untap(self, tap: Tap) -> None:
        """End a tap: nothing more comes to it."""
        with self._lock:
            if tap in self._taps:
                self._taps.remove(tap)
        tap.close()

    @property
    def bytes(self) -> int:
        """What the messages count."""
        return self._bytes

    @property
    def newest_ns(self) -> int:
        """Receive time of the newest message; 0: none has come."""
        return self._newest_ns

    @property
    def held_s(self) -> float:
        """How far back it reaches now, s."""
        with self._lock:
            return seconds(self._newest_ns - self._entries[0].log_time_ns) if self._entries else 0.0

    @property
    def messages(self) -> int:
        """How many there are."""
        return len(self._entries)

    def check(self) -> bool:
        """Whether the count is that of the messages, for tests."""
        with self._lock:
            return self._bytes == sum(kept.size for kept in self._entries)
