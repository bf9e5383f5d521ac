"""Subscribes to a robot's observation topics and hands over complete observations, in either drive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType

from xrollout.msg import EpisodeState, SimStep
from xrollout_ros.core.chunk import Observation
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.modes import Phase
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.graph.pulse import Pulse, clock
from xrollout_ros.graph.qos import EVENT, LATCHED_EACH, sensor
from xrollout_ros.graph.types import message_class
from xrollout_ros.runtime.assembler import ObservationAssembler


class ObservingNode(Protocol):
    """What an observer works on: a managed node, or one that joins a running graph."""

    robot: RobotSpec
    stepped: bool
    pulse: Pulse

    def create_subscription(self, *args: Any) -> Any: ...

    def destroy_subscription(self, subscription: Any) -> Any: ...

    def create_publisher(self, *args: Any) -> Any: ...

    def destroy_publisher(self, publisher: Any) -> Any: ...

    def create_timer(self, *args: Any, **options: Any) -> Any: ...

    def destroy_timer(self, timer: Any) -> Any: ...


class Observer:
    """Calls ``on_observation(observation, episode)`` for every observation of the running attempt.

    Stepped: once for each step, when all its messages and the attempt's own are there, and again when the robot sends
    it again. Real time: as soon as the fastest sensors have spoken anew, at the latest after one and a half policy
    periods.
    """

    def __init__(self, node: ObservingNode, on_observation: Callable[[Observation, EpisodeState], None]) -> None:
        self._node = node
        self._on_observation = on_observation
        self._assembler = ObservationAssembler(node.robot)
        self._episode: EpisodeState | None = None
        self._pending: SimStep | None = None
        self._handed_ns = 0
        qos = sensor(node.stepped)
        self._subscriptions = [
            node.create_subscription(message_class(kind), topic, self._take(topic), qos)
            for topic, kind in self._assembler.topics.items()
        ]
        self._subscriptions.append(node.create_subscription(EpisodeState, "episode", self._on_episode, LATCHED_EACH))
        self._timer = None
        if node.stepped:
            self._subscriptions.append(node.create_subscription(SimStep, "sim/step", self._on_step, EVENT))
        else:
            steady = RosClock(clock_type=ClockType.STEADY_TIME)
            self._timer = node.create_timer(seconds(node.robot.policy_period_ns), self._on_timer, clock=steady)

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        if self._timer is not None:
            self._node.destroy_timer(self._timer)

    @property
    def running(self) -> EpisodeState | None:
        """The running attempt."""
        return self._episode if self._episode is not None and self._episode.phase == Phase.RUNNING else None

    def _take(self, topic: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            begin_ns = clock.steady_ns()
            stamp = stamp_ns(message.header.stamp) if hasattr(message, "header") else clock.wall_ns()
            self._assembler.update(topic, message, stamp)
            if self._node.stepped:
                self._try()
            elif self._assembler.aligned:
                self._hand_over()
            self._node.pulse.took(begin_ns)

        return take

    def _on_episode(self, message: EpisodeState) -> None:
        self._episode = message
        self._try()

    def _on_step(self, message: SimStep) -> None:
        self._pending = message
        self._try()

    def _try(self) -> None:
        """Stepped: the step, its sensors and the attempt come in any order; act when the last of them is there."""
        step, episode = self._pending, self.running
        if step is None or step.done or episode is None or episode.episode_id != step.episode_id:
            return
        observation = self._assembler.at(stamp_ns(step.stamp), step.step, step.episode_id)
        if observation is not None:
            self._pending = None
            self._on_observation(replace(observation, observed_ns=clock.wall_ns()), episode)

    def _on_timer(self) -> None:
        """Real time: a sensor that is late or lost must not hold back the others for longer than this."""
        if clock.steady_ns() - self._handed_ns > 1.5 * self._node.robot.policy_period_ns:
            self._hand_over()

    def _hand_over(self) -> None:
        episode = self.running
        self._handed_ns = clock.steady_ns()
        observation = self._assembler.latest(episode.episode_id if episode is not None else "")
        if observation is not None and episode is not None:
            self._on_observation(replace(observation, observed_ns=clock.wall_ns()), episode)
