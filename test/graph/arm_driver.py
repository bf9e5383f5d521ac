"""The driver of a robot that is moved by JointState messages: it goes where it is told and says where it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.resources import load_robot
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.encodings import MESSAGES, decode
from xrollout_ros.graph.qos import EVENT
from xrollout_ros.graph.spinning import SpinThread

SO100 = load_robot("so100")
START = [0.1, -0.2, 0.3, 0.2, -0.1, 0.5]


@dataclass
class ArmDriver:
    """What the driver has seen; any thread may read."""

    node: Node
    publishes: bool = True
    """Whether joint states are published."""
    commands: list[tuple[float, list[float]]] = field(default_factory=list)
    """Each command with the time of its arrival, s on the steady clock."""
    position: list[float] = field(default_factory=lambda: list(START))

    def silent_s(self) -> float:
        """Time since the last command."""
        return time.monotonic() - self.commands[-1][0] if self.commands else float("inf")


@contextmanager
def arm_driver(*, publishes: bool = True, state_topic: str = "/joint_states") -> Iterator[ArmDriver]:
    """An SO-100's driver in this process's ROS domain, on a thread of its own."""
    with spinning("so100_driver") as node:
        driver = ArmDriver(node, publishes)
        states = node.create_publisher(JointState, state_topic, qos_profile_sensor_data)

        def on_command(message: Any) -> None:
            driver.position = decode(SO100, message).tolist()
            driver.commands.append((time.monotonic(), driver.position))

        def on_timer() -> None:
            if driver.publishes:
                stamp = time_msg(SystemClock().wall_ns())
                state = JointState(name=[dim.name for dim in SO100.actions], position=driver.position)
                state.header.stamp = stamp
                states.publish(state)

        node.create_subscription(MESSAGES["joint_state"], SO100.command.topic, on_command, EVENT)
        node.create_timer(1 / 30, on_timer)
        yield driver


@contextmanager
def spinning(name: str) -> Iterator[Node]:
    """A node that spins on a thread of its own."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node(name, context=context, enable_rosout=False, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        with SpinThread(executor, name):
            yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def call(node: Node, kind: Any, name: str, request: Any, wait: Callable[..., Any]) -> Any:
    """Call a service of the graph from a thread that does not spin."""
    client = node.create_client(kind, f"/xrollout/{name}")
    wait(client.service_is_ready, 30, f"{name} did not appear")
    future = client.call_async(request)
    wait(future.done, 30, f"{name} did not answer")
    return future.result()


def camera(node: Node, topic: str, width: int, height: int, rate_hz: float = 20.0) -> None:
    """A camera that sends pictures of one colour after another."""
    import array

    images = node.create_publisher(Image, topic, qos_profile_sensor_data)
    count = 0

    def on_timer() -> None:
        nonlocal count
        count += 1
        picture = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        picture.header.stamp = time_msg(SystemClock().wall_ns())
        picture.data = array.array("B", bytes([count % 256]) * (3 * width * height))
        images.publish(picture)

    node.create_timer(1 / rate_hz, on_timer)
