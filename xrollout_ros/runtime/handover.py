"""Passing control without a jump: what is sent goes over from what was sent to what the new driver wants."""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.robot import RobotSpec

GRIPPER_SHARE = 0.02
"""Share of its range by which a gripper's command must change to count as meant."""


class Blend:
    """The way from one driver's commands to another's, one tick after the other.

    Velocities are blended over the ramp, deltas and efforts grow from nothing. A position closes in on what is wanted,
    however far that is, at a speed that grows evenly: from nothing, to its range in ``approach_s`` at the end of the
    ramp, and on, so that it catches up with one that moves. A gripper stays as it is until its driver commands
    something else than at first, or what it does already. Time begins with the first action.

    Args:
        robot: its actions and ``safety.handover``.
        keeps_grip: false: the gripper follows at once.
    """

    def __init__(self, robot: RobotSpec, *, keeps_grip: bool) -> None:
        kinds = [dim.kind for dim in robot.actions]
        self._lower, self._upper = robot.lower, robot.upper
        self._position = np.array([kind is ActionKind.POSITION for kind in kinds])
        self._velocity = np.array([kind is ActionKind.VELOCITY for kind in kinds])
        self._grows = np.array([kind.once for kind in kinds])
        self._gripper = np.array([kind is ActionKind.GRIPPER for kind in kinds])
        self._ramp_s = robot.safety.handover.ramp_s
        self._speed = (self._upper - self._lower) / robot.safety.handover.approach_s
        self._kept = self._gripper & (keeps_grip and robot.safety.handover.gripper == "when_changed")
        self._begun_ns: int | None = None
        self._first: Array | None = None
        self._origin: Array | None = None
        self.arrived = False
        """The ramp is over and no position is left behind."""

    @property
    def over(self) -> bool:
        """It changes nothing any more."""
        return self.arrived and not self._kept.any()

    def __call__(self, wanted: Array, last: Array, t_ns: int, dt_s: float) -> Array:
        """The action to send instead of ``wanted``.

        Args:
            wanted: (A,) the new driver's action.
            last: (A,) what was sent last, or where the robot stands; NaN: unknown.
            t_ns: time of the tick.
            dt_s: time between the two, s.
        """
        wanted = np.clip(wanted, self._lower, self._upper)
        if self._begun_ns is None or self._first is None or self._origin is None:
            self._begun_ns, self._first, self._origin = t_ns, wanted, last
        passed_s = max(0.0, seconds(t_ns - self._begun_ns))
        share = min(1.0, passed_s / self._ramp_s)
        action = wanted.copy()
        if not self.arrived:
            step = np.where(self._position, self._speed * (passed_s / self._ramp_s) * dt_s, np.inf)
            action = np.where(np.isnan(last), wanted, np.clip(wanted, last - step, last + step))
            self.arrived = share >= 1 and bool((action == wanted).all())
            before = np.nan_to_num(self._origin)
            action = np.where(self._velocity, before + share * (wanted - before), action)
            action = np.where(self._grows, share * wanted, action)
        return self._grip(action, wanted, last)

    def _grip(self, action: Array, wanted: Array, last: Array) -> Array:
        if self._kept.any():
            assert self._first is not None
            slack = GRIPPER_SHARE * (self._upper - self._lower)
            meant = (np.abs(wanted - self._first) > slack) | ~(np.abs(wanted - last) > slack)
            self._kept &= ~meant
            action = np.where(self._kept, last, action)
        return action
