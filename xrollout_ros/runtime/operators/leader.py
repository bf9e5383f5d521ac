"""A leader arm: ``sensor_msgs/JointState`` to the follower's positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Asked, Moment, OperatorAnswer
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.operators.axes import Posed, check_actions
from xrollout_ros.runtime.operators.specs import JointBinding, LeaderSpec


class LeaderOperator:
    """Follows the leader's joints, absolutely (the supervisor ramps to where the leader is) or by what it moves.

    Actions that no joint is bound to stay where they are.
    """

    name = "leader"

    def __init__(self, spec: LeaderSpec, robot: RobotSpec) -> None:
        """Check the file against the robot.

        Raises:
            SpecError: a joint is bound to an action that does not exist, or that is no position.
        """
        self.spec = spec
        joints = spec.joints or {dim.name: JointBinding(joint=dim.name) for dim in robot.actions}
        check_actions(robot, joints.keys(), "the leader arm")
        self._bound = [(place, joints[dim.name]) for place, dim in enumerate(robot.actions) if dim.name in joints]
        for place, _ in self._bound:
            dim = robot.actions[place]
            if dim.kind not in (ActionKind.POSITION, ActionKind.GRIPPER):
                raise SpecError(
                    f"the leader arm moves {dim.name}, which is a {dim.kind.value} of robot {robot.id!r}",
                    "A leader arm gives positions: drive this robot by joy, pose or keyboard.",
                )
        self._lower, self._upper = robot.lower, robot.upper
        self._posed = Posed(robot)
        self._led: Array | None = None
        self._heard_ns = 0
        self._missing: list[str] = []
        self._kept: Array | None = None
        self._offset: Array | None = None
        self._silent = True

    def heard(self, names: Sequence[str], positions: Sequence[float], steady_ns: int) -> None:
        """A JointState has come; one without a bound joint, or with a value that is not finite, counts as none."""
        known = dict(zip(names, positions, strict=False))
        self._missing = sorted({bound.joint for _, bound in self._bound if bound.joint not in known})
        if self._missing:
            return
        led = np.array([bound.offset + bound.scale * known[bound.joint] for _, bound in self._bound])
        if np.isfinite(led).all():
            self._led, self._heard_ns = led, steady_ns

    def reset(self, seed: int) -> None:
        """See ``Operator``."""
        self._kept = self._offset = None

    def answer(self, moment: Moment) -> OperatorAnswer:
        """See ``Operator``."""
        led = self._led
        self._silent = led is None or seconds(moment.t_ns - self._heard_ns) > self.spec.timeout_s
        if not moment.driving or self._kept is None or self._silent:
            self._kept, self._offset = self._posed.origin(moment), None
        action = self._kept.copy()
        if led is None or self._silent:
            return OperatorAnswer(action, False)
        places = [place for place, _ in self._bound]
        if self.spec.relative:
            if self._offset is None:
                self._offset = action[places] - led
            led = led + self._offset
        action[places] = led
        return OperatorAnswer(np.clip(action, self._lower, self._upper), True)

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        """See ``Operator``; an arm has no buttons: name a pedal or keyboard beside it."""
        return ()

    def problem(self) -> str:
        """See ``Operator``."""
        if self._led is None and not self._missing:
            return f"no message came on {self.spec.topic}"
        return self.unfit() or (f"{self.spec.topic} is silent" if self._silent else "")

    def unfit(self) -> str:
        """Why the device that was heard will not do; empty: it will."""
        if not self._missing:
            return ""
        return f"the messages on {self.spec.topic} have no joint {', '.join(self._missing)}"
