"""Measures ticks: how long they took, how late they were."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 1024


@dataclass(frozen=True)
class MeterReport:
    """Ticks since the report before."""

    ticks: int
    worst_s: float
    p99_s: float
    worst_late_s: float
    late_ticks: int
    """Ticks that were late by more than half a period, since the start."""


class Meter:
    """Notes ticks; the newest 1024 of a window count for the percentile, all of them for the rest.

    Args:
        period_s: a tick later than half of this counts as late; 0: nothing is scheduled.
    """

    def __init__(self, period_s: float = 0.0) -> None:
        self.period_s = period_s
        self._late_ticks = 0
        self._clear()

    def _clear(self) -> None:
        self._spent: deque[float] = deque(maxlen=WINDOW)
        self._ticks = 0
        self._worst_s = self._worst_late_s = 0.0

    def note(self, spent_s: float, late_s: float = 0.0) -> None:
        """One tick took ``spent_s`` and was done ``late_s`` after its scheduled time."""
        self._ticks += 1
        self._spent.append(spent_s)
        self._worst_s = max(self._worst_s, spent_s)
        self._worst_late_s = max(self._worst_late_s, late_s)
        if self.period_s and late_s > self.period_s / 2:
            self._late_ticks += 1

    def missed(self, ticks: int) -> None:
        """So many ticks were not made at all: they are late too."""
        self._late_ticks += ticks

    def report(self) -> MeterReport:
        """What was noted since the last report."""
        ordered = sorted(self._spent)
        p99_s = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0.0
        report = MeterReport(self._ticks, self._worst_s, p99_s, self._worst_late_s, self._late_ticks)
        self._clear()
        return report
