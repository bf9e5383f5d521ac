"""Trials in the in-process loop: the graph's own logic, stepped, on as many cores as there are. Needs no ROS."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from xrollout_ros.core.errors import GraphError, SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.cycle.comparing.run import Tried
from xrollout_ros.cycle.comparing.trials import Arm, ComparisonPlan, PlannedPair


class InProcess(AbstractContextManager["InProcess"]):
    """Makes trials on a simulated robot; close it, or use it in a ``with``.

    Args:
        plan: what is compared.
        workers: processes; 0: one for each core.

    Raises:
        SpecError: the robot is not simulated.
    """

    def __init__(self, plan: ComparisonPlan, workers: int = 0) -> None:
        if load_robot(plan.robot).sim is None:
            raise SpecError(
                f"robot {plan.robot!r} is a real one: its trials cannot be made in this process", "Use --in graph."
            )
        self._workers = workers or len(os.sched_getaffinity(0))
        # Spawned, not forked: PyTorch's threads do not survive a fork.
        self._pool = ProcessPoolExecutor(
            self._workers, multiprocessing.get_context("spawn"), _begin, (plan.model_dump_json(),)
        )

    @property
    def at_once(self) -> int:
        """See ``Trials``."""
        return 2 * self._workers

    def run(self, pairs: Sequence[PlannedPair]) -> Iterator[tuple[PlannedPair, dict[Arm, Tried]]]:
        """See ``Trials``."""
        try:
            yield from zip(pairs, self._pool.map(_tried, pairs), strict=True)
        except BrokenProcessPool as error:
            raise GraphError(
                "a process that made trials has died", "The same command goes on from the trials that are made."
            ) from error

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _World:
    """What one process has."""

    def __init__(self, plan: ComparisonPlan) -> None:
        from pathlib import Path

        from xrollout_ros.learning.checkpoint import load_policy
        from xrollout_ros.sim.faults import parse_faults
        from xrollout_ros.sim.faulty_robot import FaultyRobot
        from xrollout_ros.sim.robot import make_sim_robot

        self.plan, self.robot = plan, load_robot(plan.robot)
        task = load_task(plan.task)
        self.policies = {
            arm: load_policy(Path(ref.checkpoint), self.robot, task, expected_hash=ref.checkpoint_hash, device="cpu")
            for arm, ref in (("A", plan.a), ("B", plan.b))
        }
        self.sim = FaultyRobot(make_sim_robot(self.robot, task, shapes=False), self.robot, parse_faults(plan.faults))

    def tried(self, pair: PlannedPair, arm: Arm) -> Tried:
        from xrollout_ros.sim.loop import run_attempt

        attempt = run_attempt(
            self.sim, self.robot, pair.seed, pair.start, policy=self.policies[arm], engine=self.plan.engine,
            episode_id=f"{self.plan.comparison_id}-{pair.number}-{arm}",
        )  # fmt: skip
        return Tried(attempt.outcome, attempt.steps)


_world: list[Any] = []
"""Of a worker's process: made once, used for each pair."""


def _begin(plan: str) -> None:
    from xrollout_ros.core.parents import end_with_parent

    end_with_parent()
    import torch

    torch.set_num_threads(1)
    _world.append(_World(ComparisonPlan.model_validate_json(plan)))


def _tried(pair: PlannedPair) -> dict[Arm, Tried]:
    world: _World = _world[0]
    return {arm: world.tried(pair, arm) for arm in pair.order}
