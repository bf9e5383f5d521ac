"""Listens to a running robot: finds who publishes its topics and hands over their messages as they come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions

from xrollout_ros.core.clock import SystemClock, seconds
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.definitions import load_definition
from xrollout_ros.episodes.image_cdr import IMAGE
from xrollout_ros.episodes.recorded_topic import RecordedTopic
from xrollout_ros.graph.encodings import TYPES
from xrollout_ros.graph.middleware import prepare
from xrollout_ros.graph.qos import recording
from xrollout_ros.graph.recorded import camera_info, encoded_camera
from xrollout_ros.graph.sources import Source, SourceFinder, check_state
from xrollout_ros.graph.spinning import SpinThread, make_executor
from xrollout_ros.graph.types import message_class
from xrollout_ros.runtime.overrides import with_camera_sizes

_clock = SystemClock()


class RobotListener:
    """Subscribes to a robot's state, cameras and action topic, on a thread of its own; publishes nothing."""

    def __init__(
        self,
        robot: RobotSpec,
        take: Callable[[str, bytes, int | None, int], None],
        *,
        timeout_s: float,
        domain_id: int | None = None,
    ) -> None:
        """Find the topics and begin to listen.

        Args:
            robot: its spec; its command topic is the one that is listened to for actions.
            take: called in the listener's thread with topic, CDR, the writer's number of the message (None: unknown)
                and the time it was received, ns since the epoch.
            timeout_s: how long to wait for each of the topics.
            domain_id: ROS domain; none: ``ROS_DOMAIN_ID``.

        Raises:
            SpecError: a camera cannot be recorded as its spec says.
            GraphError: nobody publishes a topic, it has another type, or its messages do not fit the RobotSpec.
            BagError: a message type is not installed.
        """
        self._take = take
        self._heard_ns: dict[str, int] = {}
        self._samples: dict[str, bytes] = {}
        prepare()
        context = Context()
        rclpy.init(context=context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("collector", context=context, namespace="xrollout", start_parameter_services=False)
        executor = make_executor(context, waits=True)
        executor.add_node(self._node)
        self._undo = ExitStack()
        self._undo.callback(rclpy.try_shutdown, context=context)
        self._undo.callback(self._node.destroy_node)
        self._undo.enter_context(SpinThread(executor, "collector"))
        try:
            self.robot = self._connect(robot, timeout_s)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop listening."""
        self._undo.close()

    def silent_s(self, topic: str) -> float:
        """Time since the last message on a topic, s."""
        return seconds(_clock.steady_ns() - self._heard_ns.get(topic, 0))

    def recorded(self) -> list[RecordedTopic]:
        """What goes into a bag; made afresh, since it counts.

        Raises:
            BagError: a message type is not installed.
        """
        cameras = {camera.topic: camera for camera in self.robot.cameras}
        return [
            RecordedTopic(
                source.topic,
                load_definition(source.type),
                reliable=source.reliable,
                latched=source.latched,
                depth=100,
                one_writer=source.one_writer,
                encoded=encoded_camera(cameras.get(source.topic)),
                latest=self._samples.get(source.topic) if source.latched else None,
            )
            for source in (self.action, *self.sensors.values(), *self._extra)
        ]

    def _connect(self, robot: RobotSpec, timeout_s: float) -> RobotSpec:
        finder = SourceFinder(self._node, robot.id, timeout_s)
        self.action: Source = finder.find(robot.command.topic, TYPES[robot.command.encoding])
        types = {entry.topic: entry.type for entry in robot.observations}
        types |= {camera.topic: IMAGE for camera in robot.cameras}
        self.sensors: dict[str, Source] = {topic: finder.find(topic, kind) for topic, kind in types.items()}
        beside = [camera_info(camera) for camera in robot.cameras]
        self._extra = finder.extra({self.action.topic, *self.sensors}, beside)
        for source in (self.action, *self.sensors.values(), *self._extra):
            self._node.create_subscription(
                message_class(source.type),
                source.topic,
                self._callback(source.topic),
                recording(source.latched, source.reliable),
                raw=True,
            )
        finder.wait(self._samples, self.sensors)
        samples = {
            topic: deserialize_message(self._samples[topic], message_class(source.type))
            for topic, source in self.sensors.items()
        }
        check_state(robot, samples, _clock.wall_ns())
        sizes = {camera.topic: (samples[camera.topic].width, samples[camera.topic].height) for camera in robot.cameras}
        return with_camera_sizes(robot, sizes)

    def _callback(self, topic: str) -> Callable[[bytes, dict[str, Any]], None]:
        def heard(data: bytes, info: dict[str, Any]) -> None:
            self._heard_ns[topic] = _clock.steady_ns()
            self._samples[topic] = data
            received_ns = info.get("received_timestamp") or _clock.wall_ns()
            self._take(topic, data, info.get("publication_sequence_number"), received_ns)

        return heard
