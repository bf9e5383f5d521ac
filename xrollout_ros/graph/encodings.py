"""Actions in and out of the robot's own command messages, by the RobotSpec's encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Twist, TwistStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xrollout_ros.core.action import JOINT_FIELDS
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.graph.conversions import time_msg

MESSAGES: dict[str, type[Any]] = {
    "float64_multi_array": Float64MultiArray,
    "joint_trajectory": JointTrajectory,
    "joint_state": JointState,
    "twist": Twist,
    "twist_stamped": TwistStamped,
}
TYPES = {
    "float64_multi_array": "std_msgs/msg/Float64MultiArray",
    "joint_trajectory": "trajectory_msgs/msg/JointTrajectory",
    "joint_state": "sensor_msgs/msg/JointState",
    "twist": "geometry_msgs/msg/Twist",
    "twist_stamped": "geometry_msgs/msg/TwistStamped",
}
_POINT_FIELDS = {"position": "positions", "velocity": "velocities", "effort": "effort"}


def encode(robot: RobotSpec, action: Array, stamp_ns: int) -> Any:
    """The robot's command message for an action ``(A,)``."""
    names = [dim.name for dim in robot.actions]
    values = action.tolist()
    if robot.command.encoding == "float64_multi_array":
        return Float64MultiArray(data=values)
    if robot.command.encoding == "twist":
        return _twist(names, values)
    if robot.command.encoding == "twist_stamped":
        stamped = TwistStamped(twist=_twist(names, values))
        stamped.header.stamp, stamped.header.frame_id = time_msg(stamp_ns), robot.frame
        return stamped
    joint_field = JOINT_FIELDS[robot.actions[0].kind]
    if robot.command.encoding == "joint_state":
        message = JointState(name=names, **{joint_field: values})
        message.header.stamp = time_msg(stamp_ns)
        return message
    # The header's stamp stays zero, which the controller takes as "from now on".
    period_ns = robot.control_period_ns
    point = JointTrajectoryPoint(
        time_from_start=Duration(sec=period_ns // 10**9, nanosec=period_ns % 10**9),
        **{_POINT_FIELDS[joint_field]: values},
    )
    return JointTrajectory(joint_names=names, points=[point])


def _twist(names: Sequence[str], values: Sequence[float]) -> Twist:
    twist = Twist()
    for name, value in zip(names, values, strict=True):
        part, axis = name.rsplit("_", 1)
        setattr(getattr(twist, part), axis, value)
    return twist


def decode(robot: RobotSpec, message: Any) -> Array:
    """The action ``(A,)`` in the robot's command message: what a driver does with it.

    Raises:
        SpecError: the message does not carry every action.
    """
    names = [dim.name for dim in robot.actions]
    encoding, joint_field = robot.command.encoding, JOINT_FIELDS.get(robot.actions[0].kind, "")
    if encoding == "float64_multi_array":
        values = list(message.data)
    elif encoding in ("twist", "twist_stamped"):
        twist = message.twist if encoding == "twist_stamped" else message
        values = [getattr(getattr(twist, part), axis) for part, axis in (name.rsplit("_", 1) for name in names)]
    else:
        if encoding == "joint_state":
            given = dict(zip(message.name, getattr(message, joint_field), strict=False))
        else:
            # The last point is where the trajectory leads.
            point = message.points[-1] if message.points else JointTrajectoryPoint()
            given = dict(zip(message.joint_names, getattr(point, _POINT_FIELDS[joint_field]), strict=False))
        values = [given[name] for name in names if name in given]
    if len(values) != len(names):
        raise SpecError(
            f"the command on {robot.command.topic} carries {len(values)} actions",
            f"Robot {robot.id!r} takes {len(names)}: {', '.join(names)}.",
        )
    return np.asarray(values, dtype=np.float64)
