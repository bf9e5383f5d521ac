"""Carries an operator's commands and requests into the graph, from inside it or from another terminal."""

from __future__ import annotations

import numpy as np
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType

from xrollout.msg import Command, EpisodeState, OperatorRequest, SupervisorState, TeleopCommand
from xrollout_ros.core.chunk import Observation
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.modes import Mode, Phase, Request
from xrollout_ros.core.ports import Asked, Operator
from xrollout_ros.graph.conversions import operator_to_msg, time_msg
from xrollout_ros.graph.observing import Observer, ObservingNode
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import COMMAND, EVENT, LATCHED, LATCHED_EACH
from xrollout_ros.runtime.operators.session import TeleopSession


class Teleoperation:
    """Asks the operator and publishes what it says.

    Stepped: for each observation, when the command of the step before it has been heard too, so that an operator
    knows the same whatever the messages' order. Real time: at the rate at which the robot takes commands, and at each
    observation for a script.

    Args:
        node: what it works on.
        operator: who is asked.
        by_observation: the operator is a script, which acts on what the robot senses.
        operator_id: the name under which it acts in an attempt; None: the one that the attempt gives its operator.
    """

    def __init__(
        self, node: ObservingNode, operator: Operator, *, by_observation: bool, operator_id: str | None = None
    ) -> None:
        self._node = node
        self._operator = operator
        self._by_observation = by_observation or node.stepped
        self._own_id = operator_id
        self.session = TeleopSession(operator, node.stepped)
        self._newest: Observation | None = None
        self._pending: tuple[Observation, EpisodeState] | None = None
        self._done: tuple[str, int] = ("", -1)
        self._running = ""
        self._told_of: str | None = None
        self._commands = node.create_publisher(TeleopCommand, "teleop/command", COMMAND)
        self._requests = node.create_publisher(OperatorRequest, "request", EVENT)
        self._subscriptions = [
            node.create_subscription(EpisodeState, "episode", self._on_episode, LATCHED_EACH),
            node.create_subscription(Command, "command", self._on_command, EVENT),
        ]
        self._observer = Observer(node, self._on_observation)
        self._timer = None
        if not node.stepped:
            self._subscriptions.append(
                node.create_subscription(SupervisorState, "supervisor/state", self._on_state, LATCHED)
            )
            once = any(dim.kind.once for dim in node.robot.actions)
            period_ns = node.robot.policy_period_ns if once else node.robot.control_period_ns
            steady = RosClock(clock_type=ClockType.STEADY_TIME)
            self._timer = node.create_timer(seconds(period_ns), self._on_timer, clock=steady)

    @property
    def knows_attempt(self) -> bool:
        """Whether the attempt that the supervisor is in is known here; before, what is pressed is meant for none."""
        return self._told_of is not None and self._told_of in ("", self.session.episode_id)

    @property
    def listeners(self) -> int:
        """Who hears both commands and requests: one is the supervisor, another the recorder where there is one."""
        return min(int(each.get_subscription_count()) for each in (self._commands, self._requests))

    def close(self) -> None:
        """Leave; the robot holds if it was driven."""
        if self.session.driving and self._running and not self._node.stepped:
            self._send(Asked(Request.HOLD, "the operator has left"))
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._observer.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for publisher in (self._commands, self._requests):
            self._node.destroy_publisher(publisher)

    def _on_episode(self, message: EpisodeState) -> None:
        self._running = message.episode_id if message.phase == Phase.RUNNING else ""
        if self._running and message.episode_id != self.session.episode_id:
            operator_id = self._own_id or message.operator_id or self._operator.name
            self._newest = None
            self.session.begin(message.episode_id, operator_id, message.seed, policy=bool(message.policy_id))

    def _on_state(self, message: SupervisorState) -> None:
        self._told_of = message.episode_id
        self.session.told(Mode(message.mode), message.operator_id)

    def _on_command(self, message: Command) -> None:
        if message.episode_id != self._running:
            return
        self.session.sent(np.asarray(message.action), message.help_wanted)
        if self._node.stepped:
            self._done = (message.episode_id, message.step)
            self.session.told(Mode(message.mode), None)
            self._try_step()

    def _on_observation(self, observation: Observation, episode: EpisodeState) -> None:
        self._on_episode(episode)
        self._newest = observation
        if self._node.stepped:
            self._pending = (observation, episode)
            self._try_step()
        elif self._by_observation:
            self._answer(observation, clock.steady_ns())
            self._poll()

    def _try_step(self) -> None:
        """Stepped: answer once the command that led to this observation is known."""
        if self._pending is None:
            return
        observation, episode = self._pending
        known = self._done == (observation.episode_id, observation.step - 1)
        again = self._done == (observation.episode_id, observation.step)
        if not episode.operator_id or not (known or again or observation.step == 0):
            return
        self._pending = None
        self._answer(observation, observation.stamp_ns)
        for asked in self.session.marks():
            self._send(asked)

    def _on_timer(self) -> None:
        begin_ns = clock.steady_ns()
        self._poll()
        if self._running and not self._by_observation:
            self._answer(self._newest, begin_ns)
        self._node.pulse.took(begin_ns)

    def _answer(self, observation: Observation | None, t_ns: int) -> None:
        action = self.session.answer(observation, t_ns)
        if action is not None:
            self._commands.publish(operator_to_msg(action))

    def _poll(self) -> None:
        for asked in self.session.poll(clock.steady_ns()):
            self._send(asked)

    def _send(self, asked: Asked) -> None:
        self._requests.publish(
            OperatorRequest(
                stamp=time_msg(clock.wall_ns()),
                episode_id=self._running,
                request=int(asked.request),
                operator_id=self.session.operator_id or self._own_id or self._operator.name,
                reason=asked.reason,
            )
        )
