"""A robot's driver in the test's own process: two joints, a camera, a description; each of its parts can be broken."""

from __future__ import annotations

import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
import yaml
from geometry_msgs.msg import Twist
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, String

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.qos import EVENT, LATCHED
from xrollout_ros.graph.spinning import SpinThread

URDF = """<?xml version="1.0"?>
<robot name="fake">
  <joint name="shoulder" type="revolute"><limit lower="-1.5" upper="1.5" velocity="2.0" effort="5"/></joint>
  <joint name="elbow" type="continuous"><limit velocity="3.0" effort="5"/></joint>
  <joint name="base" type="fixed"/>
</robot>
"""
SPEC: dict[str, Any] = {
    "id": "fake_arm",
    "description": "for tests",
    "control_rate_hz": 40.0,
    "policy_rate_hz": 20.0,
    "observations": [
        {
            "name": "joints",
            "topic": "/joint_states",
            "type": "sensor_msgs/msg/JointState",
            "field": "position",
            "names": ["shoulder", "elbow"],
            "shape": [2],
            "unit": "rad",
            "rate_hz": 30.0,
            "max_age_s": 0.5,
        }
    ],
    "cameras": [{"name": "wrist", "topic": "/wrist/image_raw", "width": 32, "height": 24, "rate_hz": 20.0}],
    "actions": [
        {
            "name": name,
            "kind": "position",
            "unit": "rad",
            "lower": -1.0,
            "upper": 1.0,
            "max_rate": 1.0,
            "hold": "measured",
            "measured": {"observation": "joints", "index": index},
        }
        for index, name in enumerate(("shoulder", "elbow"))
    ],
    "command": {"topic": "/arm/commands", "encoding": "float64_multi_array"},
}


def write_spec(path: Path, **values: Any) -> Path:
    """The driver's RobotSpec; ``values`` replace its own."""
    path.write_text(yaml.safe_dump({**SPEC, **values}))
    return path


@dataclass(frozen=True)
class Fault:
    """What is wrong with the driver; by default nothing."""

    silent: bool = False
    """Joint states are not published."""
    joint_type: type[Any] = JointState
    joints: tuple[str, ...] = ("shoulder", "elbow")
    rate_hz: float = 50.0
    late_s: float = 0.0
    """Stamps lie so far back."""
    unstamped: bool = False
    backwards: bool = False
    width: int = 32
    frozen: bool = False
    calibrated: bool = True
    listens: bool = True
    listens_to: type[Any] = Float64MultiArray
    rival: bool = False
    """Somebody else commands the robot too."""
    picky: bool = False
    """Somebody wants each picture for certain, which the camera does not offer."""
    urdf: str = URDF


class FakeDriver(Node):
    """Publishes joint states, pictures and a description, and listens for commands."""

    def __init__(self, fault: Fault, context: Context) -> None:
        super().__init__("fake_driver", context=context, enable_rosout=False, start_parameter_services=False)
        self._fault = fault
        self._count = 0
        self._states = None if fault.silent else self.create_publisher(fault.joint_type, "/joint_states", EVENT)
        self._images = self.create_publisher(Image, "/wrist/image_raw", qos_profile_sensor_data)
        self._infos = self.create_publisher(CameraInfo, "/wrist/camera_info", qos_profile_sensor_data)
        self._description = self.create_publisher(String, "/robot_description", LATCHED)
        self._description.publish(String(data=fault.urdf))
        if fault.listens:
            self.create_subscription(fault.listens_to, "/arm/commands", lambda message: None, EVENT)
        if fault.picky:
            self.create_subscription(Image, "/wrist/image_raw", lambda message: None, EVENT)
        if fault.rival:
            self.create_publisher(Float64MultiArray, "/arm/commands", EVENT)
        self.create_timer(1 / fault.rate_hz, self._publish)

    def _publish(self) -> None:
        fault = self._fault
        self._count += 1
        stamp_ns = SystemClock().wall_ns() - round(fault.late_s * 1e9)
        if fault.backwards and self._count % 2:
            stamp_ns -= 200_000_000
        stamp = time_msg(0 if fault.unstamped else stamp_ns)
        if self._states is not None:
            state = fault.joint_type()
            if isinstance(state, JointState):
                state.header.stamp = stamp
                state.name = list(fault.joints)
                state.position = [0.1] * len(fault.joints)
            self._states.publish(state)
        picture = Image(height=24, width=fault.width, encoding="rgb8", step=3 * fault.width)
        picture.header.stamp = time_msg(stamp_ns)
        fill = 0 if fault.frozen else self._count % 256
        picture.data = array.array("B", bytes([fill]) * (3 * 24 * fault.width))
        self._images.publish(picture)
        info = CameraInfo(height=24, width=fault.width)
        if fault.calibrated:
            info.k = [20.0, 0.0, 16.0, 0.0, 20.0, 12.0, 0.0, 0.0, 1.0]
        self._infos.publish(info)


@contextmanager
def driver(fault: Fault = Fault()) -> Iterator[None]:
    """Run a driver in this process's ROS domain."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = FakeDriver(fault, context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        with SpinThread(executor, "fake_driver"):
            yield
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


WRONG_TYPE = Twist
