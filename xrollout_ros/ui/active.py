"""Chooses starts by a policy's scores: ``xrollout mine --active``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.mining.active import plan_of
from xrollout_ros.mining.attempts import MOST
from xrollout_ros.mining.plan import CollectionPlan
from xrollout_ros.mining.planning import DEMONSTRATIONS
from xrollout_ros.sim import candidates as scoring
from xrollout_ros.ui.filtering import conditions_of
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.progress import Bar

CANDIDATES = 200
_FRESH = frozenset({"start", "task"})
"""Filters that fresh starts know."""


def plan_starts(
    model: Path,
    data: Path,
    filters: Mapping[str, Any],
    *,
    candidates: int | None,
    demonstrations: int | None,
    most: int | None,
) -> CollectionPlan:
    """A plan of the starts that a checkpoint is least sure of.

    Args:
        model: the checkpoint.
        data: folder of the recorded attempts; fresh starts need none.
        filters: options of ``ui.filtering``.
        candidates: fresh starts to choose among; 0: those of recorded attempts; None: by the robot.
        demonstrations: at most so many.
        most: reads at most so many attempts.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        SpecError: fresh starts are asked for of a real robot, or the task has no such start.
        DataError: there are no candidates, or the policy gives no score.
    """
    policy = load_policy(model)
    wanted, clock = demonstrations or DEMONSTRATIONS, SystemClock()
    count = candidates if candidates is not None else _usual(policy, filters)
    if count:
        named = [name for name, given in filters.items() if given and name not in _FRESH]
        if named:
            raise SpecError(
                f"the filter {named[0]!r} says nothing of fresh starts", "Give --candidates 0, or leave it out."
            )
        task = load_task(filters["task"][0] if filters["task"] else policy.info.task)
        robot = load_robot(policy.info.robot)
        starts = [each for given in filters["start"] for each in given.split(",")] or [task.default_start]
        found = []
        with Bar("scoring starts") as bar:
            for number, start in enumerate(starts):
                share = count // len(starts) + (number < count % len(starts))
                seeds = range(scoring.FIRST_SEED, scoring.FIRST_SEED + share)
                found += scoring.fresh(policy, robot, task, start, seeds, bar.show)
    else:
        with caught_up(data) as catalog, Bar("reading attempts") as bar:
            robot, task, found = scoring.recorded(
                catalog, policy, conditions_of(filters), most=most or MOST, progress=bar.show
            )
    return plan_of(found, robot, task, policy.info.policy_id, demonstrations=wanted, data=str(data), clock=clock)


def _usual(policy: ChunkPolicy, filters: Mapping[str, Any]) -> int:
    """Fresh starts where the robot is known here and simulated, unless attempts are filtered."""
    if any(given for name, given in filters.items() if name not in _FRESH):
        return 0
    try:
        return CANDIDATES if load_robot(policy.info.robot).sim is not None else 0
    except SpecError:
        click.echo(f"robot {policy.info.robot} is not known here: choosing among recorded attempts", err=True)
        return 0
