"""The soak's own judgement of every command, by rules of its own: none of the project's checks is used here."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Float64MultiArray

from xrollout.msg import Command, EpisodeState, SupervisorState

RELATIVE = 1e-6
"""Slack of the rate: what binary fractions need, and nothing for a clock."""
MAYBE_SILENT_S, SURELY_SILENT_S = 0.08, 0.2
"""The simulated robot stops by itself 0.1 s after a command; what follows must begin at rest. When it came there, and
when the writer sent, is known to a few periods: between the two a command may go on from the last one or from rest.
Beyond both, one command may still go on from the last one: it was on its way when its process was stopped."""


@dataclass(frozen=True)
class Violation:
    """Something that must not happen."""

    at: str
    """Wall-clock time."""
    kind: str
    what: str


def now_text() -> str:
    return time.strftime("%H:%M:%S", time.localtime()) + f".{time.time_ns() // 1_000_000 % 1000:03d}"


@dataclass(frozen=True)
class Limits:
    """What the robot's spec allows; written down by the soak, not asked of the project."""

    lower: float
    upper: float
    max_step: float
    """Largest change between two commands: the largest rate times a period."""


@dataclass
class Stream:
    """All commands on one topic, from one supervisor process after the other.

    A supervisor's own messages are numbered from 1, so a number that does not grow is a new supervisor's. Where numbers
    are missing here (the topic keeps only the newest), each missing message may have moved by one step. A new
    supervisor's first command begins at rest, since the robot has stopped by itself meanwhile.
    """

    name: str
    limits: Limits
    say: Callable[[str], None]
    last: float = 0.0
    number: int = 0
    sent_ns: int = 0
    heard: int = 0
    missed: int = 0
    woke: bool = False
    """The last command came after a silence and may have been on its way before: the next one may begin at rest."""
    stale: int = 0
    """Commands that were on their way when their process was stopped, and came when it went on."""
    writers: int = 0
    largest_step: float = 0.0
    """In units of the largest one allowed."""

    def take(self, values: list[float], number: int, sent_ns: int) -> None:
        """Judge one message.

        Args:
            values: as received.
            number: the writer's own number of it.
            sent_ns: when the writer sent it, wall clock.
        """
        self.heard += 1
        new = number <= self.number
        if new:
            self.writers += 1
            self.last, self.number = 0.0, 0
        gap = number - self.number
        self.missed += 0 if new else gap - 1
        silence_s = (sent_ns - self.sent_ns) / 1e9 if self.sent_ns and not new else 0.0
        self.number, self.sent_ns = number, sent_ns
        if len(values) != 1:
            self.say(f"{self.name}: {len(values)} values instead of 1: {values}")
            return
        value = values[0]
        if not math.isfinite(value):
            self.say(f"{self.name}: {value}")
            return
        if not self.limits.lower <= value <= self.limits.upper:
            self.say(f"{self.name}: {value!r} is outside {self.limits.lower} to {self.limits.upper}")
        allowed = gap * self.limits.max_step
        stopped = silence_s > SURELY_SILENT_S
        began_from = [self.last, 0.0] if silence_s > MAYBE_SILENT_S or self.woke else [self.last]
        step = min(abs(value - begin) for begin in began_from) / allowed
        self.largest_step = max(self.largest_step, step)
        if step > 1 + RELATIVE:
            since = "the beginning of a new supervisor" if new else f"message {number - gap}"
            self.say(
                f"{self.name}: from {self.last:.6g} to {value:.6g} (message {number}, after {since}, "
                f"{silence_s:.3f} s of silence) is {step:.3f} times the largest step"
            )
        self.woke = silence_s > MAYBE_SILENT_S
        if stopped and abs(value) > allowed * (1 + RELATIVE):
            self.stale += 1
        self.last = value


@dataclass
class Attempt:
    """What the graph told of an attempt."""

    episode_id: str
    strategy: str
    opened_s: float
    """Wall clock."""
    running_s: float = 0.0
    ended_s: float = 0.0
    """0: it runs."""
    closed_s: float = 0.0
    """0: not closed."""
    outcome: str = ""
    reason: str = ""
    discarded: bool = False


