"""What an episode is made of, topic by topic, before commands and observations are paired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

COMMAND_TOPIC = "/xrollout/command"
SAFETY_TOPIC = "/xrollout/supervisor/event"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Observed:
    """One entry of the RobotSpec's observations."""

    stamped: bool
    """Whether its messages carry a header, whose stamp counts then; else the time they were received."""
    times_ns: Ints
    """(N,) ascending, each once."""
    values: Floats
    """(N, size)."""


class SafetyEvent(NamedTuple):
    """A message of the supervisor about one check."""

    stamp_ns: int
    check: str
    severity: int
    value: float
    limit: float
    began: bool


@dataclass(frozen=True, eq=False)
class Streams:
    """The commands of one episode, by stamp and each once, and all that was observed meanwhile."""

    stamp_ns: Ints
    """(T,)"""
    received_ns: Ints
    """(T,)"""
    step: Ints
    """(T,)"""
    source: npt.NDArray[np.uint8]
    """(T,)"""
    mode: npt.NDArray[np.uint8]
    """(T,)"""
    action: Floats
    """(T, A)"""
    clipped: npt.NDArray[np.bool_]
    """(T, A)"""
    observed: dict[str, Observed]
    """By name of the entry."""
    counts: dict[str, int]
    """Messages of the observations' topics."""
    events: tuple[SafetyEvent, ...]
    """Of this episode, in the order received."""
