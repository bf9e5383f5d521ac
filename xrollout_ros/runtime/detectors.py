"""Detectors of failure while it happens, behind one interface, and the bank that makes alarms of what they say.

What is calibrated (``runtime.alarm``) comes as a score with the chunks; nothing of it is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from xrollout_ros.core.calibration import OVERTIME
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.safety import DetectorSpec, MomentSpec, NearFailureSpec, NoProgressSpec, ScoreSpec, TimeSpec
from xrollout_ros.runtime import plugins
from xrollout_ros.runtime.checks import Finding

FALLS_AT = 0.8
"""Share of the threshold below which an alarm that was raised falls: a value that trembles there raises one alarm."""


@dataclass(frozen=True)
class AttemptFacts:
    """What is known when an attempt begins."""

    has_policy: bool = True
    operator: str = ""
    """Who is on call, or drives where no policy does."""
    time_limit_s: float = float("inf")
    usual_s: float | None = None
    """Median duration of the task's successful attempts; None: too few are known."""
    episode_id: str = ""


@dataclass(frozen=True)
class Moment:
    """What a detector sees in one tick in which the policy drives."""

    t_s: float
    """Since the attempt began."""
    values: Mapping[str, Array]
    """Measured observations by name; those that ``safety`` names."""
    sent: Array | None
    """(A,) what was sent last; None: nothing yet."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """What came with the newest chunk."""


@dataclass(frozen=True)
class Reading:
    """What a detector says: an alarm where ``value`` is above ``threshold``."""

    value: float
    threshold: float


class Detector(Protocol):
    """Watches an attempt. Called from the supervisor's thread in every tick: it must take microseconds."""

    @property
    def name(self) -> str:
        """Name of its alarm; a check's name in ``SafetyEvent``."""
        ...

    def reset(self, facts: AttemptFacts) -> None:
        """An attempt begins."""
        ...

    def update(self, moment: Moment) -> Reading | None:
        """What it says now; None: it cannot tell."""
        ...


class TimeDetector:
    """The attempt lasts much longer than a successful one does; until enough succeeded, than its time limit.

    A calibrated policy says itself, as a share of its own limit, with each chunk.
    """

    name = "attempt_time"

    def __init__(self, spec: TimeSpec) -> None:
        self._factor = spec.factor
        self._limit_s = float("inf")

    def reset(self, facts: AttemptFacts) -> None:
        self._limit_s = facts.time_limit_s if facts.usual_s is None else self._factor * facts.usual_s

    def update(self, moment: Moment) -> Reading | None:
        calibrated = moment.scores.get(OVERTIME)
        if calibrated is not None:
            return Reading(calibrated, 1.0)
        return Reading(moment.t_s, self._limit_s) if np.isfinite(self._limit_s) else None


class NoProgressDetector:
    """An observation stays where it is although the robot is commanded to move.

    Commanded means: a velocity, delta or effort above a hundredth of its largest, or a position or gripper that moved
    by more than a hundredth of its range since the observation last changed.
    """

    name = "no_progress"

    def __init__(self, spec: NoProgressSpec, robot: RobotSpec) -> None:
        self._spec = spec
        self._acts = np.array([not dim.kind.places for dim in robot.actions])
        self._small = 0.01 * np.where(
            self._acts, np.maximum(np.abs(robot.lower), np.abs(robot.upper)), robot.upper - robot.lower
        )
        self.reset(AttemptFacts())

    def reset(self, facts: AttemptFacts) -> None:
        self._seen: Array | None = None
        self._sent: Array | None = None
        self._still_s = 0.0
        self._last_s: float | None = None

    def update(self, moment: Moment) -> Reading | None:
        value = moment.values.get(self._spec.observation)
        if value is None or moment.sent is None or not np.isfinite(value).all():
            return None
        passed_s = 0.0 if self._last_s is None else max(0.0, moment.t_s - self._last_s)
        self._last_s = moment.t_s
        if self._seen is None or self._sent is None or np.abs(value - self._seen).max() > self._spec.distance:
            self._seen, self._sent, self._still_s = value, moment.sent, 0.0
        elif (np.abs(np.where(self._acts, moment.sent, moment.sent - self._sent)) > self._small).any():
            self._still_s += passed_s
        return Reading(self._still_s, self._spec.window_s)


class ScoreDetector:
    """A score that the policy's node computed with the chunk, e.g. how much overlapping chunks disagree."""

    def __init__(self, spec: ScoreSpec) -> None:
        self._spec = spec

    @property
    def name(self) -> str:
        return self._spec.score

    def reset(self, facts: AttemptFacts) -> None:
        """It remembers nothing."""

    def update(self, moment: Moment) -> Reading | None:
        value = moment.scores.get(self._spec.score)
        return None if value is None or np.isnan(value) else Reading(value, self._spec.threshold)


