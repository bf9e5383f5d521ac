"""What a robot senses now, for whoever looks: decoded when it is asked for, and not listened to when nobody looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.fields import extract
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.graph.sensors import by_topic
from xrollout_ros.graph.types import message_class


class Scene:
    """The newest values of a robot's observations; any thread that does not spin the node may call.

    Args:
        node: spun by somebody else.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._lookers = 0
        self._robot: RobotSpec | None = None
        self._subscriptions: list[Any] = []
        self._newest: dict[str, bytes] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Somebody looks meanwhile."""
        with self._lock:
            self._lookers += 1
        try:
            yield
        finally:
            with self._lock:
                self._lookers -= 1
                if not self._lookers:
                    self._forget()

    def values(self, robot: str) -> dict[str, tuple[Array, str]]:
        """What is sensed, by observation, with its unit; those that have not come yet are not in it.

        Args:
            robot: id of its RobotSpec; another than before is listened to from now on.

        Raises:
            SpecError: its spec is not on this machine.
            DataError: a message does not hold what the spec says.
        """
        with self._lock:
            if not self._lookers:
                return {}
            if self._robot is None or self._robot.id != robot:
                self._forget()
                self._listen(load_robot(robot))
            spec, newest = self._robot, dict(self._newest)
        assert spec is not None
        found = {}
        for topic, entries in by_topic(spec.observations).items():
            if topic in newest:
                message = deserialize_message(newest[topic], message_class(entries[0].type))
                found.update({entry.name: (extract(message, entry), entry.unit) for entry in entries})
        return found

    def _listen(self, robot: RobotSpec) -> None:
        self._robot = robot
        for topic, entries in by_topic(robot.observations).items():
            self._subscriptions.append(
                self._node.create_subscription(
                    message_class(entries[0].type), topic, self._taking(topic), qos_profile_sensor_data, raw=True
                )
            )

    def _taking(self, topic: str) -> Any:
        def take(message: bytes) -> None:
            self._newest[topic] = message

        return take

    def _forget(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions, self._robot, self._newest = [], None, {}
