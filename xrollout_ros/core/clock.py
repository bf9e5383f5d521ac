"""The one place where time is read."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol

NS = 1_000_000_000


class Clock(Protocol):
    """What logic needs of time; tests pass their own."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, for stamps."""
        ...

    def steady_ns(self) -> int:
        """Nanoseconds that never jump, for watchdogs and periods."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def steady_ns(self) -> int:
        return time.monotonic_ns()


def utc_now(clock: Clock) -> str:
    """The time by a clock: ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(clock.wall_ns() / NS, timezone.utc).isoformat(timespec="seconds")


def seconds(ns: int) -> float:
    """Nanoseconds as seconds."""
    return ns / NS


def nanoseconds(s: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(s * NS)
