"""Publishes a bag's messages to a viewer, in a ROS domain that nobody of this machine is known to use.

A robot must never take a recorded message for one that was sent to it. So what is published stays on this machine and
in a domain of its own, and only what viewers draw is published: neither commands nor requests.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Collection, Iterator, Sequence

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import SpecError
from xrollout_ros.episodes.raw_bag import RawMessage, RawTopic
from xrollout_ros.graph.domains import hold_domain
from xrollout_ros.graph.middleware import RANGE, prepare
from xrollout_ros.graph.types import message_class

_DRAWN = (
    "geometry_msgs/msg/PointStamped",
    "geometry_msgs/msg/PolygonStamped",
    "geometry_msgs/msg/PoseArray",
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/WrenchStamped",
    "nav_msgs/msg/",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/LaserScan",
    "sensor_msgs/msg/PointCloud",
    "sensor_msgs/msg/Range",
    "tf2_msgs/msg/TFMessage",
    "visualization_msgs/msg/Marker",
)
"""Beginnings of the types that viewers draw."""
_ROBOT_DESCRIPTION = "/robot_description"
_REACHING = ("ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY")
"""What would override how far discovery reaches."""


def drawn(topics: Sequence[RawTopic], commanded: Collection[str] = ()) -> tuple[RawTopic, ...]:
    """The topics that viewers draw.

    Args:
        topics: of a bag.
        commanded: topics that a robot takes commands from; never among the answer.
    """
    return tuple(
        topic
        for topic in topics
        if topic.name not in commanded and (topic.type_name.startswith(_DRAWN) or topic.name == _ROBOT_DESCRIPTION)
    )


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain that nobody of this machine has asked for; it is this process's and its children's meanwhile.

    Raises:
        GraphError: there is none left.
    """
    with socket.socket() as held:
        domain = hold_domain(held, besides=os.environ.get("ROS_DOMAIN_ID", "0"))
        known = {name: os.environ.get(name) for name in ("ROS_DOMAIN_ID", RANGE, *_REACHING)}
        os.environ.update({"ROS_DOMAIN_ID": str(domain), RANGE: "LOCALHOST"})
        for name in _REACHING:
            os.environ.pop(name, None)
        try:
            yield domain
        finally:
            for name, value in known.items():
                os.environ.pop(name, None)
                os.environ.update({} if value is None else {name: value})


class RosShow:
    """Publishes recorded messages as they are, and the bag's time as ``/clock``.

    Args:
        topics: what is published.
        domain: where.
    """

    def __init__(self, topics: Sequence[RawTopic], domain: int) -> None:
        prepare()
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("opened_bag", context=self._context, namespace="xrollout", start_parameter_services=False)
        self._clock = self._node.create_publisher(Clock, "/clock", 10)
        self.missing: list[str] = []
        """Topics whose types are not installed."""
        self._heard: dict[str, int] = {}
        self._publishers = {}
        for topic in topics:
            try:
                kind = message_class(topic.type_name)
            except SpecError:
                self.missing.append(topic.name)
                continue
            self._publishers[topic] = self._node.create_publisher(kind, topic.name, _qos(topic))

    def new_listeners(self) -> list[str]:
        """Topics that somebody has begun to listen to since this was asked last."""
        found = []
        for topic, publisher in self._publishers.items():
            count = publisher.get_subscription_count()
            if count > self._heard.get(topic.name, 0):
                found.append(topic.name)
            self._heard[topic.name] = count
        return found

    def publish(self, messages: Sequence[RawMessage], time_ns: int) -> None:
        """Publish messages, and the time.

        Args:
            messages: those of other topics are left out.
            time_ns: the bag's time that is reached.
        """
        self._clock.publish(_clock_at(time_ns))
        for message in messages:
            publisher = self._publishers.get(message.topic)
            if publisher is not None:
                publisher.publish(message.data)

    def close(self) -> None:
        """Take the topics back."""
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)


def _clock_at(time_ns: int) -> Clock:
    clock = Clock()
    clock.clock.sec, clock.clock.nanosec = divmod(time_ns, NS)
    return clock


def _qos(topic: RawTopic) -> QoSProfile:
    return QoSProfile(
        depth=10,
        reliability=ReliabilityPolicy.RELIABLE,  # whoever asks for less gets it all the same
        durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE,
    )
