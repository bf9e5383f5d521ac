"""Observes a running graph from outside: everything that the terminal view shows, and nothing that acts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from xrollout.msg import (
    Command,
    EpisodeState,
    FailureTag,
    FlywheelState,
    Heartbeat,
    PolicyStatus,
    RecorderStatus,
    SafetyEvent,
    SimStep,
    SupervisorState,
)
from xrollout_ros.core.clock import SystemClock, seconds
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Mode, Phase, Severity, Source
from xrollout_ros.core.resources import load_robot
from xrollout_ros.graph.middleware import prepare
from xrollout_ros.graph.qos import EVENT, LATCHED, LATCHED_EACH, STREAM
from xrollout_ros.graph.spinning import SpinThread, make_executor
from xrollout_ros.graph.topics import NAMESPACE
from xrollout_ros.runtime.monitor_model import (
    ActionView,
    EpisodeView,
    FailureLine,
    FlywheelView,
    MonitorModel,
    NodeHealth,
    PolicyView,
    RecorderView,
    SafetyLine,
    ScoreView,
    TopicRate,
)

RATE_WINDOW_S = 2.0
_KEPT, _KEPT_OUTCOMES = 8, 200
_LIFECYCLE = {
    0: "plain",
    1: "unconfigured",
    2: "inactive",
    3: "active",
    4: "finalized",
    10: "configuring",
    11: "cleaning up",
    12: "shutting down",
    13: "activating",
    14: "deactivating",
    15: "in error",
}
_EXPECTED = ("manager", "recorder", "supervisor")
"""Nodes of every graph."""
_clock = SystemClock()


@dataclass
class _Heard:
    """One process that beats."""

    message: Heartbeat
    at_ns: int
    restarts: int = 0


@dataclass
class _Knowledge:
    heard_ns: int
    state: SupervisorState | None = None
    state_at_ns: int = 0
    episode: EpisodeState | None = None
    running_ns: int = 0
    closed: int = 0
    recent: dict[str, str] = field(default_factory=dict)
    """Outcome by attempt."""
    flywheel: FlywheelState | None = None
    command: Command | None = None
    policy: PolicyStatus | None = None
    recorder: RecorderStatus | None = None
    nodes: dict[str, _Heard] = field(default_factory=dict)
    arrivals: dict[str, deque[int]] = field(default_factory=dict)
    safety: deque[tuple[int, SafetyEvent]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    failures: deque[FailureTag] = field(default_factory=lambda: deque(maxlen=_KEPT))


class GraphObserver:
    """Subscribes to the graph's own topics; :meth:`model` may be called from any thread."""

    def __init__(self, node: Node) -> None:
        self.node = node
        """What it hears by; who acts too may use it."""
        self._lock = threading.Lock()
        self._known = _Knowledge(_clock.steady_ns())
        for topic, kind, qos, take in (
            ("supervisor/state", SupervisorState, LATCHED, self._on_state),
            ("episode", EpisodeState, LATCHED_EACH, self._on_episode),
            ("recorder/status", RecorderStatus, LATCHED, self._on_recorder),
            ("policy/status", PolicyStatus, STREAM, self._on_policy),
            ("command", Command, EVENT, self._on_command),
            ("sim/step", SimStep, EVENT, self._on_sim_step),
            ("heartbeat", Heartbeat, EVENT, self._on_heartbeat),
            ("supervisor/event", SafetyEvent, EVENT, self._on_safety),
            ("failure", FailureTag, EVENT, self._on_failure),
            ("flywheel", FlywheelState, LATCHED, self._on_flywheel),
        ):
            node.create_subscription(kind, topic, self._taking(topic, take), qos)

    def _taking(self, topic: str, take: Any) -> Any:
        def callback(message: Any) -> None:
            now_ns = _clock.steady_ns()
            with self._lock:
                self._known.heard_ns = now_ns
                self._known.arrivals.setdefault(topic, deque(maxlen=4096)).append(now_ns)
                take(message, now_ns)

        return callback

    def _on_state(self, message: SupervisorState, now_ns: int) -> None:
        before = self._known.state
        if before is None or before.mode != message.mode:
            self._known.state_at_ns = now_ns
        self._known.state = message

    def _on_episode(self, message: EpisodeState, now_ns: int) -> None:
        before = self._known.episode
        if message.phase == Phase.RUNNING and (
            before is None or (before.episode_id, before.phase) != (message.episode_id, message.phase)
        ):
            self._known.running_ns = now_ns
        if message.outcome:
            self._known.recent.pop(message.episode_id, None)
            if not message.discarded:
                self._known.recent[message.episode_id] = message.outcome
            while len(self._known.recent) > _KEPT_OUTCOMES:
                self._known.recent.pop(next(iter(self._known.recent)))
        self._known.episode = message
        # Successes already count an attempt that is being closed.
        self._known.closed = message.number - (message.phase in (Phase.OPENING, Phase.RUNNING))

    def _on_recorder(self, message: RecorderStatus, now_ns: int) -> None:
        self._known.recorder = message

    def _on_policy(self, message: PolicyStatus, now_ns: int) -> None:
        self._known.policy = message

    def _on_command(self, message: Command, now_ns: int) -> None:
        self._known.command = message

    def _on_sim_step(self, message: SimStep, now_ns: int) -> None:
        """Only its rate is shown."""

    def _on_safety(self, message: SafetyEvent, now_ns: int) -> None:
        self._known.safety.appendleft((now_ns, message))

    def _on_failure(self, message: FailureTag, now_ns: int) -> None:
        self._known.failures.appendleft(message)

    def _on_flywheel(self, message: FlywheelState, now_ns: int) -> None:
        self._known.flywheel = message

    def _on_heartbeat(self, message: Heartbeat, now_ns: int) -> None:
        heard = self._known.nodes.get(message.node)
        restarts = 0
        if heard is not None:
            # Messages of a process that has been replaced may still be on their way; ULIDs sort by time.
            if message.incarnation < heard.message.incarnation:
                return
            restarts = heard.restarts + (message.incarnation != heard.message.incarnation)
        self._known.nodes[message.node] = _Heard(message, now_ns, restarts)

    def model(self) -> MonitorModel:
        """What is known now."""
        now_ns = _clock.steady_ns()
        with self._lock:
            known = self._known
            state, episode = known.state, known.episode
            rates = {topic: _rate_hz(arrivals, now_ns) for topic, arrivals in known.arrivals.items()}
            return MonitorModel(
                namespace=NAMESPACE,
                waiting_s=seconds(now_ns - known.heard_ns),
                mode=Mode(state.mode) if state is not None else None,
                mode_age_s=seconds(now_ns - known.state_at_ns) if state is not None else 0.0,
                reason=state.reason if state is not None else "",
                operator=state.operator_id if state is not None else "",
                help_wanted=state.help_reason if state is not None and state.help_wanted else "",
                episode=_episode_view(episode) if episode is not None else None,
                attempt_s=_running_s(known, now_ns),
                recent=tuple(known.recent.values()),
                closed=known.closed,
                successes=episode.successes if episode is not None else 0,
                command_rate_hz=rates.get("command", 0.0),
                command_source=_source(known.command, episode),
                action=_action(known),
                scores=_scores(known.policy, _thresholds(episode.robot) if episode is not None else {}),
                flywheel=_flywheel_view(known.flywheel),
                policy=_policy_view(known.policy) if known.policy is not None else None,
                recorder=_recorder_view(known.recorder) if known.recorder is not None else None,
                nodes=tuple(_health(heard, now_ns) for _, heard in sorted(known.nodes.items())),
                missing=tuple(name for name in _EXPECTED if known.nodes and name not in known.nodes),
                rates=tuple(TopicRate(topic, rate_hz) for topic, rate_hz in sorted(rates.items())),
                safety=tuple(_safety_line(at_ns, event, now_ns) for at_ns, event in known.safety),
                failures=tuple(
                    FailureLine(tag.episode_id, tag.mode, tag.stage, tag.evidence) for tag in known.failures
                ),
            )


