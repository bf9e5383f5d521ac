"""Targeted against random collection at the same number of steps of the expert, and how much less the targeted needs.

A weak policy is trained from few demonstrations of nominal starts and deployed at wide ones. Then the expert drives for
so many steps more, in different ways, and each way's policy is trained anew from all and tried from unseen wide starts.

python benchmarks/targeted.py --results targeted.jsonl        (goes on where it was interrupted)
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from common import table
from rounds import Ground, Start, Take, alarmed, calibration, calling, starts, train, unseen, within
from rounds_cells import Cell, Cells, Floats, difference, matrix, rate, saved

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Mode
from xrollout_ros.learning.calibration import ALPHA, needed
from xrollout_ros.learning.dataset import Include, TrainingEpisode
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.train_options import DEFAULT_STEPS
from xrollout_ros.learning.weights import Scheme
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


SETTINGS = {
    "pick_and_place": Setting(8, 600, (300, 1200, 2400)),
    "push": Setting(6, 600, (300, 1200, 2400)),
    "peg_insert": Setting(15, 1200),
}


@dataclass(frozen=True)
class Arm:
    """A way to spend the steps of the expert."""

    name: str
    collect: Callable[[Collection], Iterator[Take]]
    weights: Scheme = "sirius"
    rollouts: bool = False
    """The policy's own successes in its deployment train too; no expert is needed for them."""
    handover: bool = True
    """Rows train in which the expert was only being given control."""


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
        if not arm.handover:
            modes = {take.episode.meta.episode_id: take.episode.mode for take in takes}
            driven = [each for each in episodes if each.episode_id in modes]
            episodes = [
                replace(each, usable=each.usable & (modes[each.episode_id] != Mode.HANDOVER)) for each in driven
            ]
            episodes = [each for each in episodes if each.usable.any()]
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
    found = calibration(of.policy, [take for take in of.deployed if take.success], of.seed)
    policy, robot = alarmed(of.policy, found), calling(of.ground.robot)
    for start in of.starts(WIDE, GATED, 1000):
        yield of.ground.take(start, policy, helper=TakeoverRule(), robot=robot)


def at_time(of: Collection) -> Iterator[Take]:
    """The same, taken over from when its time is over alone."""
    found = calibration(of.policy, [take for take in of.deployed if take.success], of.seed)
    rule = TakeoverRule(on_help=False, at_step=round(found.time_limit_s * of.ground.robot.policy_rate_hz))
    for start in of.starts(WIDE, GATED, 1000):
        yield of.ground.take(start, of.policy, helper=rule)


NOTHING = Arm("base", at_random)
RANDOM_ARM, FAILED_ARM = Arm("random demonstrations", at_random), Arm("at failed starts", at_failed_starts)
DENSITY_ARM, NETWORK_ARM = Arm("active, density", by_density), Arm("active, RND", by_network)
ALARM_ARM = Arm("gated, alarm", at_alarm)
GATES = (
    Arm("gated, alarm; ramps left out", at_alarm, handover=False),
    Arm("gated, alarm; uniform weights", at_alarm, weights="uniform"),
    Arm("gated, alarm; own successes too", at_alarm, rollouts=True),
    Arm("gated, time alone", at_time),
)
ARMS = (NOTHING, RANDOM_ARM, FAILED_ARM, DENSITY_ARM, NETWORK_ARM, ALARM_ARM, *GATES)
CURVES = (RANDOM_ARM, FAILED_ARM, DENSITY_ARM, NETWORK_ARM)


def cells_of(task: str, stage: str) -> Iterator[tuple[Arm, int]]:
    """Arms and budgets of a stage, those that matter most first."""
    setting = SETTINGS[task]
    if stage == "equal":
        yield NOTHING, 0
        yield from ((arm, setting.budget) for arm in (RANDOM_ARM, FAILED_ARM, DENSITY_ARM, ALARM_ARM))
    elif stage == "curve":
        # Where the others already are at the level of random collection with the most, more of theirs tells nothing.
        most = max(setting.curve, default=0)
        for budget in setting.curve:
            yield from ((arm, budget) for arm in CURVES[:3] if arm is RANDOM_ARM or budget < most)
    else:
        yield from ((arm, setting.budget) for arm in (*GATES, NETWORK_ARM))


STAGES = ("equal", "curve", "gates")


def run(cells: Cells, tasks: list[str], seeds: list[int], stages: list[str], attempts: int, steps: int) -> None:
    """Everything that is not among the cells yet."""
    collections: dict[tuple[str, int], Collection] = {}
    for stage in stages:
        for seed in seeds:
            for task in tasks:
                for arm, budget in cells_of(task, stage):
                    setting = SETTINGS[task]
                    sizes = {"attempts": attempts, "steps": steps, "demonstrations": setting.demonstrations}
                    key = {"task": task, "seed": seed, "arm": arm.name, "budget": budget, **sizes}
                    if cells.find(**key) is not None:
                        continue
                    made = collections.get((task, seed)) or Collection(task, seed, setting, steps)
                    collections[task, seed] = made
                    try:
                        cells.add(measured(made, arm, budget, key, attempts))
                    except SpecError as error:
                        print(f"{task} {seed} {arm.name}: {error}", flush=True)


