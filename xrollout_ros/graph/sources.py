"""Finds who publishes a robot's topics, and says which one is missing or of another type."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from xrollout_ros.core.clock import seconds
from xrollout_ros.core.errors import BagError, GraphError, SpecError
from xrollout_ros.core.fields import extract, stamp_ns
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.definitions import load_definition
from xrollout_ros.graph.probes import full_name
from xrollout_ros.graph.topics import SYSTEM, Topic
from xrollout_ros.graph.types import message_class

_LOOK_S = 0.02
_UNKNOWN = "_NODE_NAME_UNKNOWN_"
STAMP_TOLERANCE_S = 5.0
"""How far a sensor's stamp may be from this machine's clock: commands are paired with observations by time."""


@dataclass(frozen=True)
class Source:
    """A topic that somebody publishes."""

    topic: str
    type: str
    reliable: bool
    latched: bool
    one_writer: bool


class SourceFinder:
    """Waits for publishers, for at most ``timeout_s`` in all."""

    def __init__(self, node: Node, robot_id: str, timeout_s: float) -> None:
        self._node = node
        self._robot_id = robot_id
        self._timeout_s = timeout_s
        self._deadline_s = time.monotonic() + timeout_s

    def find(self, topic: str, type_name: str) -> Source:
        """The publishers of a topic.

        Raises:
            GraphError: nobody publishes it in time, or with another type.
        """
        # A publisher is discovered a moment before the name of its node is.
        while not (publishers := self._node.get_publishers_info_by_topic(topic)) or any(
            publisher.node_name == _UNKNOWN for publisher in publishers
        ):
            if time.monotonic() > self._deadline_s:
                if publishers:
                    break
                raise GraphError(
                    f"nobody publishes {topic} of robot {self._robot_id!r} (waited {self._timeout_s:g} s)",
                    self._remedy(),
                )
            time.sleep(_LOOK_S)
        wrong = [publisher for publisher in publishers if publisher.topic_type != type_name]
        if wrong:
            raise GraphError(
                f"{full_name(wrong[0])} publishes {topic} as {wrong[0].topic_type}, robot {self._robot_id!r} has "
                f"{type_name} there",
                "Name another topic, or mend the RobotSpec.",
            )
        profiles = [publisher.qos_profile for publisher in publishers]
        return Source(
            topic,
            type_name,
            reliable=all(profile.reliability is ReliabilityPolicy.RELIABLE for profile in profiles),
            latched=all(profile.durability is DurabilityPolicy.TRANSIENT_LOCAL for profile in profiles),
            one_writer=len(publishers) == 1,
        )

    def extra(self, without: Collection[str], beside: Iterable[Topic] = ()) -> list[Source]:
        """System topics (``/tf``, ``/robot_description`` …) that are published and can be recorded.

        Args:
            without: topics that are taken already.
            beside: further topics to look for.
        """
        found = []
        for topic in {each.name: each for each in (*SYSTEM, *beside)}.values():
            if topic.name in without or not self._node.get_publishers_info_by_topic(topic.name):
                continue
            try:
                message_class(topic.type)
                load_definition(topic.type)
                found.append(self.find(topic.name, topic.type))
            except (SpecError, BagError, GraphError):
                # Not the robot's own: a bag without it is whole, as the recorder's is.
                continue
        return found

    def wait(self, heard: Mapping[str, bytes], topics: Collection[str]) -> None:
        """Wait until each of the topics has been heard.

        Raises:
            GraphError: one of them stays silent.
        """
        while missing := [topic for topic in topics if topic not in heard]:
            if time.monotonic() > self._deadline_s:
                raise GraphError(
                    f"no message came on {', '.join(missing)} (waited {self._timeout_s:g} s)",
                    "Its publisher is there but silent: is the robot switched on?",
                )
            time.sleep(_LOOK_S)

    def _remedy(self) -> str:
        known = sorted(name for name, _ in self._node.get_topic_names_and_types() if name != "/rosout")
        return (
            f"Topics that are there: {', '.join(known) or 'none'}. Start the robot's driver, name another topic, or, "
            "if it runs on another machine, set ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET and the robot's ROS_DOMAIN_ID."
        )


def check_state(robot: RobotSpec, samples: Mapping[str, Any], wall_ns: int) -> None:
    """Compare one message of each observation topic with the RobotSpec.

    Raises:
        GraphError: a field or joint is missing, or the stamps are not of this machine's time.
    """
    for entry in robot.observations:
        message = samples[entry.topic]
        try:
            extract(message, entry)
        except SpecError as error:
            raise GraphError(f"{entry.topic} does not fit robot {robot.id!r}: {error.what}", error.remedy) from error
        if not hasattr(message, "header"):
            continue
        away_s = seconds(stamp_ns(message.header.stamp) - wall_ns)
        if abs(away_s) > STAMP_TOLERANCE_S:
            raise GraphError(
                f"the stamps on {entry.topic} are {abs(away_s):.3g} s {'ahead of' if away_s > 0 else 'behind'} "
                "this machine's clock",
                "Let the driver stamp its messages, and synchronize the clocks (chrony); simulated time cannot be "
                "collected from.",
            )
