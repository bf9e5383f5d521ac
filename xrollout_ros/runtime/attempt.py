"""When an attempt has ended and what its first outcome is: the manager's judgement, without ROS."""

from __future__ import annotations

from dataclasses import dataclass, field

from xrollout_ros.core.chunk import SafetyEvent
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.episode import InterventionSpan, Outcome, OutcomeSource, SafetyRecord
from xrollout_ros.core.modes import Mode, Request, Severity
from xrollout_ros.core.task import TaskSpec


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended."""

    outcome: Outcome
    source: OutcomeSource
    reason: str
    discard: bool = False
    again: bool = False
    """It is to be made again, with the same seed."""


@dataclass
class AttemptWatch:
    """Gathers what happens in one attempt and says when it has ended.

    Where several things have happened the first outcome is, in this order: safety abort, human mark, the robot's
    success signal, time limit, unknown.

    Args:
        task: gives the time limit and whether the robot's success signal counts.
        stepped: the robot counts the steps; in real time the clock does.
        stuck_s: real time without a step after which a stepped attempt is given up, s.
        begun_steady_ns: when it began, on the steady clock.
        start_ns: stamp of its first moment; in real time that of the supervisor's first word on it holds, as soon as it
            is heard: then the first command is sent, from which readers of the bag count.
    """

    task: TaskSpec
    stepped: bool
    begun_steady_ns: int
    start_ns: int
    stuck_s: float = 10.0
    events: list[SafetyRecord] = field(default_factory=list)
    interventions: list[InterventionSpan] = field(default_factory=list)
    last_stamp_ns: int = 0
    _abort: Verdict | None = None
    _mark: Verdict | None = None
    _robot: Verdict | None = None
    _limit: Verdict | None = None
    _end: Verdict | None = None
    _operator: tuple[str, float] | None = None
    _begun: bool = False

    def __post_init__(self) -> None:
        self._progress_ns = self.begun_steady_ns
        self.last_stamp_ns = self.start_ns

    def _at_s(self, stamp_ns: int) -> float:
        return max(0.0, seconds(stamp_ns - self.start_ns))

    def safety(self, event: SafetyEvent) -> None:
        """The supervisor's check began or ended."""
        self.events.append(
            SafetyRecord(
                at_s=self._at_s(event.stamp_ns),
                check=event.check,
                severity=event.severity,
                value=event.value,
                limit=event.limit,
                began=event.began,
            )
        )
        if event.began and event.severity >= Severity.ABORT:
            reason = f"{event.check}: {event.action_taken} (value {event.value:g}, limit {event.limit:g})"
            self._abort = self._abort or Verdict(Outcome.ABORT, OutcomeSource.SAFETY, reason)

    def lost(self, reason: str) -> None:
        """Something that the attempt cannot do without is gone."""
        self._abort = self._abort or Verdict(Outcome.ABORT, OutcomeSource.SYSTEM, reason)

    def request(self, request: Request, operator: str, reason: str) -> None:
        """An operator marks or ends the attempt."""
        said = f"{operator}: {reason}" if reason else operator
        outcomes = {
            Request.MARK_SUCCESS: (Outcome.SUCCESS, False),
            Request.MARK_FAILURE: (Outcome.FAILURE, False),
            Request.DISCARD: (Outcome.UNKNOWN, True),
        }
        if request in outcomes:
            outcome, discard = outcomes[request]
            self._mark = Verdict(outcome, OutcomeSource.HUMAN, said, discard)
        elif request is Request.RERECORD:
            self._mark = Verdict(
                Outcome.UNKNOWN, OutcomeSource.HUMAN, f"{said}: make it again", discard=True, again=True
            )
        elif request is Request.END:
            self._end = Verdict(Outcome.UNKNOWN, OutcomeSource.NONE, f"ended by {said}")

    def mark(self, outcome: Outcome, reason: str) -> None:
        """An operator ends the attempt with an outcome of their own."""
        self._mark = Verdict(outcome, OutcomeSource.HUMAN, reason)

    def mode(self, mode: Mode, operator: str, stamp_ns: int) -> None:
        """The supervisor's mode, to know in which spans an operator drove: in a handover from its first moment on.

        ``operator`` is empty in a handover back to the policy.
        """
        if not self._begun and not self.stepped:
            self.start_ns = stamp_ns
        self._begun = True
        at_s = self._at_s(stamp_ns)
        drives = mode is Mode.TELEOP or (mode is Mode.HANDOVER and bool(operator))
        if self._operator is not None and (not drives or operator != self._operator[0]):
            name, begin_s = self._operator
            self.interventions.append(InterventionSpan(operator=name, begin_s=begin_s, end_s=max(begin_s, at_s)))
            self._operator = None
        if drives and self._operator is None:
            self._operator = (operator, at_s)
        if mode is Mode.ESTOP:
            self._abort = self._abort or Verdict(Outcome.ABORT, OutcomeSource.SAFETY, "emergency stop")

    def step(self, stamp_ns: int, *, success: bool, done: bool, steady_ns: int) -> None:
        """The robot has taken a step."""
        self._progress_ns = steady_ns
        self.last_stamp_ns = max(self.last_stamp_ns, stamp_ns)
        if done and success and self.task.success.signal == "robot":
            self._robot = self._robot or Verdict(Outcome.SUCCESS, OutcomeSource.ROBOT, "the robot's success signal")
        elif done:
            self._limit = self._limit or self._too_long()

    def _too_long(self) -> Verdict:
        outcome = Outcome.FAILURE if self.task.success.signal == "robot" else Outcome.UNKNOWN
        return Verdict(outcome, OutcomeSource.TIME_LIMIT, f"time limit of {self.task.time_limit_s:g} s")

    def verdict(self, steady_ns: int) -> Verdict | None:
        """How the attempt ended, or None while it runs."""
        if self.stepped and seconds(steady_ns - self._progress_ns) > self.stuck_s:
            self.lost(f"no step for {self.stuck_s:g} s")
        if not self.stepped and seconds(steady_ns - self.begun_steady_ns) > self.task.time_limit_s:
            self._limit = self._limit or self._too_long()
        return self._abort or self._mark or self._robot or self._limit or self._end

    def finish(self, stamp_ns: int) -> float:
        """Close the open intervention span; gives the duration in s."""
        self.last_stamp_ns = max(self.last_stamp_ns, stamp_ns)
        self.mode(Mode.HOLD, "", self.last_stamp_ns)
        return self._at_s(self.last_stamp_ns)