@dataclass
class Watch:
    """What was heard; read and written under the lock."""

    streams: dict[str, Stream] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    running: str = ""
    """Id of the attempt that runs; empty: none."""
    mode: int = SupervisorState.IDLE
    driven_s: float = 0.0
    """Steady time of the policy's last command."""
    reset_asked: bool = True
    pairs: dict[tuple[int, int], tuple[float, ...]] = field(default_factory=dict)
    compared: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, limits: Limits) -> None:
        """A graph is about to be started."""
        with self.lock:
            for name in ("robot's topic", "/xrollout/command"):
                before = self.streams.get(name)
                self.streams[name] = Stream(name, limits, self._unsafe)
                if before is not None:
                    new = self.streams[name]
                    new.heard, new.missed, new.writers = before.heard, before.missed, before.writers
                    new.largest_step, new.stale = before.largest_step, before.stale
            self.running, self.mode, self.reset_asked = "", SupervisorState.IDLE, True
            self.driven_s = time.monotonic()
            self.pairs.clear()

    def violation(self, kind: str, what: str) -> None:
        with self.lock:
            self.violations.append(Violation(now_text(), kind, what))
            print(f"{now_text()} VIOLATION, {kind}: {what}", flush=True)

    def _unsafe(self, what: str) -> None:
        self.violation("unsafe command", what)

    def take(self, name: str, values: list[float], info: dict[str, int]) -> None:
        with self.lock:
            stream = self.streams.get(name)
            if stream is None:
                return
            number = info["publication_sequence_number"]
            stream.take(values, number, info["source_timestamp"])
            self._compare((stream.writers, number), tuple(values))

    def _compare(self, key: tuple[int, int], values: tuple[float, ...]) -> None:
        """The command that is recorded is the one sent: the supervisor's n-th of each topic."""
        other = self.pairs.pop(key, None)
        if other is None:
            self.pairs[key] = values
            if len(self.pairs) > 1000:
                self.pairs.pop(next(iter(self.pairs)))
            return
        self.compared += 1
        if other != values:
            self.violation("unsafe command", f"command {key}: {other} on one topic, {values} on the other")

    def state(self, message: SupervisorState) -> None:
        with self.lock:
            left = self.mode == SupervisorState.ESTOP and message.mode != SupervisorState.ESTOP
            if left and not self.reset_asked:
                self.violation("unsafe command", f"the emergency stop was left unasked: {message.reason}")
            if message.mode == SupervisorState.ESTOP and not left and self.mode != SupervisorState.ESTOP:
                self.reset_asked = False
            self.mode = message.mode

    def episode(self, message: EpisodeState) -> None:
        with self.lock:
            now_s = time.time()
            attempt = self.attempts.setdefault(message.episode_id, Attempt(message.episode_id, message.strategy, now_s))
            if message.phase == EpisodeState.RUNNING:
                self.running = message.episode_id
                attempt.running_s = attempt.running_s or now_s
            elif message.phase in (EpisodeState.CLOSING, EpisodeState.CLOSED):
                self.running = ""
                attempt.ended_s = attempt.ended_s or now_s
                attempt.outcome, attempt.reason = message.outcome, message.outcome_reason
                attempt.discarded = message.discarded
            if message.phase == EpisodeState.CLOSED:
                attempt.closed_s = now_s
                if not message.outcome:
                    self.violation("no outcome", f"attempt {message.episode_id} was closed without an outcome")

    def command(self, message: Command, info: dict[str, int]) -> None:
        self.take("/xrollout/command", list(message.action), info)
        if message.source == Command.POLICY:
            self.driven_s = time.monotonic()


def _qos(depth: int, *, latched: bool = False) -> QoSProfile:
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


@contextmanager
def watching(command_topic: str) -> Iterator[tuple[Watch, Node]]:
    """A watcher with a node of its own, in this process's ROS domain."""
    import rclpy
    from rclpy.context import Context

    from xrollout_ros.graph.middleware import prepare
    from xrollout_ros.graph.spinning import SpinThread, make_executor

    prepare()
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("soak", context=context)
    watch = Watch()

    def robot(message: Float64MultiArray, info: dict[str, int]) -> None:
        watch.take("robot's topic", list(message.data), info)

    def command(message: Command, info: dict[str, int]) -> None:
        watch.command(message, info)

    node.create_subscription(Float64MultiArray, command_topic, robot, _qos(1000))
    node.create_subscription(Command, "/xrollout/command", command, _qos(1000))
    node.create_subscription(SupervisorState, "/xrollout/supervisor/state", watch.state, _qos(100, latched=True))
    node.create_subscription(EpisodeState, "/xrollout/episode", watch.episode, _qos(100, latched=True))
    executor = make_executor(context, waits=True)  # the events executor gives no numbers of messages
    executor.add_node(node)
    try:
        with SpinThread(executor, "soak"):
            yield watch, node
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
