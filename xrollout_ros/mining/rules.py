"""Why an attempt failed, by rules over what was recorded of its topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.episode import FailureJudgement, Outcome, OutcomeSource
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Severity
from xrollout_ros.episodes.reader import EpisodeData


@dataclass(frozen=True)
class Finding:
    """What a rule found; the rest of a judgement follows from the rule."""

    moment_s: float
    severity: float
    confidence: float
    evidence: str
    stage: str = ""


class Rule(Protocol):
    """One reason why attempts fail. It reads the state vector, the commands and the safety events, nothing else."""

    @property
    def mode(self) -> str:
        """Name of the failure mode."""
        ...

    def find(self, episode: EpisodeData) -> Finding | None:
        """What speaks for this mode in an attempt that was not a success; None: nothing."""
        ...


@dataclass(frozen=True)
class Reach:
    """How near the hand came to the object."""

    distance_m: npt.NDArray[np.float64]
    """(T,)"""
    wanted_m: float
    hand: str
    object: str

    @property
    def reached(self) -> bool:
        """Whether it came near enough at any time."""
        return bool(self.distance_m.min() <= self.wanted_m)


def reach_of(episode: EpisodeData) -> Reach | None:
    """Distance between the two observations that the task names; None where it names none or nothing was recorded.

    Raises:
        SpecError: the task names observations that the robot has not, or of different sizes.
    """
    reach = episode.task.reach if episode.task is not None else None
    if reach is None or len(episode) == 0:
        return None
    slices = episode.robot.state_slices()
    for name in (reach.hand, reach.object):
        if name not in slices:
            raise SpecError(
                f"the task {episode.meta.task!r} measures its reach by {name!r}, which its robot does not observe",
                f"Name one of {', '.join(slices)} under `reach` in the TaskSpec.",
            )
    hand, target = episode.state[:, slices[reach.hand]], episode.state[:, slices[reach.object]]
    if hand.shape != target.shape:
        raise SpecError(
            f"the task {episode.meta.task!r} measures its reach between {hand.shape[1]} and {target.shape[1]} values",
            "Name two positions of the same size under `reach` in the TaskSpec.",
        )
    return Reach(np.linalg.norm(hand - target, axis=1), reach.distance_m, reach.hand, reach.object)


def _duration_s(episode: EpisodeData) -> float:
    return float(episode.stamp_s[-1]) if len(episode) else episode.meta.duration_s


class Aborted:
    """The supervisor or the system ended the attempt."""

    mode = "aborted"
    # A stop is for what is dangerous; an abort without a safety event came from a part that died.
    _SEVERITY = {Severity.STOP: 1.0, Severity.ABORT: 0.8}

    def find(self, episode: EpisodeData) -> Finding | None:
        """An abort, with the safety events that led to it."""
        if episode.meta.outcome is not Outcome.ABORT:
            return None
        began = [event for event in episode.safety_events if event.began]
        worst = max(began, key=lambda event: event.severity, default=None)
        parts = [f"said by {episode.meta.outcome_source.value}: {episode.meta.outcome_reason or 'no reason given'}"]
        parts += [
            f"{event.check} ({event.severity.name.lower()}) at {event.at_s:.3f} s: "
            f"{event.value:.4g}, allowed {event.limit:.4g}"
            for event in began[-5:]
        ]
        return Finding(
            moment_s=worst.at_s if worst is not None else _duration_s(episode),
            severity=self._SEVERITY.get(worst.severity, 0.5) if worst is not None else 0.5,
            confidence=1.0,
            evidence="; ".join(parts),
        )


class NeverReached:
    """The hand never came near the object, so the task never began."""

    mode = "never_reached"

    def find(self, episode: EpisodeData) -> Finding | None:
        """The least distance and its moment, where it stayed above what the task asks."""
        reach = reach_of(episode)
        if episode.meta.outcome is Outcome.ABORT or reach is None or reach.reached:
            return None
        nearest = int(reach.distance_m.argmin())
        moment_s = float(episode.stamp_s[nearest])
        return Finding(
            moment_s=moment_s,
            severity=0.3,
            confidence=0.9,
            evidence=f"{reach.hand} came no nearer to {reach.object} than {reach.distance_m[nearest]:.4f} m "
            f"(at {moment_s:.3f} s of {_duration_s(episode):.3f} s); reached is {reach.wanted_m:g} m",
            stage="reach",
        )


class Timeout:
    """The time was over, though the task had begun or nobody knows."""

    mode = "timeout"

    def find(self, episode: EpisodeData) -> Finding | None:
        """The time limit, with the last distance where the task measures one."""
        reach = reach_of(episode)
        if episode.meta.outcome_source is not OutcomeSource.TIME_LIMIT or (reach is not None and not reach.reached):
            return None
        duration_s = _duration_s(episode)
        limit = f", limit {episode.task.time_limit_s:g} s" if episode.task is not None else ""
        last = (
            "" if reach is None else f"; {reach.hand} was {reach.distance_m[-1]:.4f} m from {reach.object} at the end"
        )
        return Finding(
            moment_s=duration_s,
            severity=0.3,
            confidence=0.8,
            evidence=f"no success within {duration_s:.3f} s{limit}{last}",
        )


RULES: tuple[Rule, ...] = (Aborted(), NeverReached(), Timeout())
"""By precedence: the first finding is the mode that counts."""


def judge(episode: EpisodeData, rules: tuple[Rule, ...] = RULES) -> list[FailureJudgement]:
    """Why the attempt failed, by precedence; empty for a success and where no rule finds anything.

    Raises:
        SpecError: the TaskSpec of the episode does not fit its robot.
    """
    if episode.meta.outcome is Outcome.SUCCESS:
        return []
    judgements = []
    for rule in rules:
        finding = rule.find(episode)
        if finding is not None:
            judgements.append(
                FailureJudgement(
                    episode_id=episode.meta.episode_id,
                    mode=rule.mode,
                    stage=finding.stage,
                    moment_s=finding.moment_s,
                    severity=finding.severity,
                    confidence=finding.confidence,
                    evidence=finding.evidence,
                    author=f"rule:{rule.mode}",
                )
            )
    return judgements
