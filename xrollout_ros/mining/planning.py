"""Chooses what to collect next: a target among the ranked failures, and starts from which it failed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import xrollout_ros
from xrollout_ros.core.clock import Clock, utc_now
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.attempts import UNTAGGED, Population, Row
from xrollout_ros.mining.clusters import project
from xrollout_ros.mining.coverage import Coverage, Near
from xrollout_ros.mining.descriptors import resolution_of
from xrollout_ros.mining.failures import BEYOND_DEMONSTRATIONS, FailureGroup
from xrollout_ros.mining.looking import Look
from xrollout_ros.mining.novel import Novel
from xrollout_ros.mining.plan import (
    CollectionPlan,
    Evidence,
    Interval,
    PlannedStart,
    PlanWarning,
    StartValue,
    Target,
)
from xrollout_ros.mining.starts import NOT_NAMED, farthest_points
from xrollout_ros.mining.taxonomy import MODES, FailureMode
from xrollout_ros.mining.trend import Course, Trend

DEMONSTRATIONS = 10
"""Not more than so many, unless more are asked for."""
RULE = "one for each chosen start; as many starts as demonstrations are wanted, far apart, the most typical first"
SUCCEEDS = 0.8
"""A lower bound of success above this: there is little left to collect for."""
AROUND = 10
"""Attempts nearest to a start that say how it goes there."""
_FEW = 3


@dataclass(frozen=True)
class Ground:
    """What a plan is made of."""

    data: str
    population: Population
    robot: RobotSpec
    scene: str
    attempts: int
    """That could be read."""
    successes: int
    looks: Mapping[str, Look]
    coverage: Coverage | None
    evidence: Mapping[str, str]
    """What was said of failures, by episode id."""
    novelty: Mapping[str, Novel]
    """Of the chosen failures, by episode id."""
    unreadable: int
    confidence: float


def choose(groups: Sequence[FailureGroup], mode: str | None, passed_over: Collection[str] = ()) -> FailureGroup | None:
    """The first in the ranking that demonstrations may mend, of this mode where one is given.

    Args:
        groups: the costliest first.
        mode: the one that is asked for.
        passed_over: modes that are not chosen, unless one of them is asked for.
    """
    if mode is not None:
        return next((group for group in groups if group.mode == mode), None)
    out = BEYOND_DEMONSTRATIONS | {UNTAGGED, *passed_over}
    return next((each for each in groups if each.mode not in out), None)


def other_members(
    groups: Sequence[FailureGroup], target: FailureGroup, passed_over: Collection[str]
) -> tuple[str, ...]:
    """Failures of other groups that demonstrations may mend, the costliest group's first."""
    out = BEYOND_DEMONSTRATIONS | {*passed_over}
    return tuple(member for each in groups if each is not target and each.mode not in out for member in each.members)


def make_plan(
    group: FailureGroup, chosen: Sequence[str], ground: Ground, trend: Trend, wanted: int | None, clock: Clock
) -> CollectionPlan:
    """A plan for one group of failures.

    Args:
        group: the target.
        chosen: those of its members whose starts are to be demonstrated from.
        ground: what it is made of.
        trend: the course of its mode.
        wanted: demonstrations that were asked for, if any.
        clock: stamps it.
    """
    rows = {row.episode_id: row for row in ground.population.failures}
    starts = tuple(_planned(number, rows[each], ground) for number, each in enumerate(chosen, 1))
    success = _interval(ground.successes, ground.attempts, ground.confidence)
    around = _around(chosen, ground)
    evidence = Evidence(
        success=success,
        frequency=_interval(len(group.members), group.attempts, ground.confidence),
        severity=group.severity,
        score=group.score,
        around=around,
        near_demonstrations=_near(ground.coverage.near) if ground.coverage else None,
        far_from_demonstrations=_near(ground.coverage.far) if ground.coverage else None,
        course=trend.words,
        confidence=ground.confidence,
    )
    known = group.mode in {mode.value for mode in FailureMode}
    return CollectionPlan(
        plan_id=new_id(),
        created_at=utc_now(clock),
        software_version=xrollout_ros.__version__,
        data=ground.data,
        task=ground.population.task,
        robot=ground.population.robot,
        scene=ground.scene,
        simulated=ground.robot.sim is not None,
        policies=ground.population.policies,
        target=Target(
            mode=group.mode,
            meaning=MODES[FailureMode(group.mode)].meaning if known else "",
            cluster=group.number,
            stability=group.stability,
            medoid=group.medoid,
            members=group.members,
        ),
        evidence=evidence,
        starts=starts,
        demonstrations=sum(each.demonstrations for each in starts),
        rule=RULE,
        warnings=tuple(_warnings(group, starts, evidence, trend, ground, wanted)),
    )


