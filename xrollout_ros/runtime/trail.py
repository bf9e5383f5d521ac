"""The path that the robot has travelled, for going back along it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import nanoseconds


@dataclass(frozen=True)
class Waypoint:
    """Where the robot was."""

    t_ns: int
    sent: Array
    """(A,) what was sent there."""
    point: Array | None
    """Measured value of ``safety.point.observation``; None: not known."""


class Trail:
    """Waypoints at least a period apart, the newest ``keep_s``.

    Args:
        keep_s: how much is kept, s.
        period_ns: time between two waypoints.
    """

    def __init__(self, keep_s: float, period_ns: int) -> None:
        self._keep_ns, self._period_ns = nanoseconds(keep_s), period_ns
        self._waypoints: deque[Waypoint] = deque()

    def __len__(self) -> int:
        return len(self._waypoints)

    def clear(self) -> None:
        """Forget it, for the next attempt or because time began anew."""
        self._waypoints.clear()

    def add(self, waypoint: Waypoint) -> None:
        """The robot is here now."""
        if not self._keep_ns:
            return
        if self._waypoints and abs(waypoint.t_ns - self._waypoints[-1].t_ns) < self._period_ns:
            return
        self._waypoints.append(waypoint)
        while waypoint.t_ns - self._waypoints[0].t_ns > self._keep_ns:
            self._waypoints.popleft()

    def back(self, duration_s: float | None = None) -> list[Waypoint]:
        """The waypoints of the newest ``duration_s`` (None: all), newest first."""
        if not self._waypoints:
            return []
        since_ns = self._waypoints[-1].t_ns - (self._keep_ns if duration_s is None else nanoseconds(duration_s))
        return [waypoint for waypoint in reversed(self._waypoints) if waypoint.t_ns >= since_ns]
