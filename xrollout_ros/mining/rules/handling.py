"""Attempts that failed at reaching, grasping, carrying or placing."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import numpy as np
from pydantic import Field

from xrollout_ros.core.document import Positive
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.mining.rules.base import Finding, Rule, Scene, sure
from xrollout_ros.mining.signals import NotApplicableError
from xrollout_ros.mining.taxonomy import FailureMode


class RecoveryFailure(Rule):
    """Something went wrong, was tried again, and the attempt still failed."""

    MODE: ClassVar[FailureMode] = FailureMode.RECOVERY_FAILURE

    def find(self, scene: Scene) -> Finding | None:
        """The object that was lost and taken again, or the recovery policy that drove."""
        if scene.outcome is Outcome.ABORT:
            return None
        again = second_try(scene)
        return None if again is None else Finding(again[0], 0.9, f"{again[1]}; the attempt still failed", "transport")


def second_try(scene: Scene) -> tuple[float, str] | None:
    """When something went wrong and was tried again, and what; None: it never was."""
    try:
        lost = next((take for take in scene.losses if any(later.begin > take.end for later in scene.takes)), None)
    except NotApplicableError:
        lost = None
    if lost is not None:
        again = next(later for later in scene.takes if later.begin > lost.end)
        lost_s, again_s = float(scene.time_s[lost.end]), float(scene.time_s[again.begin])
        tries = len(scene.takes)
        return lost_s, (
            f"{scene.object_name} was lost at {lost_s:.3f} s after {lost.way_m:.3f} m and taken again at "
            f"{again_s:.3f} s ({tries} times in all)"
        )
    if scene.recovering.any():
        row = int(scene.recovering.argmax())
        seconds = float(scene.recovering.mean() * scene.duration_s)
        moment_s = float(scene.time_s[row])
        return moment_s, f"a recovery policy drove from {moment_s:.3f} s, for {seconds:.3f} s in all"
    return None


class Dropped(Rule):
    """The object was moved by the hand and lost on the way."""

    MODE: ClassVar[FailureMode] = FailureMode.DROPPED

    def find(self, scene: Scene) -> Finding | None:
        """Where and when it was lost, and how far hand and object came apart."""
        if not scene.losses:
            return None
        take = scene.losses[-1]
        lost_s = float(scene.time_s[take.end])
        apart_m = float(scene.apart_m[take.end :].max())
        evidence = (
            f"{scene.object_name} was moved {take.way_m:.3f} m and raised {take.raised_m:.3f} m from "
            f"{scene.time_s[take.begin]:.3f} s on, and lost at {lost_s:.3f} s; "
            f"the hand went on to {apart_m:.3f} m from it"
        )
        return Finding(lost_s, sure(apart_m, scene.handling.lost_m), evidence, "transport")


class GeneralizationFailure(Rule):
    """The attempt failed from a start unlike those that are known to work."""

    MODE: ClassVar[FailureMode] = FailureMode.GENERALIZATION_FAILURE
    margin: Positive = Field(default=0.0001, description="how far outside a range a start may be, its own unit")
    told_m: Positive = Field(default=0.05, description="an object that ended so near to the goal is where it was told")

    def find(self, scene: Scene) -> Finding | None:
        """What lay outside which range."""
        if not scene.tagging.familiar:
            raise NotApplicableError("the task says of no start that it is familiar (under `tagging`)")
        if scene.outcome is Outcome.ABORT:
            return None
        outside, farthest = [], 0.0
        for name, ranges in scene.tagging.familiar.items():
            values = scene.observation(name, "familiar start")[0]
            for index, (value, (low, high)) in enumerate(zip(values, ranges, strict=False)):
                beyond = max(low - value, value - high)
                if beyond > self.margin:
                    outside.append(f"{name}[{index}] began at {value:.4f}, familiar is {low:g} to {high:g}")
                    farthest = max(farthest, beyond / max(high - low, 1e-9))
        if not outside or self._as_told(scene):
            return None
        return Finding(0.0, sure(1 + farthest, 1.0), "; ".join(outside), "reach")

    def _as_told(self, scene: Scene) -> bool:
        """The robot did what it was told, so the start was not what it could not cope with."""
        try:
            return bool(scene.to_goal_m[-1] <= self.told_m)
        except NotApplicableError:
            return False


class NeverReached(Rule):
    """The hand never came near the object, so the task never began."""

    MODE: ClassVar[FailureMode] = FailureMode.NEVER_REACHED

    def find(self, scene: Scene) -> Finding | None:
        """The least distance and its moment, where it stayed above what the task asks."""
        if scene.outcome is Outcome.ABORT or scene.tried_m or scene.takes:
            return None
        nearest = int(scene.apart_m.argmin())
        moment_s, apart_m = float(scene.time_s[nearest]), float(scene.apart_m[nearest])
        return Finding(
            moment_s=moment_s,
            confidence=sure(apart_m, scene.near_m),
            evidence=f"{scene.hand_name} came no nearer to {scene.object_name} than {apart_m:.4f} m "
            f"(at {moment_s:.3f} s of {scene.duration_s:.3f} s); reached is {scene.near_m:g} m",
            stage="reach",
        )


class GraspFailure(Rule):
    """The hand was at the object and never got hold of it."""

    MODE: ClassVar[FailureMode] = FailureMode.GRASP_FAILURE

    def find(self, scene: Scene) -> Finding | None:
        """How long it was there, how often the fingers closed, and how far the object moved."""
        if scene.outcome is Outcome.ABORT or not scene.tried_m or scene.takes:
            return None
        near = scene.apart_m <= scene.tried_m
        first = int(near.argmax())
        moved_m = float(np.linalg.norm(scene.object - scene.object[0], axis=1).max())
        evidence = (
            f"{scene.hand_name} was within {scene.tried_m:g} m of {scene.object_name} for "
            f"{near.mean() * scene.duration_s:.3f} s from {scene.time_s[first]:.3f} s on, "
            f"which never moved along with it (moved {moved_m:.3f} m in all)"
        )
        moment_s = float(scene.time_s[first])
        with suppress(NotApplicableError):
            closed = near & scene.closing
            times = int((closed[1:] & ~closed[:-1]).sum() + closed[0])
            evidence += f"; the fingers were told to close on it {times} times"
            if times:
                moment_s = float(scene.time_s[int(closed.argmax())])
        return Finding(moment_s, 0.85, evidence, "grasp")


class PoseError(Rule):
    """The object was moved and came to rest, but not where it was wanted."""

    MODE: ClassVar[FailureMode] = FailureMode.POSE_ERROR
    late_s: Positive = Field(default=0.25, description="the end of the attempt that is looked at, s")
    rest_m: Positive = Field(default=0.005, description="most motion of the object in it, m")

    def find(self, scene: Scene) -> Finding | None:
        """Where the object came to rest, and how far from the goal as it was told."""
        if scene.outcome is Outcome.ABORT or not scene.takes or scene.losses:
            return None
        late = min(scene.rows(self.late_s), len(scene) - 1)
        moved_m = float(np.linalg.norm(scene.object[-1] - scene.object[-1 - late]))
        if moved_m > self.rest_m:
            return None
        final = scene.object[-1]
        off = np.linalg.norm(scene.object - final, axis=1) > self.rest_m
        row = int(np.flatnonzero(off)[-1]) + 1 if off.any() else 0
        moment_s = float(scene.time_s[min(row, len(scene) - 1)])
        evidence = f"{scene.object_name} came to rest at {moment_s:.3f} s and success was never signalled"
        with suppress(NotApplicableError):
            evidence += f"; it was {scene.to_goal_m[-1]:.4f} m from {scene.tagging.goal} as that was told"
        return Finding(moment_s, sure(moved_m, self.rest_m), evidence, "place")


class Timeout(Rule):
    """The time was over, though the task had begun or nobody knows."""

    MODE: ClassVar[FailureMode] = FailureMode.TIMEOUT

    def find(self, scene: Scene) -> Finding | None:
        """The time limit, with the last distance where the task measures one."""
        if scene.episode.meta.outcome_source is not OutcomeSource.TIME_LIMIT:
            return None
        try:
            if not scene.tried_m and not scene.takes:
                return None
            last, stage = (
                f"; {scene.hand_name} was {scene.apart_m[-1]:.4f} m from {scene.object_name} at the end",
                scene.stage_at(len(scene) - 1),
            )
        except NotApplicableError:
            last, stage = "", ""
        task, duration_s = scene.episode.task, scene.duration_s
        limit = f", limit {task.time_limit_s:g} s" if task is not None else ""
        return Finding(duration_s, 0.8, f"no success within {duration_s:.3f} s{limit}{last}", stage)