def _rate_hz(arrivals: deque[int], now_ns: int) -> float:
    return sum(seconds(now_ns - at_ns) <= RATE_WINDOW_S for at_ns in arrivals) / RATE_WINDOW_S


def _source(command: Command | None, episode: EpisodeState | None) -> Source | None:
    """Who drives; a command of the attempt before says nothing of this one."""
    if command is None or (episode is not None and command.episode_id != episode.episode_id):
        return None
    return Source(command.source)


def _running_s(known: _Knowledge, now_ns: int) -> float:
    running = known.episode is not None and known.episode.phase == Phase.RUNNING
    return seconds(now_ns - known.running_ns) if running else 0.0


def _action(known: _Knowledge) -> tuple[ActionView, ...]:
    """The last command, where the supervisor has said what its values are."""
    command, state = known.command, known.state
    if command is None or state is None or len(command.action) != len(state.action_names):
        return ()
    clipped = command.clipped or [False] * len(command.action)
    return tuple(
        ActionView(*values)
        for values in zip(state.action_names, command.action, state.lower, state.upper, clipped, strict=True)
    )


@lru_cache(maxsize=4)
def _thresholds(robot: str) -> dict[str, float]:
    """Where the robot's detectors are alarmed, by score; none where its spec is not on this machine."""
    try:
        return {each.score: each.threshold for each in load_robot(robot).safety.detectors if each.kind == "score"}
    except SpecError:
        return {}


