"""From deflections of axes, -1 to 1, to an action of each kind."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from xrollout_ros.core.action import ActionDim, ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Moment
from xrollout_ros.core.robot import RobotSpec

LONGEST_STEP_S = 0.1
"""A position moves on for no longer than this between two calls, whatever the clock says."""
UNLIMITED_TRAVEL_S = 4.0
"""Without a `max_rate`, full deflection takes a position through its whole range in this time."""
_TARGETS = (ActionKind.POSITION, ActionKind.GRIPPER)


def deadband(value: float, band: float) -> float:
    """A deflection without its dead zone: 0 within ``band``, then linearly to -1 or 1; not finite counts as 0."""
    if not math.isfinite(value) or abs(value) <= band:
        return 0.0
    return math.copysign((min(1.0, abs(value)) - band) / (1.0 - band), value)


def check_actions(robot: RobotSpec, names: Collection[str], what: str) -> None:
    """Refuse names that are no action of the robot.

    Raises:
        SpecError: naming them and what there is.
    """
    known = [dim.name for dim in robot.actions]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SpecError(
            f"{what} moves {', '.join(unknown)}, which robot {robot.id!r} does not have",
            f"Its actions are {', '.join(known)}: mend the operator's file, or name another robot.",
        )


class Posed:
    """Where a motion of positions begins: at the command before, else at what is measured, else at rest."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._lower, self._upper = robot.lower, robot.upper
        slices = robot.state_slices()
        self._measured = [
            None if dim.measured is None else slices[dim.measured.observation].start + dim.measured.index
            for dim in robot.actions
        ]

    def origin(self, moment: Moment) -> Array:
        """``(A,)`` within the limits; finite."""
        rest = np.clip(np.zeros(len(self._measured)), self._lower, self._upper)
        if moment.sent is not None:
            rest = np.where(np.isfinite(moment.sent), moment.sent, rest)
        elif moment.state is not None:
            for place, index in enumerate(self._measured):
                if index is not None and math.isfinite(moment.state[index]):
                    rest[place] = moment.state[index]
        return np.clip(rest, self._lower, self._upper)


class AxisMotion:
    """Moves a robot by deflections.

    A velocity, effort or delta is the deflection's share of its limit; a position or gripper is a target that moves on
    at the deflection's share of `max_rate`. Targets begin anew, where the robot is, whenever commanding begins.

    Args:
        robot: its limits.
        snap: grippers that go all the way at once, as a button wants it; the supervisor keeps to their rate.
    """

    def __init__(self, robot: RobotSpec, snap: Collection[str] = ()) -> None:
        self._lower, self._upper = robot.lower, robot.upper
        self._dims = robot.actions
        self._target_dims = np.array([dim.kind in _TARGETS for dim in robot.actions])
        self._snap = np.array([dim.name in snap and dim.kind is ActionKind.GRIPPER for dim in robot.actions])
        self._speed = np.array([_speed(dim) for dim in robot.actions])
        self._posed = Posed(robot)
        self._target: Array | None = None
        self._at_ns = 0

    def release(self) -> None:
        """Commanding has ceased: the next motion begins where the robot is then."""
        self._target = None

    def action(self, deflection: Array, moment: Moment) -> Array:
        """The action ``(A,)``, within the limits, for deflections ``(A,)`` of -1 to 1."""
        u = np.clip(np.nan_to_num(deflection, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
        if self._target is None:
            self._target, self._at_ns = self._posed.origin(moment), moment.t_ns
        dt_s = min(LONGEST_STEP_S, max(0.0, seconds(moment.t_ns - self._at_ns)))
        self._at_ns = moment.t_ns
        moved = self._target + u * self._speed * dt_s
        moved = np.where(self._snap & (u > 0), self._upper, np.where(self._snap & (u < 0), self._lower, moved))
        self._target = np.clip(moved, self._lower, self._upper)
        share = np.where(u > 0, u * self._upper, -u * self._lower)
        return np.clip(np.where(self._target_dims, self._target, share), self._lower, self._upper)


def _speed(dim: ActionDim) -> float:
    """Full deflection of a target, units/s."""
    return dim.max_rate if dim.max_rate is not None else (dim.upper - dim.lower) / UNLIMITED_TRAVEL_S


def vector(robot: RobotSpec, values: Mapping[str, float]) -> Array:
    """``(A,)`` of values by action; 0 where there is none."""
    return np.array([values.get(dim.name, 0.0) for dim in robot.actions])
