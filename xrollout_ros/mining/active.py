"""Active selection: where to demonstrate next by how unsure the policy is at a start, before it has failed there.

Candidates are ranked by each detector's score at the start, a candidate's figure is the mean of its ranks, and of the
third that the policy is least sure of those are chosen that lie far apart (Gonzalez 1985; after Sener and Savarese
2018, arXiv:1708.00489, who ask for diversity beside uncertainty).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import xrollout_ros
from xrollout_ros.core.clock import Clock, utc_now
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.plan import (
    UNSURE,
    CollectionPlan,
    Evidence,
    Interval,
    PlannedStart,
    PlanWarning,
    StartValue,
    Target,
)
from xrollout_ros.mining.signals import Floats
from xrollout_ros.mining.starts import NOT_NAMED, axes_of_starts, farthest_points, names_of_starts, scale_of

POOL = 3
"""Starts are chosen from the third that it is least sure of, or from three times as many as are wanted, if these are
fewer."""
CONFIDENCE = 0.95
RULE = (
    "one for each chosen start; of the {pool} candidates in {candidates} that the policy is least sure of those that "
    "lie far apart, the one that it is least sure of first"
)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A start that might be demonstrated from."""

    start: str
    """Named start distribution."""
    seed: int | None
    state: Floats
    """(D,) the first observation, ordered by the RobotSpec."""
    scores: Mapping[str, float]
    """The detectors' there."""
    episode_id: str = ""
    """Of the attempt that began from it; empty: none has."""
    succeeded: bool | None = None
    """How that attempt ended; None: there is none, or nobody knows."""


def unsure(candidates: Sequence[Candidate]) -> Floats:
    """(N,) of each candidate the mean, over the detectors, of the share of the candidates that score lower.

    A detector whose score is not a number at some of them has no say.

    Raises:
        DataError: no detector has scored all of them.
    """
    names = sorted(set[str]().union(*(each.scores for each in candidates)))
    scored = {name: np.array([each.scores.get(name, np.nan) for each in candidates]) for name in names}
    usable = [values for values in scored.values() if np.isfinite(values).all()]
    if not usable:
        raise DataError(
            "no_detectors: the policy gives no score at these starts", "Train it with this version, which fits novelty."
        )
    ranks = [_ranks(values) for values in usable]
    return np.asarray(np.mean(ranks, axis=0))


def _ranks(values: Floats) -> Floats:
    """(N,) share of the others that are lower; half of those that are equal."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    equal = np.searchsorted(ordered, values, side="right") - below - 1
    return np.asarray((below + 0.5 * equal) / max(1, len(values) - 1))


def chosen(candidates: Sequence[Candidate], robot: RobotSpec, task: TaskSpec, count: int) -> list[int]:
    """Places of the candidates to demonstrate from, at most ``count``, the one that it is least sure of first.

    Where the TaskSpec names nothing that describes a start, no distance is known, and these are simply the first.
    """
    figures = unsure(candidates)
    pool = np.argsort(-figures, kind="stable")[: _pool(len(candidates), count)]
    names = names_of_starts(task, robot)
    if not names:
        return [int(place) for place in pool[:count]]
    points = starts_of(candidates, robot, names)
    scale = scale_of(points, axes_of_starts(names, robot))
    return [int(pool[place]) for place in farthest_points(points[pool] / scale.spans, count)]


def starts_of(candidates: Sequence[Candidate], robot: RobotSpec, names: Sequence[str]) -> Floats:
    """(N, K) what describes each start."""
    slices = robot.state_slices()
    return np.array([np.concatenate([each.state[slices[name]] for name in names]) for each in candidates])


def plan_of(
    candidates: Sequence[Candidate],
    robot: RobotSpec,
    task: TaskSpec,
    policy_id: str,
    *,
    demonstrations: int,
    data: str,
    clock: Clock,
) -> CollectionPlan:
    """A collection plan for the starts that the policy is least sure of.

    Args:
        candidates: of one robot and task, two or more.
        robot: its spec.
        task: its spec.
        policy_id: whose scores they are.
        demonstrations: at most so many.
        data: where they are to be collected to.
        clock: stamps it.

    Raises:
        DataError: there are too few candidates, or none has a score.
        SpecError: the task describes a start by what the robot does not observe.
    """
    if len(candidates) < 2:
        raise DataError(
            f"too_few_candidates: {len(candidates)} starts to choose from", "Give more candidates, or record attempts."
        )
    figures, places = unsure(candidates), chosen(candidates, robot, task, demonstrations)
    names = names_of_starts(task, robot)
    axes = axes_of_starts(names, robot)
    points = starts_of(candidates, robot, names) if names else np.empty((len(candidates), 0))
    starts = []
    for number, place in enumerate(places, 1):
        each = candidates[place]
        values = tuple(
            StartValue(observation=axis.observation, label=axis.label, value=float(value), unit=axis.unit)
            for axis, value in zip(axes, points[place], strict=True)
        )
        told = ", ".join(f"{name} {value:.3g}" for name, value in sorted(each.scores.items()))
        starts.append(
            PlannedStart(
                number=number, episode_id=each.episode_id, start=each.start, seed=each.seed, values=values,
                failed_at_s=None, evidence=told, from_demonstrations=None, unsure=float(figures[place]),
            )
        )  # fmt: skip
    tried = [each for each in candidates if each.succeeded is not None]
    nothing = _interval(0, len(tried))
    evidence = Evidence(
        success=_interval(sum(bool(each.succeeded) for each in tried), len(tried)), frequency=nothing, severity=0.0,
        score=0.0, around=None, near_demonstrations=None, far_from_demonstrations=None,
        course="chosen by how unsure the policy is at the start, not by failures", confidence=CONFIDENCE,
    )  # fmt: skip
    return CollectionPlan(
        plan_id=new_id(),
        created_at=utc_now(clock),
        software_version=xrollout_ros.__version__,
        data=data,
        task=task.id,
        robot=robot.id,
        scene=task.scene,
        simulated=robot.sim is not None,
        policies=(policy_id,),
        target=Target(
            mode=UNSURE, meaning="starts at which the policy's detectors score highest", cluster=None, stability=None,
            medoid="", members=(),
        ),
        evidence=evidence,
        starts=tuple(starts),
        demonstrations=len(starts),
        rule=RULE.format(pool=_pool(len(candidates), demonstrations), candidates=len(candidates)),
        warnings=tuple(_warnings(candidates, starts, robot, names, demonstrations)),
    )  # fmt: skip


def _pool(candidates: int, count: int) -> int:
    return min(candidates, max(count, min(POOL * count, -(-candidates // POOL))))


def _interval(count: int, attempts: int) -> Interval:
    low, high = wilson(count, attempts, CONFIDENCE)
    return Interval(count=count, attempts=attempts, low=low, high=high)


def _warnings(
    candidates: Sequence[Candidate],
    starts: Sequence[PlannedStart],
    robot: RobotSpec,
    names: Sequence[str],
    wanted: int,
) -> list[PlanWarning]:
    said = []
    if all(each.succeeded is None for each in candidates):
        said.append(
            PlanWarning(kind="not_attempted", text="the policy has tried none of these starts: it may succeed there")
        )
    if len(starts) < wanted:
        said.append(PlanWarning(kind="few_starts", text=f"different starts: {len(starts)}, not {wanted}"))
    if not names:
        said.append(PlanWarning(kind="starts_not_known", text=NOT_NAMED))
    if robot.sim is not None and any(each.seed is None for each in starts):
        said.append(
            PlanWarning(kind="no_seed", text="some starts have no seed: they cannot be made again in simulation")
        )
    return said