def _scores(policy: PolicyStatus | None, thresholds: Mapping[str, float]) -> tuple[ScoreView, ...]:
    if policy is None:
        return ()
    named = zip(policy.score_names, policy.score_values, strict=True)
    return tuple(ScoreView(name, value, thresholds.get(name)) for name, value in named)


def _flywheel_view(message: FlywheelState | None) -> FlywheelView | None:
    if message is None or not message.cycle_id:
        return None
    return FlywheelView(message.number, message.state, message.doing, message.done, message.total)


def _episode_view(message: EpisodeState) -> EpisodeView:
    return EpisodeView(
        episode_id=message.episode_id,
        phase=Phase(message.phase),
        kind=message.kind,
        task=message.task,
        robot=message.robot,
        start=message.start,
        seed=message.seed if message.seed >= 0 else None,
        number=message.number,
        total=message.total,
        outcome=message.outcome,
        outcome_source=message.outcome_source,
        outcome_reason=message.outcome_reason,
    )


def _policy_view(message: PolicyStatus) -> PolicyView:
    return PolicyView(
        policy_id=message.policy_id,
        engine=message.engine,
        latency_s=message.latency_s,
        queue_left=message.queue_left,
        chunks_discarded=message.chunks_discarded,
        errors=message.errors,
        last_error=message.last_error,
    )


def _recorder_view(message: RecorderStatus) -> RecorderView:
    return RecorderView(
        bag=message.bag,
        recording=message.recording,
        bytes_written=message.bytes,
        received=sum(message.received),
        lost=sum(message.lost),
        disk_free=message.disk_free,
        error=message.error,
        ring_s=message.ring_seconds,
        upload_queue=message.upload_queue,
        upload_error=message.upload_error,
    )


def _health(heard: _Heard, now_ns: int) -> NodeHealth:
    message = heard.message
    return NodeHealth(
        name=message.node,
        incarnation=message.incarnation,
        lifecycle=_LIFECYCLE.get(message.lifecycle_state, str(message.lifecycle_state)),
        heartbeat_age_s=seconds(now_ns - heard.at_ns),
        uptime_s=message.uptime_s,
        worst_tick_s=message.worst_tick_s,
        restarts=heard.restarts,
    )


def _safety_line(at_ns: int, event: SafetyEvent, now_ns: int) -> SafetyLine:
    severity = Severity(event.severity).name.lower()
    return SafetyLine(seconds(now_ns - at_ns), event.check, severity, event.began, event.action_taken)


@contextmanager
def observe() -> Iterator[GraphObserver]:
    """An observer of the graph in this process's ROS domain, spinning in a thread of its own."""
    prepare()
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("monitor", namespace=NAMESPACE.strip("/"), context=context)
    executor = make_executor(context)
    executor.add_node(node)
    observer = GraphObserver(node)
    try:
        with SpinThread(executor, "observer"):
            yield observer
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
