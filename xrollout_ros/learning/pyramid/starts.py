"""Where episodes start: whether that is familiar, how far from what was demonstrated, and how often it fails there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.learning.pyramid.cases import Case
from xrollout_ros.mining.starts import axes_of_starts, names_of_starts, scale_of

Floats = npt.NDArray[np.float64]
LEAST_ATTEMPTS = 10
"""Fewer tell nothing of difficulty."""
NEAREST = 10
"""Attempts around a start that say how difficult it is."""
PRIOR = 2.0
"""Attempts of the average difficulty that are added to these."""
_USUAL = 0.9
"""Quantile of the distances among demonstrations within which a start counts as demonstrated."""
_MARGIN = 1e-4
"""So far outside of a familiar range is still in it, in its own unit: as the failure rules have it."""


@dataclass(frozen=True)
class Place:
    """What is known of an episode's start."""

    familiar: bool | None = None
    gap: float | None = None
    difficulty: float | None = None
    information: float | None = None
    """Of the whole episode: see ``scores.py``."""
    point: tuple[float, ...] = ()
    """The start, scaled so that starts can be compared; empty: not known."""


def places_of(cases: Sequence[Case], robot: RobotSpec, task: TaskSpec | None) -> dict[str, Place]:
    """Of each case, by episode id.

    Difficulty is the smoothed failure rate of the attempts nearest to a start, the episode's own left out: of the
    newest policy, where that has at least ``LEAST_ATTEMPTS``, else of all policies. Help counts as a failure: the
    policy did not manage by itself.

    Raises:
        SpecError: the TaskSpec describes starts by what the robot does not observe.
    """
    names = names_of_starts(task, robot) if task is not None else ()
    if not names or not cases:
        return {case.id: Place(familiar=_familiar(case, robot, task)) for case in cases}
    slices = robot.state_slices()
    starts = np.array([np.concatenate([case.start[slices[name]] for name in names]) for case in cases])
    finite = np.isfinite(starts).all(axis=1)
    scale = scale_of(starts[finite], axes_of_starts(names, robot))
    points = starts / scale.spans
    shown = np.array([case.demonstrated and case.outcome is Outcome.SUCCESS for case in cases]) & finite
    tried = _attempts(cases) & finite
    failed = np.array([case.outcome is not Outcome.SUCCESS or case.helped for case in cases], dtype=float)
    reach = _reach(points[shown])
    demonstrations, attempts = _Nearest.of(points, shown), _Nearest.of(points, tried)
    average = float(failed[tried].mean()) if tried.sum() >= LEAST_ATTEMPTS else None
    found = {}
    for number, case in enumerate(cases):
        if not finite[number]:
            found[case.id] = Place()
            continue
        gaps, _ = demonstrations.to(number, 1)
        _, around = attempts.to(number, NEAREST)
        found[case.id] = Place(
            familiar=_familiar(case, robot, task),
            gap=float(gaps[0]) / reach if reach is not None and len(gaps) else None,
            difficulty=_smoothed(failed[around], average) if average is not None else None,
            point=tuple(points[number].tolist()),
        )
    return found


def _attempts(cases: Sequence[Case]) -> npt.NDArray[np.bool_]:
    tried = np.array([case.by_policy and case.outcome is not Outcome.UNKNOWN for case in cases], dtype=bool)
    newest: Mapping[str, str] = {
        case.meta.policy_id: case.meta.started_at
        for case in sorted(cases, key=lambda each: each.meta.started_at)
        if case.by_policy
    }
    if newest:
        policy = max(newest, key=lambda name: (newest[name], name))
        own: npt.NDArray[np.bool_] = tried & np.array([case.meta.policy_id == policy for case in cases], dtype=bool)
        if own.sum() >= LEAST_ATTEMPTS:
            return own
    return tried


def _familiar(case: Case, robot: RobotSpec, task: TaskSpec | None) -> bool | None:
    if task is None or not task.tagging.familiar:
        return None
    slices = robot.state_slices()
    for name, ranges in task.tagging.familiar.items():
        for value, (low, high) in zip(case.start[slices[name]], ranges, strict=False):
            if not low - _MARGIN <= value <= high + _MARGIN:
                return False
    return True


def _reach(shown: Floats) -> float | None:
    """How far demonstrated starts usually lie from the next one; None: fewer than two, or all the same."""
    if len(shown) < 2:
        return None
    apart, _ = cKDTree(shown).query(shown, k=2)
    reach = float(np.quantile(apart[:, 1], _USUAL))
    return reach if reach > 0 else None


@dataclass(frozen=True)
class _Nearest:
    """The nearest of some starts to one that may be among them, which is left out."""

    index: npt.NDArray[np.int64]
    """Numbers of the cases that the tree is of."""
    tree: Any
    points: Floats

    @classmethod
    def of(cls, points: Floats, chosen: npt.NDArray[np.bool_]) -> _Nearest:
        index = np.flatnonzero(chosen)
        return cls(index, cKDTree(points[index]) if len(index) else None, points)

    def to(self, own: int, count: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Distances and numbers of up to ``count`` cases, nearest first, of equals the first."""
        if self.tree is None:
            return np.zeros(0), np.zeros(0, dtype=np.int64)
        apart, place = self.tree.query(self.points[own], k=min(count + 1, len(self.index)))
        apart, number = np.atleast_1d(apart), self.index[np.atleast_1d(place)]
        order = np.lexsort((number, apart))
        order = order[number[order] != own][:count]
        return apart[order], number[order]


def _smoothed(failed: Floats, average: float) -> float:
    return float((failed.sum() + PRIOR * average) / (len(failed) + PRIOR))
