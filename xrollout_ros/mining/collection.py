"""What a collection plan asks for as a list of starts, and which of its demonstrations are there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xrollout_ros.core.episode import FAILED_ATTEMPT, EpisodeKind, EpisodeMeta, Outcome
from xrollout_ros.core.errors import BagError, DataError, SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.mining.plan import UNSURE, CollectionPlan, PlannedStart
from xrollout_ros.runtime.start_list import LIST, NUMBER, ListedStart, Scalar, StartList

PLAN, MODE, START, FAILED = "plan_id", "plan_mode", "plan_start", FAILED_ATTEMPT
"""Where an episode's parameters say which plan it was collected for, which failure that is about, which of the plan's
starts it began from, and which attempt had failed from there."""
_DEPTH = 2
"""Of bags in a data folder: ``<day>/<bag>``."""
TARGETED = "targeted"
"""Tag of what began at a start that was chosen: because attempts had failed there, or the policy was unsure."""


@dataclass(frozen=True)
class Wanted:
    """One demonstration that a plan asks for."""

    number: int
    """Among all that it asks for, from 1: a start that is to be demonstrated twice has two."""
    start: PlannedStart


def wanted(plan: CollectionPlan) -> tuple[Wanted, ...]:
    """All that it asks for, in its order."""
    every = [start for start in plan.starts for _ in range(start.demonstrations)]
    return tuple(Wanted(number, start) for number, start in enumerate(every, 1))


def can_be_made(plan: CollectionPlan, each: Wanted) -> bool:
    """Whether the robot can be put there: a simulated one needs the seed."""
    return not plan.simulated or each.start.seed is not None


def has_failed(plan: CollectionPlan, start: PlannedStart) -> bool:
    """Whether an attempt is known to have failed from there; where the policy is only unsure, none is."""
    return plan.target.mode != UNSURE and bool(start.episode_id)


def listed(plan: CollectionPlan, chosen: Sequence[Wanted] | None = None) -> StartList:
    """The plan's starts for a run.

    Args:
        plan: says what is kept with each episode.
        chosen: some of :func:`wanted`, at least one; none: all.
    """
    starts = []
    for each in wanted(plan) if chosen is None else chosen:
        kept: dict[str, Scalar] = {START: each.start.number}
        if has_failed(plan, each.start):
            kept[FAILED] = each.start.episode_id
        # Where a real robot was put to was no matter of a seed.
        seed = each.start.seed if plan.simulated else None
        starts.append(ListedStart(start=each.start.start, seed=seed, number=each.number, parameters=kept))
    about: dict[str, Scalar] = {PLAN: plan.plan_id, MODE: plan.target.mode}
    return StartList(list_id=plan.plan_id, tags=(TARGETED,), parameters=about, starts=tuple(starts))


def collected(plan: CollectionPlan, episodes: Iterable[tuple[EpisodeMeta, Outcome]]) -> dict[int, EpisodeMeta]:
    """Those of its demonstrations that are there, by their number.

    Counted is what succeeded and shows how: a demonstration, or an attempt of a policy in which an operator drove.

    Args:
        plan: the plan.
        episodes: each with the outcome that holds.
    """
    found = {}
    for meta, outcome in episodes:
        known, shows = meta.parameters, meta.kind is EpisodeKind.DEMONSTRATION or meta.result().helped
        if known.get(LIST) == plan.plan_id and outcome is Outcome.SUCCESS and shows and meta.kind.counts:
            found[int(known[NUMBER])] = meta
    return found


def check_plan(plan: CollectionPlan, task: TaskSpec, robot: RobotSpec, bags: dict[str, Path], data: Path) -> None:
    """Whether this plan can be collected with this robot, and into this data folder.

    Args:
        plan: the plan.
        task: as it is today.
        robot: as it is today.
        bags: of the data folder, by episode id.
        data: the data folder.

    Raises:
        SpecError: it is for another task or robot, or one of its starts is not what it was when the attempt failed.
        DataError: the attempts that it is about are in another data folder.
    """
    for what, mine, other in (("task", plan.task, task.id), ("robot", plan.robot, robot.id)):
        if mine != other:
            raise SpecError(
                f"the plan {plan.plan_id} is for {what} {mine!r}, not for {other!r}",
                f"Leave out --{what}, or name a {what} of that id; or mine the {what} that you have.",
            )
    if plan.simulated != (robot.sim is not None):
        there, here = ("simulated", "a real one") if plan.simulated else ("real", "simulated")
        raise SpecError(
            f"the plan {plan.plan_id} is for a {there} robot, and {robot.id!r} is {here}",
            "Give the RobotSpec that the attempts were made with (--robot).",
        )
    about = {*plan.target.members, *(start.episode_id for start in plan.starts)} - {""}
    # In a folder above the data folder they lie deeper.
    inside = {name for name, bag in bags.items() if len(bag.relative_to(data).parts) <= _DEPTH}
    if about and not about & inside and data.resolve() != Path(plan.data).resolve():
        raise DataError(
            f"{data} holds none of the {len(about)} attempts that the plan {plan.plan_id} is about",
            f"It was mined from {plan.data}: leave out --data, or give the folder that has them.",
        )
    for start in plan.starts:
        _check_start(start, task, bags.get(start.episode_id))


def _check_start(start: PlannedStart, task: TaskSpec, bag: Path | None) -> None:
    now = task.starts.get(start.start)
    if now is None:
        raise SpecError(
            f"start {start.number} of the plan is of {start.start!r}, and task {task.id!r} has no such start any more",
            f"It has {', '.join(sorted(task.starts))}. Put it back into the TaskSpec, or mine again.",
        )
    try:
        then = open_bag(bag).task if bag is not None else None
    except BagError:
        return  # what is told of the start goes without the failed attempt's bag
    before = then.starts.get(start.start) if then is not None else None
    if before is not None and (before.widen, before.ranges) != (now.widen, now.ranges):
        raise SpecError(
            f"start {start.number} of the plan: {start.start!r} of task {task.id!r} is another one today (widen "
            f"{now.widen:g}, ranges {now.ranges}) than when attempt {start.episode_id} failed (widen {before.widen:g}, "
            f"ranges {before.ranges}): the same seed would not lead there",
            "Give the TaskSpec of that time (--task), or mine again.",
        )


def began_alike(one: Path, other: Path) -> bool | None:
    """Whether two attempts began in the same state, bit for bit; None: a bag of them cannot be read.

    What ran against the clock has no first state that could be compared.
    """
    try:
        first, second = read_episode(one), read_episode(other)
    except BagError:
        return None
    if "real_time" in (first.meta.parameters.get("drive"), second.meta.parameters.get("drive")):
        return None
    if not len(first) or not len(second):
        return None
    return bool(np.array_equal(first.state[0], second.state[0]))
