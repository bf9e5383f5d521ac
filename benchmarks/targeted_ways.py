"""Ways to spend the steps of the expert: at random, at failed starts, at novel ones, in takeovers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rounds import Ground, Start, Take, starts, train, within
from rounds_alarms import alarmed, calibration, calling

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.safety import HandoverSpec
from xrollout_ros.learning.calibration.conformal import ALPHA, needed
from xrollout_ros.learning.dataset import Include, TrainingEpisode
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.training.weights import Scheme
from xrollout_ros.mining.attempts import Row
from xrollout_ros.mining.coverage import coverage
from xrollout_ros.mining.looking import Look
from xrollout_ros.mining.planning import chosen_starts
from xrollout_ros.mining.starts import axes_of_starts, farthest_points, names_of_starts
from xrollout_ros.runtime.novelty import Kind, Steps
from xrollout_ros.runtime.novelty_fit import fit as fit_novelty
from xrollout_ros.runtime.operators.scripted import TakeoverRule

BASE, RANDOM, DEPLOYED, GATED, CANDIDATES = range(5)
"""Purposes that starts are drawn for."""
NOMINAL, WIDE = "nominal", "wide"
N_CANDIDATES, TOGETHER, UPPER = 300, 5, 0.25
"""Starts to choose from; chosen at once by network, among so large a share of the most novel."""


@dataclass(frozen=True)
class Setting:
    """Of one task."""

    demonstrations: int
    """That the weak policy learns from."""
    budget: int
    """Steps of the expert, in the comparison of all ways."""
    curve: tuple[int, ...] = ()
    """Others, for the learning curves."""
    failures: int = 24
    """So many are awaited in the deployment,"""
    deployed: int = 120
    """which has not more attempts than these."""


@dataclass(frozen=True)
class Arm:
    """A way to spend the steps of the expert."""

    name: str
    collect: Callable[[Collection], Iterator[Take]]
    weights: Scheme = "sirius"
    rollouts: bool = False
    """The policy's own successes in its deployment train too; no expert is needed for them."""


class Growing:
    """Takes, made as they are needed."""

    def __init__(self, takes: Iterator[Take]) -> None:
        self._coming, self._made = takes, list[Take]()

    def up_to(self, budget: int) -> list[Take]:
        """As many as it takes for the expert to have commanded so many rows; all, where they are fewer."""
        while sum(len(take.expert_rows) for take in self._made) < budget:
            take = next(self._coming, None)
            if take is None:
                break
            self._made.append(take)
        return self._made


class Collection:
    """One task and training seed: the weak policy, its deployment, and what was collected in each way."""

    def __init__(self, task: str, seed: int, setting: Setting, steps: int) -> None:
        self.ground, self.seed, self.setting, self._steps = Ground(task), seed, setting, steps
        self._grown: dict[Callable[[Collection], Iterator[Take]], Growing] = {}

    def starts(self, name: str, purpose: int, count: int) -> list[Start]:
        return starts(name, self.seed, purpose, count)

    @cached_property
    def base(self) -> list[Take]:
        """The first demonstrations, all successful."""
        made = (self.ground.take(start) for start in self.starts(NOMINAL, BASE, 10 * self.setting.demonstrations))
        good = (take for take in made if take.success)
        return [next(good) for _ in range(self.setting.demonstrations)]

    def trained(self, more: list[TrainingEpisode], weights: Scheme = "sirius", *, watched: bool = False) -> ChunkPolicy:
        """A policy from the first demonstrations and what was added."""
        shown, _, _ = within(self.base, 10**9)
        return train(self.ground, [*shown, *more], self.seed, steps=self._steps, weights=weights, watched=watched)

    @cached_property
    def policy(self) -> ChunkPolicy:
        """The weak one."""
        return self.trained([], watched=True)

    @cached_property
    def deployed(self) -> list[Take]:
        """Its attempts from wide starts, until it failed often enough, and succeeded often enough to be calibrated."""
        takes: list[Take] = []
        for start in self.starts(WIDE, DEPLOYED, self.setting.deployed):
            takes.append(self.ground.take(start, self.policy))
            good = sum(take.success for take in takes)
            if len(takes) - good >= self.setting.failures and good >= needed(ALPHA):
                break
        return takes

    def collected(self, arm: Arm, budget: int) -> tuple[list[TrainingEpisode], dict[str, int]]:
        """What an arm adds, and what was spent on it."""
        if budget == 0:
            return [], {"spent": 0, "takes": 0}
        growing = self._grown.setdefault(arm.collect, Growing(arm.collect(self)))
        include = Include.SUCCESSES if arm.rollouts else Include.DEMONSTRATIONS
        takes = growing.up_to(budget)
        if not takes:
            raise SpecError(f"{arm.name}: nothing was collected", "Deploy the policy more often.")
        episodes, spent, count = within(takes, budget, include)
        if arm.rollouts:
            episodes += within([take for take in self.deployed if take.success], 1, include)[0]
        failed = sum(not take.success for take in takes[:count])
        return episodes, {"spent": spent, "takes": count, "failed": failed, "deployed": len(self.deployed)}


