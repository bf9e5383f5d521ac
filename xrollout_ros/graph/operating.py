"""Connects an operator's sources with what they read: topics, a terminal, a pedal. What is absent is an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.wait_for_message import wait_for_message
from sensor_msgs.msg import JointState, Joy

from xrollout_ros.core.errors import GraphError
from xrollout_ros.graph.probes import full_name
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import STREAM
from xrollout_ros.runtime.operators.joy import JoyOperator
from xrollout_ros.runtime.operators.keyboard import KeyboardOperator, parse_keys
from xrollout_ros.runtime.operators.leader import LeaderOperator
from xrollout_ros.runtime.operators.pedal import DeviceReader, Pedal, open_pedal
from xrollout_ros.runtime.operators.pose import PoseOperator
from xrollout_ros.runtime.operators.team import Source
from xrollout_ros.runtime.operators.terminal import REMEDY, Terminal

WAIT_S = 5.0
"""How long a topic may take to appear."""
_LOOK_S = 0.02
_REMEDIES = {
    JoyOperator: "Start its driver (`ros2 run joy joy_node`; autorepeat_rate must not be 0), or name another `topic`.",
    LeaderOperator: "Start the leader arm's driver, or name another `topic` in the operator's file.",
    PoseOperator: "Start the phone's or controller's bridge, or name another `topic` in the operator's file.",
}


class Inputs:
    """Feeds each source until it is closed.

    Args:
        node: what the subscriptions are made on; its executor calls them.
        sources: whom to feed.
        terminal: path of the terminal that a keyboard source reads.
        on_quit: called when the key q is pressed, which a terminal of its own has for leaving.

    Raises:
        GraphError: a topic nobody publishes or that is silent, a terminal or a pedal that is not there.
    """

    def __init__(
        self, node: Node, sources: Sequence[Source], terminal: str, on_quit: Callable[[], None] | None = None
    ) -> None:
        self._node = node
        self._subscriptions: list[Any] = []
        self._readers: list[Terminal | DeviceReader] = []
        deadline_s = time.monotonic() + WAIT_S
        try:
            for source in sources:
                self._connect(source, terminal, deadline_s, on_quit)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave topics and devices; the terminal is as it was."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for reader in self._readers:
            reader.close()
        self._subscriptions, self._readers = [], []

    def _connect(self, source: Source, terminal: str, deadline_s: float, on_quit: Callable[[], None] | None) -> None:
        if isinstance(source, KeyboardOperator):
            if not terminal:
                raise GraphError("the operator keyboard needs a terminal, and there is none", REMEDY)
            self._readers.append(Terminal(terminal, _typing(source, on_quit), source.closed))
        elif isinstance(source, Pedal):
            self._readers.append(DeviceReader(open_pedal(source.spec.device), source.event, source.lost))
        elif isinstance(source, JoyOperator):
            take_joy = _joy(source)
            take_joy(self._first(source, source.spec.topic, Joy, deadline_s))
            self._check(source)
            self._listen(Joy, source.spec.topic, take_joy)
        elif isinstance(source, LeaderOperator):
            take_joints = _joints(source)
            take_joints(self._first(source, source.spec.topic, JointState, deadline_s))
            self._check(source)
            self._listen(JointState, source.spec.topic, take_joints)
        elif isinstance(source, PoseOperator):
            self._find(source, source.spec.topic, PoseStamped, deadline_s)
            if source.spec.buttons_topic is not None:
                self._find(source, source.spec.buttons_topic, Joy, deadline_s)
                self._listen(Joy, source.spec.buttons_topic, lambda m: source.heard_buttons(m.axes, m.buttons))
            self._listen(PoseStamped, source.spec.topic, _pose(source))

    def _listen(self, kind: type[Any], topic: str, take: Callable[[Any], None]) -> None:
        self._subscriptions.append(self._node.create_subscription(kind, topic, take, STREAM))

    def _find(self, source: Source, topic: str, kind: type[Any], deadline_s: float) -> None:
        while not (publishers := self._node.get_publishers_info_by_topic(topic)):
            if time.monotonic() > deadline_s:
                raise GraphError(
                    f"the operator {source.name} is configured, but nobody publishes {topic} (waited {WAIT_S:g} s)",
                    _REMEDIES[type(source)],
                )
            time.sleep(_LOOK_S)
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        wrong = next((publisher for publisher in publishers if publisher.topic_type != name), None)
        if wrong is not None:
            raise GraphError(
                f"{full_name(wrong)} publishes {topic} as {wrong.topic_type}, the operator {source.name} takes {name}",
                "Name another `topic` in the operator's file.",
            )

    def _first(self, source: Source, topic: str, kind: type[Any], deadline_s: float) -> Any:
        self._find(source, topic, kind, deadline_s)
        left_s = max(0.5, deadline_s - time.monotonic())
        came, message = wait_for_message(kind, self._node, topic, qos_profile=STREAM, time_to_wait=left_s)
        if not came:
            raise GraphError(
                f"the operator {source.name} is configured, but no message came on {topic}", _REMEDIES[type(source)]
            )
        return message

    def _check(self, source: JoyOperator | LeaderOperator) -> None:
        unfit = source.unfit()
        if unfit:
            raise GraphError(unfit, "Mend the operator's file, or choose another device.")


def _typing(source: KeyboardOperator, on_quit: Callable[[], None] | None) -> Callable[[bytes, bool], None]:
    rest = b""

    def typed(data: bytes, final: bool) -> None:
        nonlocal rest
        keys, rest = parse_keys(rest + data, final=final)
        for key in keys:
            if key == "q" and on_quit is not None and key not in source.motions:
                on_quit()
            source.typed(key, clock.steady_ns())

    return typed


def _joy(source: JoyOperator) -> Callable[[Any], None]:
    return lambda message: source.heard(message.axes, message.buttons, clock.steady_ns())


def _joints(source: LeaderOperator) -> Callable[[Any], None]:
    return lambda message: source.heard(message.name, message.position, clock.steady_ns())


def _pose(source: PoseOperator) -> Callable[[Any], None]:
    def take(message: Any) -> None:
        place, turn = message.pose.position, message.pose.orientation
        source.heard((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w), clock.steady_ns())

    return take
