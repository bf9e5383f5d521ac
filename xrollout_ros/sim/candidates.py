"""Starts for active selection, scored by a policy: fresh ones of a simulated robot, or those of recorded attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError, XRolloutError
from xrollout_ros.core.ports import Policy
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import Condition, equal, parse
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.mining.active import Candidate
from xrollout_ros.runtime.processors import Pipeline
from xrollout_ros.sim.robot import make_sim_robot

FIRST_SEED = 500_000
"""Far from the seeds that deployments and demonstrations count up from."""
DRAWS = 8
"""Chunks for each start: some scores depend on a chunk's noise."""
Told = Callable[[int, int], None]


def fresh(
    policy: Policy,
    robot: RobotSpec,
    task: TaskSpec,
    start: str,
    seeds: Iterable[int],
    progress: Told | None = None,
) -> list[Candidate]:
    """Starts that nobody has tried: the simulated robot is put there, and nothing moves.

    Args:
        policy: fits robot and task.
        robot: a simulated one.
        task: its spec.
        start: named start distribution.
        seeds: of the starts.
        progress: told how many of how many are scored.

    Raises:
        SpecError: the robot is not simulated, or the task has no such start.
    """
    sim, chosen, found = make_sim_robot(robot, task, shapes=False), list(seeds), []
    try:
        for number, seed in enumerate(chosen, 1):
            state = robot.state_vector(sim.reset(seed, start).values)
            found.append(Candidate(start, seed, state, scores_at(policy, robot, state)))
            if progress is not None:
                progress(number, len(chosen))
    finally:
        sim.close()
    return found


def recorded(
    catalog: Catalog,
    policy: Policy,
    where: Sequence[Condition] = (),
    *,
    most: int = 2000,
    progress: Told | None = None,
) -> tuple[RobotSpec, TaskSpec, list[Candidate]]:
    """Starts of recorded attempts at the policy's task, of any policy, and the robot and task of the newest.

    Args:
        catalog: up to date.
        policy: whose scores count.
        where: further conditions.
        most: reads at most so many, the newest.
        progress: told how many of how many are read.

    Raises:
        DataError: there is none that can be read.
    """
    info = policy.info
    conditions = [*where, parse("kind=attempt,evaluation"), equal("task", info.task), equal("robot", info.robot)]
    rows = catalog.listing(conditions, limit=most)
    specs: tuple[RobotSpec, TaskSpec] | None = None
    found = []
    for number, row in enumerate(rows, 1):
        if progress is not None:
            progress(number, len(rows))
        try:
            episode = read_episode(catalog.data / row["path"])
        except (XRolloutError, OSError):
            continue
        if episode.task is None or not np.isfinite(episode.state[0]).all():
            continue
        specs = specs or (episode.robot, episode.task)
        ours, known = row["checkpoint_hash"] == info.checkpoint_hash, row["outcome"] != Outcome.UNKNOWN.value
        scores = scores_at(policy, episode.robot, episode.state[0])
        succeeded = bool(row["success"]) if ours and known else None
        found.append(Candidate(row["start"], row["seed"], episode.state[0], scores, row["episode_id"], succeeded))
    if specs is None:
        raise DataError(
            f"no_attempts: {catalog.data} holds no attempt at {info.task} on {info.robot} that can be read",
            "Deploy the policy first, or give --candidates for fresh starts of a simulated robot.",
        )
    return (*specs, found)


def scores_at(policy: Policy, robot: RobotSpec, state: Array) -> dict[str, float]:
    """The policy's scores at a state ``(D,)``, mean over chunks of different noise."""
    pipeline = Pipeline(policy.info.processors, robot)
    pipeline.reset()
    seen, drawn = pipeline(state), []
    for noise in range(DRAWS):
        policy.reset(noise)
        policy.predict(seen)
        drawn.append(policy.scores)
    return {name: float(np.mean([scores[name] for scores in drawn])) for name in drawn[0]}