def chosen_starts(
    members: Sequence[str], looks: Mapping[str, Look], coverage: Coverage | None, count: int
) -> tuple[str, ...]:
    """Episodes whose starts are far from one another, the first member first; no start twice.

    Far is meant in what the robot observed first; where the TaskSpec does not name it, in what the failures were like.
    """
    if coverage is not None:
        known = [each for each in members if looks[each].start is not None]
        points = np.array([looks[each].start for each in known]) / coverage.scale.spans if known else np.zeros((0, 1))
    else:
        names = looks[members[0]].names
        known = [each for each in members if names and looks[each].names == names]
        values = np.array([looks[each].values for each in known])
        points = project(values, resolution_of(names)) if known else np.zeros((0, 1))
    chosen = [known[index] for index in farthest_points(points, count)]
    return tuple(chosen or members[:1])


def _planned(number: int, row: Row, ground: Ground) -> PlannedStart:
    coverage, start = ground.coverage, ground.looks[row.episode_id].start
    novel = ground.novelty.get(row.episode_id)
    values: tuple[StartValue, ...] = ()
    gap = None
    if coverage is not None and start is not None:
        values = tuple(
            StartValue(observation=axis.observation, label=axis.label, value=value, unit=axis.unit)
            for axis, value in zip(coverage.axes, start, strict=True)
        )
        distance = float(coverage.gaps[coverage.ids.index(row.episode_id)])
        gap = distance if math.isfinite(distance) else None
    return PlannedStart(
        number=number,
        episode_id=row.episode_id,
        start=row.start,
        seed=row.seed,
        values=values,
        failed_at_s=row.failure_moment_s,
        evidence=ground.evidence.get(row.episode_id, ""),
        from_demonstrations=gap,
        novelty=novel.most if novel is not None else None,
        novel_since_s=novel.since_s if novel is not None else None,
    )


def _interval(count: int, attempts: int, confidence: float) -> Interval:
    low, high = wilson(count, attempts, confidence)
    return Interval(count=count, attempts=attempts, low=low, high=high)


def _near(near: Near) -> Interval:
    low, high = near.interval
    return Interval(count=near.successes, attempts=near.attempts, low=low, high=high)


def _around(chosen: Sequence[str], ground: Ground) -> Interval | None:
    if ground.coverage is None:
        return None
    starts = [start for each in chosen if (start := ground.coverage.start_of(each)) is not None]
    if not starts:
        return None
    successes, attempts = ground.coverage.around(np.array(starts), AROUND)
    return _interval(successes, attempts, ground.confidence)


def _warnings(
    group: FailureGroup,
    starts: Sequence[PlannedStart],
    evidence: Evidence,
    trend: Trend,
    ground: Ground,
    wanted: int | None,
) -> list[PlanWarning]:
    said: list[PlanWarning] = []

    def warn(kind: str, text: str) -> None:
        said.append(PlanWarning.model_validate({"kind": kind, "text": text}))

    for what, rate, then in (
        ("attempts", evidence.success, "there is little left to collect for"),
        ("attempts from around these starts", evidence.around, "demonstrations elsewhere are worth more"),
    ):
        if rate is not None and rate.low > SUCCEEDS:
            seen = f"{rate.count}/{rate.attempts}, at least {rate.low:.0%}"
            warn("already_succeeds", f"{what} succeed already: {seen}; {then}")
    if trend.course is Course.PLATEAUED:
        warn(
            "plateaued",
            f"{group.mode} has plateaued ({trend.words}); more of the same will hardly help: look at "
            f"{group.medoid} for what the demonstrations do not show",
        )
    reach = ground.coverage.reach if ground.coverage is not None else None
    near = [each for each in starts if each.from_demonstrations is not None and reach is not None]
    near = [each for each in near if (each.from_demonstrations or 0.0) <= (reach or 0.0)]
    if len(near) > len(starts) / 2:
        warn(
            "demonstrated_already",
            f"starts that lie among demonstrated ones: {len(near)} of {len(starts)}; data are dense there and it fails "
            "all the same, so a longer training or another input may be what is missing",
        )
    if group.mode in BEYOND_DEMONSTRATIONS:
        warn("no_demonstration_helps", f"{group.mode} is none of the policy's making: no demonstration mends it")
    if group.mode == UNTAGGED:
        warn("not_judged", "nobody said why these attempts failed; let the rules look at them first")
    if len(group.members) < _FEW:
        warn("few_failures", f"it failed like this {len(group.members)} of {group.attempts} times: it may be chance")
    if wanted is not None and len(starts) < wanted:
        warn(
            "few_starts",
            f"starts that it failed from like this: {len(starts)}, so as many demonstrations, not {wanted}",
        )
    if ground.coverage is None:
        warn("starts_not_known", NOT_NAMED)
    if ground.robot.sim is not None and any(each.seed is None for each in starts):
        warn("no_seed", "some starts have no seed: they cannot be made again in simulation")
    if ground.population.unknown:
        warn("unknown_outcomes", f"attempts with an unknown outcome that were left out: {ground.population.unknown}")
    if ground.unreadable:
        warn("unreadable_bags", f"bags that could not be read and were left out: {ground.unreadable}")
    return said
