"""What whoever drives wants in a tick, and how it becomes a command. Modes and checks are the supervisor's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from xrollout_ros.core.chunk import Array, Command
from xrollout_ros.core.clock import nanoseconds, seconds
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import Finding
from xrollout_ros.runtime.chunk_player import Played
from xrollout_ros.runtime.feed import PolicyFeed
from xrollout_ros.runtime.fences import Fences
from xrollout_ros.runtime.modes import Event
from xrollout_ros.runtime.operated import Operated
from xrollout_ros.runtime.posture import Posture
from xrollout_ros.runtime.recoveries import Recoveries
from xrollout_ros.runtime.recovery import Now, Progress
from xrollout_ros.runtime.shaping import Shaped, Shaper
from xrollout_ros.runtime.trail import Waypoint

DRIVER_TIMEOUT_S = 0.1
"""A driver stops its robot by itself when no command has come for so long; at a slow rate, for two periods."""


class Course(Enum):
    """What a choice amounts to."""

    DRIVE = "drive"
    HOLD = "hold"
    WAIT = "what was sent last still acts"


@dataclass(frozen=True)
class Choice:
    """What whoever drives wants in this tick."""

    course: Course = Course.HOLD
    action: Array | None = None
    """(A,), to drive."""
    asked: Array | None = None
    """(A,) what the policy asks for, which the motion is perhaps still on its way to."""
    source: Source = Source.HOLD
    sequence: int = -1
    index: int = -1
    accepted_ns: int = 0
    finding: Finding | None = None
    """What is wrong with there being nothing to do."""
    progress: Progress | None = None
    """How the recovery that drives goes."""


class Helm:
    """Holds everything that moves the robot: the policy's chunks, the operator's actions, recoveries, what was sent."""

    CHECKS = ("starved", "operator_silent")
    """Names of the checks made while somebody drives."""

    def __init__(self, robot: RobotSpec, fences: Fences, *, stepped: bool) -> None:
        self._robot = robot
        self._stepped = stepped
        self.feed = PolicyFeed(robot)
        self.operated = Operated(robot.safety.operator_timeout_s, stepped=stepped)
        self.recoveries = Recoveries(robot)
        self.posture = Posture(robot, stepped=stepped)
        self.shaper = Shaper(robot, self.posture, fences)
        self.values: dict[str, Array] = {}
        """Newest values of the observations that are measured, each flat."""
        self.sent: Command | None = None
        """The last command of the attempt."""
        self._once = any(dim.kind.once for dim in robot.actions)
        self._period_ns = robot.policy_period_ns if stepped or self._once else robot.control_period_ns
        self._silence_ns = max(nanoseconds(DRIVER_TIMEOUT_S), 2 * self._period_ns)
        self._spoke_ns: int | None = None
        """When anything was really sent last, whatever the attempt."""
        self._paused = False
        self._rest: Array | None = None
        """What a recovery does not move stays where it was when it began."""
        self._turn = 0
        """Which recovery of the attempt drives."""
        self._blocked_since_ns: int | None = None

    def begin(self) -> None:
        """An attempt begins."""
        self.feed.begin()
        self.operated.clear()
        self.recoveries.reset()
        self._turn = 0
        self.posture.begin()
        self.shaper.begin()
        self.sent = self._blocked_since_ns = None
        self._paused = False

    def clock_jumped(self) -> None:
        """Times of before mean nothing any more."""
        self.feed.clock_jumped()
        self.operated.clear()
        self.recoveries.clock_jumped()
        if self.shaper.blend is not None:
            self.shaper.begin_blend(keeps_grip=True)
        self.sent = self._blocked_since_ns = None

    def notice_silence(self, now_ns: int) -> None:
        """In real time: the driver has stopped a robot to which nothing was sent for a while."""
        if not self._stepped and self._spoke_ns is not None and now_ns - self._spoke_ns > self._silence_ns:
            self.posture.silent()

    def spoke(self, begin_ns: int, end_ns: int) -> None:
        """Something was really sent between these, perhaps long after it was chosen: then the driver had stopped it."""
        self.notice_silence(begin_ns)
        self._spoke_ns = end_ns

    def measured(self, observation: str, value: Array) -> None:
        """The newest value of an observation."""
        self.values[observation] = value.reshape(-1)
        self.posture.measured(observation, value)

    def enter(self, event: Event, driver: Source, t_ns: int) -> None:
        """The mode has changed.

        Args:
            event: by this.
            driver: who drives now; HOLD: nobody.
            t_ns: time of the change.
        """
        if event in (Event.TAKE_OVER, Event.HAND_BACK, Event.RECOVERED):
            self.shaper.begin_blend(keeps_grip=event is Event.TAKE_OVER)
        elif event is Event.START_TELEOP:
            self.shaper.begin_blend(keeps_grip=True, only_positions=True)
        elif driver is Source.HOLD:
            self.shaper.blend = None
        if event in (Event.HAND_BACK, Event.RECOVERED):
            self.feed.give_control(t_ns)
        elif driver is not Source.POLICY:
            self.feed.take_control()
        if driver is not Source.RECOVERY:
            self.recoveries.stop()
        self._rest = None
        self._paused = False

    def obstacle(self, t_ns: int) -> Finding | None:
        """Why nothing may be sent at all."""
        obstacle = self.posture.obstacle()
        if not obstacle:
            self._blocked_since_ns = None
            return None
        if self._blocked_since_ns is None:
            self._blocked_since_ns = t_ns
        blocked_s, limit_s = seconds(t_ns - self._blocked_since_ns), self._robot.safety.hold_abort_s
        taken = f"{obstacle}; nothing is sent"
        return Finding("posture", Severity.HOLD, blocked_s, limit_s, taken, self._blocked_since_ns)

    # --- choosing -----------------------------------------------------------------------------------------------

    def choose(self, driver: Source, t_ns: int, step: int, *, clear: bool) -> Choice:
        """What ``driver`` wants now.

        Args:
            driver: who drives; HOLD: nobody.
            t_ns: time of the tick.
            step: number of the tick.
            clear: no check calls for a recovery any more.
        """
        if driver is Source.POLICY:
            return self._policy(t_ns)
        if driver is Source.OPERATOR:
            return self._operator(t_ns, step)
        if driver is Source.RECOVERY:
            return self._recovery(t_ns, clear)
        return Choice()

    def _policy(self, t_ns: int) -> Choice:
        played, finding = self.feed.play(t_ns)
        if played is None:
            return Choice(finding=finding)
        return self._played(played, Source.POLICY, finding=finding)

    def _played(
        self, played: Played, source: Source, *, finding: Finding | None = None, progress: Progress | None = None
    ) -> Choice:
        course = Course.WAIT if played.repeated and self._once else Course.DRIVE
        # The end of a motion that nothing continues is no action of a policy's: it is how holding begins.
        source = Source.HOLD if played.fading else source
        return Choice(
            course, played.action, played.row, source, played.sequence, played.index, played.accepted_ns, finding,
            progress,
        )  # fmt: skip

    def _operator(self, t_ns: int, step: int) -> Choice:
        action, finding = self.operated.now(t_ns, step)
        if action is None:
            if not self._paused:
                # The operator's device may be elsewhere when they go on.
                self.shaper.begin_blend(keeps_grip=True, only_positions=True)
            self._paused = True
            return Choice(finding=finding)
        self._paused = False
        if self._once and (self.operated.used or not self._due(Source.OPERATOR, t_ns)):
            return Choice(Course.WAIT)
        self.operated.use()
        return Choice(Course.DRIVE, action, source=Source.OPERATOR)

    def _recovery(self, t_ns: int, clear: bool) -> Choice:
        if self._turn != self.recoveries.used:
            self._turn, self._rest = self.recoveries.used, None
            if self.recoveries.is_learned:
                self.shaper.begin_blend(keeps_grip=False)
        if self._once and not self.recoveries.is_learned and not self._due(Source.RECOVERY, t_ns):
            return Choice(Course.WAIT, progress=Progress.UNDER_WAY)
        if self._rest is None:
            self._rest = self.posture.hold()
        if self._rest is None:
            return Choice(progress=Progress.UNDER_WAY)
        now = Now(t_ns, 0.0, self._since_sent_s(t_ns), self.posture.origin(), self._rest, self.values, clear)
        action, progress = self.recoveries.act(t_ns, now)
        if action is None:
            return Choice(progress=progress)
        if self.recoveries.is_learned and self.recoveries.feed.played is not None:
            return self._played(self.recoveries.feed.played, Source.RECOVERY, progress=progress)
        return Choice(Course.DRIVE, action, source=Source.RECOVERY, progress=progress)

    # --- sending ------------------------------------------------------------------------------------------------

    def send(
        self, choice: Choice, t_ns: int, step: int, episode_id: str, mode: Mode
    ) -> tuple[Command | None, Shaped | None]:
        """The command of this tick, and how it came about; None: nothing is due, or nothing may be sent."""
        if choice.course is Course.WAIT:
            return None, None
        if choice.course is Course.HOLD and self._once and not self._due(Source.HOLD, t_ns):
            return None, None
        action = choice.action if choice.course is Course.DRIVE else None
        if self.sent is not None and t_ns - self.sent.stamp_ns > 2 * self._period_ns:
            self.shaper.rest()
        dt_s, steered = self._since_sent_s(t_ns), choice.source is Source.RECOVERY and choice.sequence < 0
        asked = choice.asked if action is not None else None
        shaped = self.shaper.shape(action, choice.source, t_ns, dt_s, self.values, steered=steered, asked=asked)
        if shaped.action is None:
            return None, shaped
        made = Choice() if shaped.held else choice
        self.sent = Command(
            t_ns, episode_id, step, made.source, mode, made.sequence, made.index, shaped.action, shaped.clipped,
            made.accepted_ns,
        )  # fmt: skip
        if made.source in (Source.POLICY, Source.OPERATOR):
            named = self._robot.safety.point
            place = self.values.get(named.observation) if named is not None else None
            self.recoveries.trail.add(Waypoint(t_ns, shaped.action, place))
        return self.sent, shaped

    def _due(self, source: Source, t_ns: int) -> bool:
        """Whether a robot that acts on every message may get the next one: at once from another source."""
        if self._stepped or self.sent is None or source is not self.sent.source:
            return True
        return t_ns - self.sent.stamp_ns >= self._period_ns - self._robot.control_period_ns // 2

    def _since_sent_s(self, t_ns: int) -> float:
        """Time in which the robot may move on, s: never more than a period, however long nothing was sent."""
        since_ns = self._period_ns if self.sent is None else t_ns - self.sent.stamp_ns
        return seconds(min(self._period_ns, max(1, since_ns)))
