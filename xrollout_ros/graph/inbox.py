"""What the manager hears: its subscriptions and services, noted under one condition for the thread that acts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Condition
from typing import Any, Literal

from rclpy.node import Node

from xrollout.msg import OperatorRequest, PolicyStatus, SafetyEvent, SimStep, SupervisorState
from xrollout.srv import EndAttempt, StartAttempt
from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Mode, Request
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.graph.conversions import event_from_msg
from xrollout_ros.graph.qos import EVENT, LATCHED, STREAM
from xrollout_ros.runtime.attempt import AttemptWatch

Driver = Literal["policy", "operator"]


@dataclass(frozen=True)
class Wish:
    """An attempt that somebody asked for."""

    episode_id: str
    seed: int
    """-1: the manager chooses; of a listed start: it has none."""
    start: str
    key: int = -1
    """By which the run's plan knows it; -1: not chosen yet."""
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Kept with its episode."""
    model: str = ""
    """Checkpoint of the policy that drives it; empty: the one that is there."""
    driver: Driver | None = None
    """Who alone drives it; None: the run's policy, with its operator on call, or the operator where there is none."""
    kind: EpisodeKind | None = None
    """None: the run's."""


class Inbox:
    """Callbacks run in the executor's thread and only take notes; read them while holding ``changed``."""

    def __init__(self, node: Node, task: TaskSpec, start: str, clock: Clock, changed: Condition) -> None:
        self.changed = changed
        self.watch: AttemptWatch | None = None
        """The running attempt's; none outside one."""
        self.episode_id = ""
        self.wish: Wish | None = None
        self.late: tuple[Request, str, str] | None = None
        """DISCARD or RERECORD that came after the last attempt had ended, who asked, and why."""
        self.mode = Mode.IDLE
        self.policy: PolicyStatus | None = None
        """What the policy node says of itself."""
        self.last_stamp_ns = 0
        """Newest simulated time."""
        self._task = task
        self._start = start
        self._clock = clock
        node.create_service(StartAttempt, "start_attempt", self._on_start)
        node.create_service(EndAttempt, "end_attempt", self._on_end)
        node.create_subscription(SafetyEvent, "supervisor/event", self._on_event, EVENT)
        node.create_subscription(SupervisorState, "supervisor/state", self._on_state, LATCHED)
        node.create_subscription(OperatorRequest, "request", self._on_request, EVENT)
        node.create_subscription(SimStep, "sim/step", self._on_step, EVENT)
        node.create_subscription(PolicyStatus, "policy/status", self._on_policy, STREAM)

    def _watching(self, episode_id: str) -> AttemptWatch | None:
        return self.watch if episode_id == self.episode_id else None

    def _on_event(self, message: SafetyEvent) -> None:
        with self.changed:
            watch = self._watching(message.episode_id)
            if watch is not None:
                watch.safety(event_from_msg(message))
                self.changed.notify_all()

    def _on_state(self, message: SupervisorState) -> None:
        with self.changed:
            self.mode = Mode(message.mode)
            watch = self._watching(message.episode_id)
            if watch is not None:
                watch.mode(self.mode, message.operator_id, stamp_ns(message.stamp))
            self.changed.notify_all()

    def _on_request(self, message: OperatorRequest) -> None:
        with self.changed:
            watch = self._watching(message.episode_id or self.episode_id)
            if watch is not None:
                watch.request(Request(message.request), message.operator_id, message.reason)
                self.changed.notify_all()
            elif self.watch is None and message.request in (Request.DISCARD, Request.RERECORD):
                self.late = (Request(message.request), message.operator_id, message.reason)
                self.changed.notify_all()

    def _on_step(self, message: SimStep) -> None:
        with self.changed:
            watch = self._watching(message.episode_id)
            if watch is not None:
                stamp = stamp_ns(message.stamp)
                self.last_stamp_ns = max(self.last_stamp_ns, stamp)
                watch.step(stamp, success=message.success, done=message.done, steady_ns=self._clock.steady_ns())
                if message.done:
                    self.changed.notify_all()

    def _on_policy(self, message: PolicyStatus) -> None:
        with self.changed:
            self.policy = message
            self.changed.notify_all()

    def _on_start(self, request: StartAttempt.Request, response: StartAttempt.Response) -> StartAttempt.Response:
        start = request.start or self._start
        with self.changed:
            if self.watch is not None or self.wish is not None:
                response.reason = f"attempt {self.episode_id} is under way; end it first"
            elif start not in self._task.starts:
                known = ", ".join(self._task.starts)
                response.reason = f"task {self._task.id} has no start {start!r}; it has {known}"
            elif self.mode is Mode.ESTOP:
                response.reason = "the emergency stop is in force; call reset_emergency_stop first"
            else:
                response.accepted, response.episode_id = True, new_id()
                self.wish = Wish(response.episode_id, request.seed, start)
                self.changed.notify_all()
        return response

    def _on_end(self, request: EndAttempt.Request, response: EndAttempt.Response) -> EndAttempt.Response:
        allowed = [outcome.value for outcome in Outcome]
        with self.changed:
            if self.watch is None:
                response.message = "no attempt is running"
            elif request.outcome not in allowed:
                response.message = f"outcome {request.outcome!r} is unknown; allowed are {', '.join(allowed)}"
            else:
                self.watch.mark(Outcome(request.outcome), request.reason or "end_attempt was called")
                response.accepted, response.message = True, f"attempt {self.episode_id} ends"
                self.changed.notify_all()
        return response
