"""What a recovery policy is: the main policy explores, it withdraws, and collection goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.trail import Waypoint


class Progress(Enum):
    """How a recovery goes."""

    UNDER_WAY = "under way"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Now:
    """What a recovery policy sees in one tick."""

    t_ns: int
    """Time of the tick."""
    t_s: float
    """Since it began."""
    dt_s: float
    """Time in which the robot may move on."""
    origin: Array
    """(A,) what was sent last, or where the robot stands; NaN: unknown."""
    hold: Array
    """(A,) what holds it still where it was when the recovery began."""
    values: Mapping[str, Array]
    """Measured observations by name; those that the RobotSpec's ``safety`` and actions name."""
    clear: bool
    """No check calls for a recovery any more."""


class RecoveryPolicy(Protocol):
    """Drives the robot until it has recovered. Called in every tick of RECOVERING: it must take microseconds."""

    @property
    def name(self) -> str: ...

    def begin(self, robot: RobotSpec, path: list[Waypoint]) -> bool:
        """It is its turn; ``path`` is what the robot travelled, newest first. False: it cannot do anything here."""
        ...

    def act(self, now: Now) -> Array | Progress | None:
        """The action (A,), which is limited like any other; None: it has succeeded.

        ``UNDER_WAY``: nothing is due in this tick, the robot holds. ``FAILED``: it gives up, the next one is tried.
        """
        ...
