"""How long an attempt lasts by the ticks, and when time itself is not to be trusted."""

from __future__ import annotations

from xrollout_ros.core.clock import seconds


class AttemptClock:
    """Reads the time of the ticks."""

    def __init__(self) -> None:
        self._begun_ns: int | None = None
        self._last_ns: int | None = None

    def begin(self) -> None:
        """An attempt begins: its first tick is its time zero."""
        self._begun_ns = None

    def advance(self, t_ns: int) -> float:
        """A tick at ``t_ns``; gives the time since the one before, s: negative where the clock was set back."""
        last_ns, self._last_ns = self._last_ns, t_ns
        passed_ns = 0 if last_ns is None else t_ns - last_ns
        if self._begun_ns is None:
            self._begun_ns = t_ns
        elif passed_ns < 0:
            self._begun_ns += passed_ns
        return seconds(passed_ns)

    def elapsed_s(self, t_ns: int) -> float:
        """Since the attempt's first tick, s."""
        return 0.0 if self._begun_ns is None else seconds(t_ns - self._begun_ns)
