"""Where the robot is and what "hold" means for it: measured positions, what was sent last, each dimension's rule."""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.action import ActionKind, HoldRule
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.robot import RobotSpec

OUTSIDE = 0.02
"""Share of a dimension's range by which it may be measured outside: noise, and calibration."""


class Posture:
    """Knows, for each action dimension, what was sent last and what is measured.

    A dimension that holds its measured position is frozen where it was when holding began. (Following the measurement
    would let an arm that sags under its weight creep down, tick by tick.) Unknown is NaN, and is never sent.

    Args:
        robot: its rules.
        stepped: a simulator's step needs a command, so what nothing is known of holds zero there.
    """

    def __init__(self, robot: RobotSpec, *, stepped: bool) -> None:
        self._dims = robot.actions
        self._lower, self._upper = robot.lower, robot.upper
        self._stepped = stepped
        self._simulated = stepped or robot.sim is not None
        self._values: dict[str, Array] = {}
        self._ceases = np.array([dim.kind in (ActionKind.VELOCITY, ActionKind.EFFORT) for dim in self._dims])
        """What a robot does only as long as it is told to."""
        self._sent = np.full(robot.action_dim, np.nan)
        self._frozen: Array | None = None

    def begin(self) -> None:
        """An attempt begins. The robot need not be where it was sent last, but still grips what it gripped.

        In real time a velocity or effort goes on from what was sent: attempts can follow each other faster than it
        comes to rest.
        """
        gripped = np.array([dim.hold is HoldRule.KEEP and not self._simulated for dim in self._dims])
        kept = gripped | (self._ceases & (not self._stepped))
        self._sent = np.where(kept, self._sent, np.nan)
        self._frozen = None

    def measured(self, observation: str, value: Array) -> None:
        """The newest value of an observation."""
        self._values[observation] = value.reshape(-1)

    def sent(self, action: Array) -> None:
        """This was sent."""
        self._sent = action

    def silent(self) -> None:
        """Nothing was sent for so long that the driver has stopped the robot: what moved begins from rest."""
        self._sent = np.where(self._ceases, np.nan, self._sent)

    def move(self) -> None:
        """Somebody drives: holding is over."""
        self._frozen = None

    def obstacle(self) -> str:
        """Why nothing at all may be sent; empty: it may.

        Either a position that is held where it is measured is not measured, or the robot stands so far outside its
        limits that the first command, which is within them, would be a leap.
        """
        here = self._here()
        blind = [
            dim.name
            for dim, place in zip(self._dims, here, strict=True)
            if dim.hold is HoldRule.MEASURED and np.isnan(place)
        ]
        if blind:
            return f"{', '.join(blind)}: position not measured"
        for dim, place, sent in zip(self._dims, here, self._sent, strict=True):
            slack = OUTSIDE * (dim.upper - dim.lower)
            if np.isnan(sent) and not np.isnan(place) and not dim.lower - slack <= place <= dim.upper + slack:
                return f"{dim.name}: measured {place:.4g}, its limits are {dim.lower:g} to {dim.upper:g}"
        return ""

    def origin(self) -> Array:
        """Where a motion begins ``(A,)``: what was sent last, else what is measured, else rest; NaN: unknown."""
        rest = np.where(self._ceases, 0.0, np.nan)
        here = self._here()
        begin = np.where(np.isnan(here), rest, np.clip(here, self._lower, self._upper))
        return np.where(np.isnan(self._sent), begin, self._sent)

    def hold(self) -> Array | None:
        """What holds the robot still ``(A,)``; None: not known, so nothing may be sent."""
        if self._frozen is None:
            here = self._here()
            kept = np.where(np.isnan(self._sent), here, self._sent)
            if self._stepped:
                kept = np.where(np.isnan(kept), 0.0, kept)
            rules = {HoldRule.MEASURED: here, HoldRule.ZERO: np.zeros(len(self._dims)), HoldRule.KEEP: kept}
            held = np.array([rules[dim.hold][place] for place, dim in enumerate(self._dims)])
            if np.isnan(held).any():
                return None
            self._frozen = held
        return self._frozen

    def _here(self) -> Array:
        """Measured values ``(A,)``; NaN where there is none."""
        here = np.full(len(self._dims), np.nan)
        for place, dim in enumerate(self._dims):
            if dim.measured is None:
                continue
            value = self._values.get(dim.measured.observation)
            if value is not None and np.isfinite(value[dim.measured.index]):
                here[place] = value[dim.measured.index]
        return here