class NearFailureDetector:
    """Hand and object tell that the attempt is about to fail; the value is the worst of three, each 1 at its limit.

    The hand was at the object and is far from it again (missed, dropped, lost); the object moved before the hand came
    to it (bumped); the hand has not come to it in the time in which a successful attempt is over.
    """

    name = "near_failure"

    def __init__(self, spec: NearFailureSpec) -> None:
        self._spec = spec
        self.reset(AttemptFacts())

    def reset(self, facts: AttemptFacts) -> None:
        self._first: Array | None = None
        self._reached = False
        self._usual_s = float("inf") if facts.usual_s is None else facts.usual_s

    def update(self, moment: Moment) -> Reading | None:
        hand, thing = moment.values.get(self._spec.hand), moment.values.get(self._spec.object)
        if hand is None or thing is None or not (np.isfinite(hand).all() and np.isfinite(thing).all()):
            return None
        if self._first is None:
            self._first = thing
        apart = float(np.linalg.norm(hand - thing))
        self._reached = self._reached or apart <= self._spec.near
        if self._reached:
            return Reading(apart / self._spec.lost, 1.0)
        moved = float(np.linalg.norm(thing - self._first))
        return Reading(max(moved / self._spec.moved, moment.t_s / self._usual_s), 1.0)


class MomentDetector:
    """The moment has come that somebody named beforehand."""

    name = "moment"

    def __init__(self, spec: MomentSpec) -> None:
        self._at_s = spec.at_s

    def reset(self, facts: AttemptFacts) -> None:
        """It remembers nothing."""

    def update(self, moment: Moment) -> Reading | None:
        # An alarm is above its threshold; at the moment itself it is to be one already.
        return Reading(1.0 if moment.t_s >= self._at_s - 1e-9 else 0.0, 0.5)


def make_detector(spec: DetectorSpec, robot: RobotSpec) -> Detector:
    """The detector that a RobotSpec asks for.

    Raises:
        SpecError: a plug-in is not installed.
    """
    if isinstance(spec, TimeSpec):
        return TimeDetector(spec)
    if isinstance(spec, NoProgressSpec):
        return NoProgressDetector(spec, robot)
    if isinstance(spec, ScoreSpec):
        return ScoreDetector(spec)
    if isinstance(spec, NearFailureSpec):
        return NearFailureDetector(spec)
    if isinstance(spec, MomentSpec):
        return MomentDetector(spec)
    detector: Detector = plugins.make("xrollout.detectors", spec.name, spec.options)
    return detector


class DetectorBank:
    """All detectors of a robot, each with the severity of its alarm, with hysteresis.

    Args:
        detectors: each with its severity.
        audits: say of which of them the alarms are only told in some attempts, whatever their severity.
    """

    def __init__(self, detectors: Sequence[tuple[Detector, Severity]], audits: Sequence[ScoreSpec] = ()) -> None:
        self._detectors = detectors
        self._audits = audits
        self._only_told: set[str] = set()
        self._raised: dict[str, Finding] = {}
        self._answered: set[str] = set()
        self._broken: set[str] = set()

    @classmethod
    def of(cls, robot: RobotSpec) -> DetectorBank:
        """The robot's own."""
        specs = robot.safety.detectors
        audits = [spec for spec in specs if isinstance(spec, ScoreSpec)]
        return cls([(make_detector(spec, robot), spec.severity) for spec in specs], audits)

    @property
    def raised(self) -> list[Finding]:
        """Alarms in force."""
        return list(self._raised.values())

    @property
    def names(self) -> list[str]:
        """Names of all alarms."""
        return [detector.name for detector, _ in self._detectors]

    @property
    def calling(self) -> Finding | None:
        """An alarm that calls for a recovery and that nobody has answered yet."""
        open_ones = (
            finding
            for name, finding in self._raised.items()
            if name not in self._answered and finding.severity is Severity.RECOVER
        )
        return next(open_ones, None)

    def answered(self, name: str) -> bool:
        """Whether somebody has seen to this alarm since it was raised."""
        return name in self._answered

    def reset(self, facts: AttemptFacts) -> None:
        """An attempt begins."""
        self._raised.clear()
        self._answered.clear()
        self._broken.clear()
        self._only_told = {spec.score for spec in self._audits if spec.only_told(facts.episode_id)}
        for detector, _ in self._detectors:
            detector.reset(facts)

    def answer(self) -> None:
        """Somebody has seen to the alarms in force: they call again only after they have fallen."""
        self._answered |= set(self._raised)

    def update(self, moment: Moment) -> None:
        """Ask all detectors."""
        for detector, severity in self._detectors:
            try:
                reading = detector.update(moment)
            except Exception as error:
                # A plug-in's fault must not take the supervisor with it.
                self._failed(detector.name, error)
                continue
            if reading is None or detector.name in self._broken:
                continue
            name, raised = detector.name, detector.name in self._raised
            if raised and reading.value < FALLS_AT * reading.threshold:
                del self._raised[name]
                self._answered.discard(name)
            elif not raised and reading.value > reading.threshold:
                self._raised[name] = self._finding(name, severity, reading)

    def _failed(self, name: str, error: Exception) -> None:
        self._broken.add(name)
        taken = f"the detector failed: {error!r}; logged only"
        self._raised.setdefault(name, Finding(name, Severity.CLIP, 1, 0, taken))

    def _finding(self, name: str, severity: Severity, reading: Reading) -> Finding:
        taken = "logged only" if severity is Severity.CLIP else f"asks to {severity.name.lower()}"
        if severity is not Severity.CLIP and name in self._only_told:
            severity, taken = Severity.CLIP, f"would ask to {severity.name.lower()}; audit: logged only"
        return Finding(name, severity, reading.value, reading.threshold, f"alarm; {taken}")