# --- ways to collect ------------------------------------------------------------------------------------------------


def at_random(of: Collection) -> Iterator[Take]:
    """Demonstrations from starts as they come."""
    return map(of.ground.take, of.starts(WIDE, RANDOM, 1000))


def at_failed_starts(of: Collection) -> Iterator[Take]:
    """Demonstrations from starts that the policy failed from, far from one another, as a collection plan chooses."""
    task, robot = of.ground.task, of.ground.robot
    names = names_of_starts(task, robot)
    slices = robot.state_slices()
    looks = {
        take.episode.meta.episode_id: Look(
            tuple(np.concatenate([take.episode.state[0, slices[name]] for name in names]))
        )
        for take in (*of.deployed, *of.base)
    }
    failed = {take.episode.meta.episode_id: take for take in of.deployed if not take.success}
    rows, shown = [_row(take) for take in of.deployed], [_row(take) for take in of.base]
    ground = coverage(rows, shown, looks, axes_of_starts(names, robot))
    chosen = chosen_starts(list(failed), looks, ground, len(failed))
    return (of.ground.take(failed[each].start) for each in chosen)


def _row(take: Take) -> Row:
    meta = take.episode.meta
    return Row(
        episode_id=meta.episode_id, path="", kind=meta.kind.value, start=meta.start, seed=meta.seed,
        policy_id=meta.policy_id, started_at=meta.started_at, outcome=meta.outcome.value, attempt=meta.kind.counts,
        success=take.success, helped=take.helped, failure_mode="", failure_moment_s=None, failure_severity=None,
        failure_author="",
    )  # fmt: skip


def _novel(of: Collection, kind: Kind, together: int) -> Iterator[Take]:
    """Demonstrations from the starts that look least like what is known, without trying them."""
    pool = of.starts(WIDE, CANDIDATES, N_CANDIDATES)
    first = np.array([of.ground.first(start) for start in pool])
    known = [Steps.of(take.episode.state) for take in of.base]
    while pool:
        model = fit_novelty(kind, known, of.seed)
        order = np.argsort(-model.scores(Steps(first)), kind="stable")
        if together > 1:
            upper = order[: max(together, round(UPPER * len(pool)))]
            chosen = upper[farthest_points(model.states(first[upper]), together)]
        else:
            chosen = order[:1]
        for place in chosen:
            take = of.ground.take(pool[place])
            if take.success:
                known.append(Steps.of(take.episode.state))
            yield take
        left = np.setdiff1d(np.arange(len(pool)), chosen)
        pool, first = [pool[place] for place in left], first[left]


def by_density(of: Collection) -> Iterator[Take]:
    """The farthest from all known states, one after the other."""
    return _novel(of, "density", 1)


def by_network(of: Collection) -> Iterator[Take]:
    """The most novel by random network distillation, some at once."""
    return _novel(of, "rnd", TOGETHER)


def at_alarm(of: Collection) -> Iterator[Take]:
    """Attempts of the policy at new starts, taken over from when its calibrated alarm is raised or its time is over."""
    return _at_alarm(of, of.ground.robot)


def at_alarm_slowly(of: Collection) -> Iterator[Take]:
    """The same, with the ramp that a handover to a person has, on a robot of ordinary speed."""
    safety = of.ground.robot.safety
    slow = safety.handover.model_copy(update={"ramp_s": HandoverSpec().ramp_s})
    return _at_alarm(of, of.ground.robot.model_copy(update={"safety": safety.model_copy(update={"handover": slow})}))


def _at_alarm(of: Collection, robot: RobotSpec) -> Iterator[Take]:
    found = calibration(of.policy, [take for take in of.deployed if take.success], of.seed)
    policy, robot = alarmed(of.policy, found), calling(robot)
    for start in of.starts(WIDE, GATED, 1000):
        yield of.ground.take(start, policy, helper=TakeoverRule(), robot=robot)


def at_time(of: Collection) -> Iterator[Take]:
    """The same, taken over from when its time is over alone."""
    found = calibration(of.policy, [take for take in of.deployed if take.success], of.seed)
    rule = TakeoverRule(on_help=False, at_step=round(found.time_limit_s * of.ground.robot.policy_rate_hz))
    for start in of.starts(WIDE, GATED, 1000):
        yield of.ground.take(start, of.policy, helper=rule)
