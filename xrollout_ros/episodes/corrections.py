"""Keeps of an attempt only what an operator corrected, with some time round it."""

from __future__ import annotations

import threading

from xrollout_ros.core.clock import nanoseconds, seconds
from xrollout_ros.core.episode import KeptSpan
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.ring import Kept, Ring, Tap
from xrollout_ros.episodes.strategies import Margin

DISK_WAIT_S = 20.0
_TURN_S = 0.05


def write_kept(writer: BagWriter, kept: Kept) -> None:
    """Write one message; waits for room, so it is not for a callback.

    Raises:
        BagError: the disk refuses, or is too slow.
    """
    if not writer.wait_for_room(len(kept.cdr), DISK_WAIT_S) or not writer.write(*kept[:3]):
        raise writer.failure or BagError(
            f"the bag {writer.path} cannot be written fast enough", "Check the disk, or record less."
        )


class Corrections:
    """Of one attempt. The calls come from the recorder's thread and wait for nobody but :meth:`finish`.

    What came before a correction is taken from the ring. Spans that touch are one; a message is written once, in
    whichever span it lies.
    """

    def __init__(self, ring: Ring, writer: BagWriter, margin: Margin, start_ns: int) -> None:
        """
        Args:
            ring: reaches back at least as far as the margin.
            writer: the attempt's bag; nobody else writes into it from now on.
            margin: what is kept round a correction.
            start_ns: the attempt's first moment.
        """
        self.problem = ""
        """Why something was not kept; empty: all was."""
        self._ring, self._writer, self._start_ns = ring, writer, start_ns
        self._before_ns, self._after_ns = nanoseconds(margin.before_s), nanoseconds(margin.after_s)
        self._taps: list[Tap] = []
        self._driving = False
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name="corrections", daemon=True)
        self._thread.start()

    def drives(self, driving: bool, at_ns: int) -> None:
        """The operator drives from this moment on, or does so no more; the same again changes nothing."""
        if driving == self._driving:
            return
        self._driving = driving
        if not driving:
            self._taps[-1].end(at_ns + self._after_ns)
            return
        last_ns = self._taps[-1].until_ns if self._taps else None
        if last_ns is not None and at_ns <= last_ns:
            self._taps[-1].end(None)
            return
        begin_ns = max(self._start_ns, at_ns - self._before_ns)
        self._taps.append(self._ring.tap(begin_ns, after_ns=-1 if last_ns is None else last_ns))

    def finish(self, end_ns: int, timeout_s: float) -> list[KeptSpan]:
        """Write what is left, at the end of the attempt.

        Returns:
            What the bag holds.
        """
        for tap in self._taps:
            if tap.until_ns is None or tap.until_ns > end_ns:
                tap.end(end_ns)
            self._ring.untap(tap)
        self._finished.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.problem = f"not all corrections were written within {timeout_s:g} s"
        return [
            KeptSpan(begin_s=self._since_start_s(tap.begin_ns), end_s=self._since_start_s(tap.until_ns or end_ns))
            for tap in self._taps
        ]

    def _since_start_s(self, time_ns: int) -> float:
        return max(0.0, seconds(time_ns - self._start_ns))

    def lost(self) -> dict[str, int]:
        """What found no room on its way, by topic."""
        lost: dict[str, int] = {}
        for tap in self._taps:
            for topic, count in tap.dropped.items():
                lost[topic] = lost.get(topic, 0) + count
        return lost

    def _run(self) -> None:
        try:
            self._write_all()
        except BagError as error:
            self.problem = str(error)

    def _write_all(self) -> None:
        latched: dict[str, bytes] = {}
        begun = 0
        last = False
        while not last:
            # Everything is in the taps before the attempt is finished, so one more turn empties them.
            last = self._finished.is_set()
            for number, tap in enumerate(list(self._taps)):
                if number >= begun:
                    begun += 1
                    self._begin(tap, latched)
                for kept in tap.take(0.0):
                    write_kept(self._writer, kept)
            if not last:
                self._finished.wait(_TURN_S)

    def _begin(self, tap: Tap, latched: dict[str, bytes]) -> None:
        entries = tap.backlog()
        for topic, cdr in tap.standing.items():
            if latched.get(topic) != cdr:
                latched[topic] = cdr
                write_kept(self._writer, Kept(topic, cdr, tap.begin_ns))
        while entries:
            write_kept(self._writer, entries.popleft())
