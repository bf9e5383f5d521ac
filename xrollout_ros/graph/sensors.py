"""Listens to a robot's observation topics: to the values of those that are measured, of the others that they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.fields import extract
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import ObservationSpec
from xrollout_ros.graph.qos import sensor
from xrollout_ros.graph.types import message_class

Arrived = Callable[[str, dict[str, Array], Any], None]
"""Called with a topic, the values of its observations by name, and the message (bytes where nothing is measured)."""


def by_topic(entries: Iterable[ObservationSpec]) -> dict[str, list[ObservationSpec]]:
    """Observations by the topic that they come on."""
    topics: dict[str, list[ObservationSpec]] = {}
    for entry in entries:
        topics.setdefault(entry.topic, []).append(entry)
    return topics


def measured_topics(robot: RobotSpec) -> dict[str, list[ObservationSpec]]:
    """The observations that are measured, by topic."""
    return by_topic(entry for entry in robot.observations if entry.name in robot.measured)


def listen(node: Node, robot: RobotSpec, arrived: Arrived, *, stepped: bool) -> list[Any]:
    """Subscribe; stepped, only to what is measured.

    Args:
        node: whose subscriptions they are.
        robot: its spec.
        arrived: takes each message.
        stepped: simulated time drives: no message may be lost, and none can be late.
    """
    measured = measured_topics(robot)

    def taking(topic: str, entries: list[ObservationSpec]) -> Callable[[Any], None]:
        return lambda message: arrived(topic, {entry.name: extract(message, entry) for entry in entries}, message)

    # Where nothing is measured only the arrival counts: no need to decode.
    return [
        node.create_subscription(
            message_class(kind),
            topic,
            taking(topic, measured.get(topic, [])),
            sensor(stepped),
            raw=topic not in measured,
        )
        for topic, kind in {entry.topic: entry.type for entry in robot.observations}.items()
        if topic in measured or not stepped
    ]