def measured(made: Collection, arm: Arm, budget: int, key: dict[str, object], attempts: int) -> Cell:
    """One policy trained and tried."""
    begin = time.monotonic()
    more, facts = made.collected(arm, budget)
    collected = time.monotonic()
    policy = made.trained(more, arm.weights) if budget else made.policy
    trained = time.monotonic()
    tried = made.ground.tried(policy, unseen(WIDE, attempts))
    spent = {"collected_s": collected - begin, "train_s": trained - collected, "tried_s": time.monotonic() - trained}
    rows = sum(episode.rows for episode in more)
    cell = Cell(key, {WIDE: tried}, {**facts, "rows": rows, **{name: round(each, 1) for name, each in spent.items()}})
    print(key["task"], key["seed"], arm.name, budget, f"{tried.count('1') / attempts:.2f}", cell.facts, flush=True)
    return cell


# --- tables ---------------------------------------------------------------------------------------------------------


def report(cells: Cells, tasks: list[str], part: dict[str, int]) -> None:
    """All tables of what is there."""
    rows = []
    for arm in ARMS:
        for task in tasks:
            budget = SETTINGS[task].budget
            usual = cells.some(task=task, arm=RANDOM_ARM.name, budget=budget, **part)
            own = cells.some(task=task, arm=arm.name, budget=0 if arm is NOTHING else budget, **part)
            if own:
                apart = "" if arm is RANDOM_ARM else difference(own, usual, WIDE)
                takes, failed = (np.mean([cell.facts.get(name, 0) for cell in own]) for name in ("takes", "failed"))
                rows.append([task, arm.name, len(own), f"{takes:.1f} ({failed:.1f})", rate(own, WIDE), apart])
    budgets = ", ".join(f"{task} {SETTINGS[task].demonstrations} + {SETTINGS[task].budget} steps" for task in tasks)
    columns = ["task", "way", "trainings", "takes (failed)", "success (95 %; trainings)", "against random"]
    table(f"Equal steps of the expert: {budgets}", columns, rows)
    rows = []
    for task in tasks:
        sizes = sorted({0, SETTINGS[task].budget, *SETTINGS[task].curve})
        for arm in CURVES[:3] if SETTINGS[task].curve else ():
            found = [_some(cells, task, arm, size, part) for size in sizes]
            rows.append([task, arm.name, *(rate(own, WIDE) for own in found)])
            usual, other = (_curve(cells, task, each, sizes, part) for each in (RANDOM_ARM, arm))
            levels = [size for size in sizes if size and size in usual]
            if arm is not RANDOM_ARM and 0 in usual:
                for at in levels[-2:]:
                    middle, low, high, level = saved(usual, other, at)
                    text = f"to {level:.2f}, where random is with {at}: {middle:+.0%} saved ({low:+.0%} to {high:+.0%})"
                    rows.append([task, "", text, *[""] * (len(sizes) - 1)])
    if rows:
        columns = ["task", "way", *(f"+{size} steps" for size in sorted({0, 600, *SETTINGS["push"].curve}))]
        table("Learning curves", columns, rows)


def _some(cells: Cells, task: str, arm: Arm, size: int, part: dict[str, int]) -> list[Cell]:
    return cells.some(task=task, arm=arm.name if size else NOTHING.name, budget=size, **part)


def _curve(cells: Cells, task: str, arm: Arm, sizes: list[int], part: dict[str, int]) -> dict[int, Floats]:
    """Outcomes by size, of the training seeds that all sizes have."""
    found = {size: own for size in sizes if (own := _some(cells, task, arm, size, part))}
    seeds = set.intersection(*({cell.key["seed"] for cell in own} for own in found.values())) if found else set()
    return {size: matrix([each for each in own if each.key["seed"] in seeds], WIDE) for size, own in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON lines; what is there is not done again")
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--attempts", type=int, default=50, help="unseen starts of each policy")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS, help="of the gradient")
    parser.add_argument("--stages", nargs="*", default=STAGES, choices=STAGES, help="none: tables alone")
    parser.add_argument("--quick", action="store_true", help="everything tiny, to see that it runs")
    options = parser.parse_args()
    seeds, attempts, steps = options.seeds, options.attempts, options.steps
    if options.quick:
        seeds, attempts, steps = 1, 2, 60
        SETTINGS.update({task: Setting(3, 60, (120,), 2, 4) for task in SETTINGS})
    cells = Cells(options.results)
    run(cells, options.tasks, list(range(seeds)), options.stages, attempts, steps)
    report(cells, options.tasks, {"attempts": attempts, "steps": steps})


if __name__ == "__main__":
    main()
