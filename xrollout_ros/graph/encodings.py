"""Actions in and out of the robot's own command messages, by the RobotSpec's encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Twist
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.robot import ActionKind, RobotSpec
from xrollout_ros.graph.conversions import time_msg

_TWIST = ("linear_x", "linear_y", "linear_z", "angular_x", "angular_y", "angular_z")

MESSAGES: dict[str, type[Any]] = {
    "float64_multi_array": Float64MultiArray,
    "joint_trajectory": JointTrajectory,
    "joint_state": JointState,
    "twist": Twist,
}
TYPES = {
    "float64_multi_array": "std_msgs/msg/Float64MultiArray",
    "joint_trajectory": "trajectory_msgs/msg/JointTrajectory",
    "joint_state": "sensor_msgs/msg/JointState",
    "twist": "geometry_msgs/msg/Twist",
}


def check_encoding(robot: RobotSpec) -> None:
    """Refuse a RobotSpec whose actions cannot be put into its command message.

    Raises:
        SpecError: a Twist is to carry something that it has no field for.
    """
    if robot.command.encoding == "twist":
        wrong = [dim.name for dim in robot.actions if dim.name not in _TWIST]
        if wrong:
            raise SpecError(
                f"robot {robot.id!r}: a twist has no field for action {', '.join(wrong)}",
                f"Name the actions {', '.join(_TWIST)}, or choose another encoding.",
            )


def encode(robot: RobotSpec, action: Array, stamp_ns: int) -> Any:
    """The robot's command message for an action ``(A,)``."""
    names = [dim.name for dim in robot.actions]
    values = action.tolist()
    if robot.command.encoding == "float64_multi_array":
        return Float64MultiArray(data=values)
    if robot.command.encoding == "twist":
        twist = Twist()
        for name, value in zip(names, values, strict=True):
            part, axis = name.rsplit("_", 1)
            setattr(getattr(twist, part), axis, value)
        return twist
    velocity = all(dim.kind is ActionKind.VELOCITY for dim in robot.actions)
    if robot.command.encoding == "joint_state":
        message = JointState(name=names, **{"velocity" if velocity else "position": values})
        message.header.stamp = time_msg(stamp_ns)
        return message
    period_ns = robot.control_period_ns
    point = JointTrajectoryPoint(
        time_from_start=Duration(sec=period_ns // 10**9, nanosec=period_ns % 10**9),
        **{"velocities" if velocity else "positions": values},
    )
    return JointTrajectory(joint_names=names, points=[point])


def decode(robot: RobotSpec, message: Any) -> Array:
    """The action ``(A,)`` in the robot's command message: what a driver does with it.

    Raises:
        SpecError: the message does not carry every action.
    """
    names = [dim.name for dim in robot.actions]
    if robot.command.encoding == "float64_multi_array":
        values = list(message.data)
    elif robot.command.encoding == "twist":
        values = [getattr(getattr(message, part), axis) for part, axis in (name.rsplit("_", 1) for name in names)]
    elif robot.command.encoding == "joint_state":
        given = dict(zip(message.name, message.position or message.velocity, strict=False))
        values = [given[name] for name in names if name in given]
    else:
        point = message.points[0] if message.points else JointTrajectoryPoint()
        given = dict(zip(message.joint_names, point.positions or point.velocities, strict=False))
        values = [given[name] for name in names if name in given]
    if len(values) != len(names):
        raise SpecError(
            f"the command on {robot.command.topic} carries {len(values)} actions",
            f"Robot {robot.id!r} takes {len(names)}: {', '.join(names)}.",
        )
    return np.asarray(values, dtype=np.float64)
