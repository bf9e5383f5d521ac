"""Raw subscriptions of many topics that are emptied by polling: bytes go on as they came from the wire."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node

from xrollout_ros.core.clock import nanoseconds
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.recorded_topic import RecordedTopic
from xrollout_ros.graph.polling import Polled
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import recording
from xrollout_ros.graph.recorded import history
from xrollout_ros.graph.types import message_class

_IN_FLIGHT_S = 0.03
_DRAIN_ROUNDS = 5
Receive = Callable[[str, bytes, dict[str, Any]], None]
"""Given a topic, a message as it came, and what the middleware says of it."""


class RawTopics:
    """Used in the executor's thread."""

    def __init__(
        self, node: Node, topics: Iterable[RecordedTopic], robot: RobotSpec, group: Polled, receive: Receive
    ) -> None:
        """Subscribe.

        Args:
            node: whose subscriptions they are.
            topics: what is to be taken.
            robot: says how many messages may wait.
            group: of the polled.
            receive: given each message.
        """
        self._node, self._receive = node, receive
        made = [
            node.create_subscription(
                message_class(topic.definition.type_name),
                topic.name,
                group.never,
                recording(topic.latched, topic.reliable, history(topic, robot)),
                callback_group=group,
                raw=True,
            )
            for topic in topics
        ]
        self._by_topic = {each.topic_name: each for each in made}

    def take(self, most: int = sys.maxsize) -> int:
        """Take what has come, not more than ``most`` messages of each topic; how many."""
        return sum(self._take(topic, most) for topic in self._by_topic)

    def _take(self, topic: str, most: int) -> int:
        subscription, taken = self._by_topic[topic], 0
        with subscription.handle:
            while taken < most and (found := subscription.handle.take_message(subscription.msg_type, True)) is not None:
                self._receive(topic, *found)
                taken += 1
        return taken

    def drain(self) -> None:
        """Take all that was sent before now: messages in flight have a moment to arrive."""
        for _ in range(_DRAIN_ROUNDS):
            time.sleep(_IN_FLIGHT_S)
            if not self.take():
                return

    def wait_for_publishers(self, topics: Iterable[str], timeout_s: float) -> list[str]:
        """Wait until somebody publishes each of these topics; those that nobody does after that time."""
        wanted, until_ns = sorted(topics), clock.steady_ns() + nanoseconds(timeout_s)
        while missing := [name for name in wanted if not self._by_topic[name].get_publisher_count()]:
            if clock.steady_ns() > until_ns:
                break
            time.sleep(_IN_FLIGHT_S)
        return missing

    def destroy(self) -> None:
        """Subscribe no more."""
        for subscription in self._by_topic.values():
            self._node.destroy_subscription(subscription)
        self._by_topic = {}
