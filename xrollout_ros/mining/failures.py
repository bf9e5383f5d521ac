"""Failures by mode, inside a mode by what they are like, ranked by what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.attempts import Row
from xrollout_ros.mining.clusters import MIN_CLUSTER_SIZE, cluster, project
from xrollout_ros.mining.descriptors import resolution_of
from xrollout_ros.mining.looking import Look
from xrollout_ros.mining.signals import Floats
from xrollout_ros.mining.taxonomy import FailureMode

_LEAST_SHARE = 1 / 40
"""Of a mode's failures: a cluster has at least so many, so that thousands do not fall into a hundred parts."""
_COMPARED = 400
"""Among more, the most typical one is looked for in so many."""
BEYOND_DEMONSTRATIONS = frozenset({FailureMode.SYSTEM_FAULT.value, FailureMode.OPERATOR_ABORT.value})
"""Modes that no demonstration mends."""


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one mode that are alike, or those of the mode that are like no others."""

    mode: str
    number: int | None
    """Of the cluster inside its mode, from 1; none: unclustered."""
    whole: bool
    """Whether it is all of the mode: nothing in it was clustered."""
    members: tuple[str, ...]
    """Episode ids, the most typical first."""
    stability: float | None
    """Of the cluster, 0 to 1; none: it is no cluster."""
    severity: float
    """Mean of its members'."""
    attempts: int
    """Among which the members were."""
    low: float
    high: float
    """Wilson interval of how frequent it is among the attempts."""

    @property
    def medoid(self) -> str:
        """The most typical member: the one to look at."""
        return self.members[0]

    @property
    def frequency(self) -> float:
        """Among the attempts."""
        return len(self.members) / self.attempts

    @property
    def score(self) -> float:
        """What it costs at the least: the lower bound of its frequency × its severity."""
        return self.low * self.severity

    @property
    def name(self) -> str:
        """For people."""
        if self.number is not None:
            return f"{self.mode} #{self.number}"
        return self.mode if self.whole else f"{self.mode}, unclustered"


def ranked(
    failures: Sequence[Row], looks: Mapping[str, Look], attempts: int, *, confidence: float = 0.95, seed: int = 0
) -> tuple[FailureGroup, ...]:
    """Every failure in one group; the costliest group first.

    Args:
        failures: those whose bags could be read.
        looks: what these hold.
        attempts: among which they were.
        confidence: of the Wilson intervals.
        seed: of the bootstraps behind the clusters' stability.

    Raises:
        SpecError: scikit-learn is missing.
    """
    groups = []
    for mode, _ in Counter(row.mode for row in failures).most_common():
        groups += _groups_of(mode, [row for row in failures if row.mode == mode], looks, attempts, confidence, seed)
    return tuple(sorted(groups, key=lambda each: (-each.score, -len(each.members), each.name)))


def places(failures: Sequence[Row], looks: Mapping[str, Look]) -> dict[str, tuple[float, float]]:
    """Where each failure lies among all: on the two axes along which their descriptors differ most, standardized.

    Failures that are described by nothing, or by other numbers than most, have no place.
    """
    alike = _alike(failures, looks)
    if not alike:
        return {}
    names = looks[alike[0].episode_id].names
    points = project(np.array([looks[row.episode_id].values for row in alike]), resolution_of(names))
    flat = np.column_stack([points, np.zeros(len(points))])
    return {row.episode_id: (float(x), float(y)) for row, (x, y) in zip(alike, flat[:, :2], strict=True)}


def _alike(rows: Sequence[Row], looks: Mapping[str, Look]) -> list[Row]:
    """Those described by the same numbers as most: bags of another version of a task may be by others."""
    described = [row for row in rows if looks[row.episode_id].names]
    names = Counter(looks[row.episode_id].names for row in described).most_common(1)
    return [row for row in described if looks[row.episode_id].names == names[0][0]]


def _groups_of(
    mode: str, rows: Sequence[Row], looks: Mapping[str, Look], attempts: int, confidence: float, seed: int
) -> list[FailureGroup]:
    """Clusters of one mode, and the rest."""
    alike = _alike(rows, looks)
    values = np.array([looks[row.episode_id].values for row in alike]) if alike else np.zeros((0, 1))
    parts: list[tuple[list[Row], float | None]] = []
    least = max(MIN_CLUSTER_SIZE, round(_LEAST_SHARE * len(alike)))
    resolution = resolution_of(looks[alike[0].episode_id].names) if alike else np.zeros(1)
    points = project(values, resolution) if alike else values
    found = cluster(values, resolution=resolution, seed=seed, min_cluster_size=least).clusters if alike else ()
    for each in found:
        # The medoid stands first.
        order = [each.medoid, *(member for member in each.members if member != each.medoid)]
        parts.append(([alike[member] for member in order], each.stability))
    inside = {row.episode_id for members, _ in parts for row in members}
    rest = [row for row in rows if row.episode_id not in inside]
    whole = not parts
    if rest:
        parts.append((_typical_first(rest, alike, points), None))
    made, number = [], 0
    for members, stability in parts:
        number += stability is not None
        low, high = wilson(len(members), attempts, confidence)
        made.append(
            FailureGroup(
                mode=mode,
                number=number if stability is not None else None,
                whole=whole,
                members=tuple(row.episode_id for row in members),
                stability=stability,
                severity=float(np.mean([row.severity for row in members])),
                attempts=attempts,
                low=low,
                high=high,
            )
        )
    return made


def _typical_first(rows: Sequence[Row], described: Sequence[Row], points: Floats) -> list[Row]:
    """The one to which the others are nearest, then the others in order of time."""
    wanted = {row.episode_id for row in rows}
    index = [number for number, row in enumerate(described) if row.episode_id in wanted][:_COMPARED]
    if len(index) < 3:
        return list(rows)
    points = points[index]
    distances = np.linalg.norm(points[:, None] - points[None], axis=2).sum(axis=1)
    typical = described[index[int(distances.argmin())]]
    return [typical, *(row for row in rows if row.episode_id != typical.episode_id)]
