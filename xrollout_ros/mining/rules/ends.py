"""Attempts that somebody or something ended, and sensors that nobody should have believed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from xrollout_ros.core.document import Positive
from xrollout_ros.core.episode import Outcome, OutcomeSource, SafetyRecord
from xrollout_ros.core.modes import Severity
from xrollout_ros.mining.rules.base import Finding, Rule, Scene
from xrollout_ros.mining.signals import NotApplicableError
from xrollout_ros.mining.taxonomy import FailureMode

_SHOWN = 5
_SEVERITY = {Severity.STOP: 1.0, Severity.ABORT: 0.8}


def _began(scene: Scene) -> list[SafetyRecord]:
    return [event for event in scene.episode.safety_events if event.began]


def _said(scene: Scene) -> str:
    meta = scene.episode.meta
    return f"said by {meta.outcome_source.value}: {meta.outcome_reason or 'no reason given'}"


def _events(events: list[SafetyRecord]) -> list[str]:
    return [
        f"{event.check} ({event.severity.name.lower()}) at {event.at_s:.3f} s: "
        f"{event.value:.4g}, allowed {event.limit:.4g}"
        for event in events[-_SHOWN:]
    ]


def _stopped_by_hand(scene: Scene) -> bool:
    """An emergency stop that no check asked for."""
    stopped = any(event.severity is Severity.STOP for event in _began(scene))
    return not stopped and "emergency stop" in scene.episode.meta.outcome_reason


class SafetyAbort(Rule):
    """A check of the supervisor ended the attempt."""

    MODE: ClassVar[FailureMode] = FailureMode.SAFETY_ABORT

    def find(self, scene: Scene) -> Finding | None:
        """The reason, with the safety events that led to it."""
        meta, began = scene.episode.meta, _began(scene)
        if meta.outcome is not Outcome.ABORT or meta.outcome_source is not OutcomeSource.SAFETY:
            return None
        if _stopped_by_hand(scene):
            return None
        worst = max(began, key=lambda event: event.severity, default=None)
        return Finding(
            moment_s=worst.at_s if worst is not None else scene.duration_s,
            severity=_SEVERITY.get(worst.severity, 0.5) if worst is not None else None,
            confidence=1.0,
            evidence="; ".join([_said(scene), *_events(began)]),
        )


class OperatorAbort(Rule):
    """A person ended the attempt: by an emergency stop, or without saying how it went."""

    MODE: ClassVar[FailureMode] = FailureMode.OPERATOR_ABORT

    def find(self, scene: Scene) -> Finding | None:
        """Who and why."""
        meta = scene.episode.meta
        by_stop = meta.outcome is Outcome.ABORT and _stopped_by_hand(scene)
        by_hand = meta.outcome is Outcome.ABORT and meta.outcome_source is OutcomeSource.HUMAN
        ended = meta.outcome is Outcome.UNKNOWN and meta.outcome_reason.startswith("ended by ")
        if not (by_stop or by_hand or ended):
            return None
        parts = [_said(scene), *_events(_began(scene))]
        severity = 1.0 if by_stop else 0.2 if ended else None
        return Finding(scene.duration_s, 1.0, "; ".join(parts), severity=severity)


class SystemFault(Rule):
    """A part of the system died, or the robot's sensors repeated themselves while it was told to move."""

    MODE: ClassVar[FailureMode] = FailureMode.SYSTEM_FAULT
    stuck_s: Positive = Field(default=0.25, description="how long the hand may say exactly the same, s")

    def find(self, scene: Scene) -> Finding | None:
        """What died, or which sensor said the same for how long."""
        meta = scene.episode.meta
        if meta.outcome is Outcome.ABORT and meta.outcome_source in (OutcomeSource.SYSTEM, OutcomeSource.NONE):
            return Finding(scene.duration_s, 1.0, "; ".join([_said(scene), *_events(_began(scene))]))
        if meta.outcome is Outcome.ABORT:
            return None
        try:
            stuck = scene.stuck_rows
        except NotApplicableError:
            return None  # a dead part is seen without a hand, and its absence is nothing to tell
        longest = int(stuck.argmax())
        count = int(stuck[longest])
        if count < scene.rows(self.stuck_s):
            return None
        begin_s, end_s = float(scene.time_s[longest - count]), float(scene.time_s[longest])
        return Finding(
            moment_s=begin_s,
            confidence=0.95,
            evidence=f"{scene.hand_name} said exactly the same from {begin_s:.3f} s to {end_s:.3f} s "
            f"({count + 1} readings) though the robot was told to move; what else was sensed is not to be trusted",
            stage=scene.stage_at(longest - count),
        )


class Collision(Rule):
    """The force at the hand was too high."""

    MODE: ClassVar[FailureMode] = FailureMode.COLLISION
    force_n: Positive = Field(default=15.0, description="largest force, N")

    def find(self, scene: Scene) -> Finding | None:
        """What the force check objected to, or else the largest force measured."""
        felt = [event for event in _began(scene) if event.check == "force"]
        if felt:
            worst = max(felt, key=lambda event: event.value)
            evidence = f"force {worst.value:.3g} N at {worst.at_s:.3f} s, allowed {worst.limit:g} N"
            return Finding(worst.at_s, 0.95, evidence)
        row = int(scene.force_n.argmax())
        force_n = float(scene.force_n[row])
        if force_n <= self.force_n:
            return None
        evidence = (
            f"{scene.tagging.force} measured {force_n:.3g} N at {scene.time_s[row]:.3f} s, more than {self.force_n:g} N"
        )
        return Finding(float(scene.time_s[row]), 0.9, evidence)
