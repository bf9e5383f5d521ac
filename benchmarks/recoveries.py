"""50 recoveries and 150 clean demonstrations against 500 clean ones, when something goes wrong; and fairer pairs.

A recovery is what the expert does after a perturbation until the task is done: its own attempt is disturbed, or a weak
policy has driven to near a failure and the expert takes over. Each way's policy is trained anew and tried from unseen
starts, undisturbed and with each perturbation; one of them is in no recovery.

python benchmarks/recoveries.py --results recoveries.jsonl        (goes on where it was interrupted)
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from common import STEPS, table
from rounds import Ground, Start, Take, starts, train, training_rows, unseen
from rounds_cells import Cell, Cells, difference, rate

from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.frames import Frame
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.training.weights import Scheme
from xrollout_ros.runtime.operators.scripted import TakeoverRule
from xrollout_ros.sim.faults import parse_faults

CLEAN, DISTURBED = range(10, 12)
"""Purposes that starts are drawn for."""
NOMINAL = "nominal"
UNDISTURBED = "undisturbed"
PERTURBATIONS = {
    "object bump": '[{"kind": "object_bump", "distance_m": 0.05}]',
    "gripper slip": '[{"kind": "gripper_slip"}]',
    "action noise": '[{"kind": "action_noise", "share": 1.0, "after": "near", "lasts_s": 0.4}]',
    "wrong goal": '[{"kind": "wrong_goal", "after": "grasp", "lasts_s": 0.5}]',
}
"""All of them can be recovered from: each is over in time."""
UNSEEN = "wrong goal"
"""In no recovery."""
KINDS = ("object bump", "gripper slip", "action noise", "takeover")
WEAK_DEMONSTRATIONS = {"pick_and_place": 8, "push": 6, "peg_insert": 15}
TAKEOVER_STEPS = (30, 90)
"""A policy that would fail from there is let drive for so long, drawn evenly."""
MOST = 4
"""Attempts at a kind of recovery for each that is wanted."""


@dataclass(frozen=True)
class Recovery:
    """What the expert showed after a perturbation, and what it took."""

    kind: str
    take: Take
    begin: int
    """First row that trains."""
    spent: int
    """Rows of the expert, those of failed attempts since the last recovery of this kind included."""

    def episode(self, frame: Frame) -> TrainingEpisode:
        found = training_rows(self.take)
        assert found is not None
        usable = found.usable & (np.arange(len(found.usable)) >= self.begin)
        return replace(found, usable=usable, frame=np.full(len(usable), frame, np.uint8))


@dataclass(frozen=True)
class Arm:
    """What is trained from."""

    name: str
    clean: float
    """Shares of the demonstrations of the largest arm."""
    recoveries: float = 0.0
    as_expensive_as: str = ""
    """Only clean ones, for as many rows of the expert as this arm."""
    weights: Scheme = "uniform"


MIXED = Arm("150 clean, 50 recoveries", 0.3, 0.1)
ARMS = (
    Arm("500 clean", 1.0),
    MIXED,
    Arm("clean, expert steps of 150 + 50", 0.0, as_expensive_as=MIXED.name),
    Arm("375 clean, 125 recoveries", 0.75, 0.25),
    replace(MIXED, name="150 clean, 50 recoveries as half", weights="sirius"),
)


class Collection:
    """One task and training seed: all demonstrations and recoveries, made as they are needed."""

    def __init__(self, task: str, seed: int, whole: int, steps: int) -> None:
        self.ground, self.seed, self.whole, self._steps = Ground(task), seed, whole, steps
        self._clean: list[Take] = []
        self._recovered: list[Recovery] = []
        self._recovering = self._in_turn()
        self._coming = (
            take for start in starts(NOMINAL, seed, CLEAN, 3 * whole) if (take := self.ground.take(start)).success
        )

    def clean(self, count: int) -> list[Take]:
        """The first successful demonstrations."""
        self._clean += islice(self._coming, max(0, count - len(self._clean)))
        return self._clean[:count]

    @cached_property
    def weak(self) -> ChunkPolicy:
        """The policy that drives to near its failures."""
        shown = [training_rows(take) for take in self.clean(WEAK_DEMONSTRATIONS[self.ground.task.id])]
        return train(self.ground, [each for each in shown if each is not None], self.seed, steps=self._steps)

    def recoveries(self, count: int) -> list[Recovery]:
        """The first ones, the kinds taking turns."""
        self._recovered += islice(self._recovering, max(0, count - len(self._recovered)))
        return self._recovered[:count]

    def _in_turn(self) -> Iterator[Recovery]:
        ways = {kind: self._of(kind, number) for number, kind in enumerate(KINDS)}
        while ways:
            for kind in list(ways):
                one = next(ways[kind], None)
                if one is None:
                    print(f"{self.ground.task.id} {self.seed}: no further recovery of {kind}", flush=True)
                    del ways[kind]
                else:
                    yield one

    def _of(self, kind: str, number: int) -> Iterator[Recovery]:
        count, spent = MOST * max(2, self.whole // 8), 0
        for start in starts(NOMINAL, self.seed, DISTURBED, (number + 1) * count)[number * count :]:
            made = self._taken_over(start) if kind == "takeover" else self._disturbed(start, kind)
            if made is None:
                continue
            take, begin = made
            spent += len(take.expert_rows)
            if take.success and begin < len(take.episode):
                yield Recovery(kind, take, begin, spent)
                spent = 0

    def _disturbed(self, start: Start, kind: str) -> tuple[Take, int] | None:
        take = self.ground.take(start, faults=parse_faults(PERTURBATIONS[kind]))
        # While the motors do something else, what follows an action is not what the action does.
        what = "fault_ended" if kind == "action noise" else "fault_begun"
        begin = next((step for name, step in take.faults if name == what), len(take.episode))
        return take, begin

    def _taken_over(self, start: Start) -> tuple[Take, int] | None:
        if self.ground.take(start, self.weak).success:
            return None
        low, high = TAKEOVER_STEPS
        rule = TakeoverRule(on_help=False, at_step=int(np.random.default_rng(start.seed).integers(low, high + 1)))
        return self.ground.take(start, self.weak, helper=rule), 0

    def demonstrations(self, arm: Arm) -> tuple[list[TrainingEpisode], dict[str, int]]:
        """What an arm is trained from, and what it took."""
        if arm.as_expensive_as:
            budget = self._cost(next(each for each in ARMS if each.name == arm.as_expensive_as))
            clean, spent = [], 0
            while spent < budget:
                clean = self.clean(len(clean) + 1)
                spent += len(clean[-1].episode)
            recoveries: list[Recovery] = []
        else:
            clean = self.clean(round(arm.clean * self.whole))
            recoveries = self.recoveries(round(arm.recoveries * self.whole))
        frame = Frame.DEMONSTRATION if arm.weights == "uniform" else Frame.INTERVENTION
        shown = [each for take in clean if (each := training_rows(take)) is not None]
        shown += [recovery.episode(frame) for recovery in recoveries]
        rows = sum(each.rows for each in shown)
        spent = sum(len(take.episode) for take in clean) + sum(each.spent for each in recoveries)
        kinds = {f"of {kind}": sum(each.kind == kind for each in recoveries) for kind in KINDS if recoveries}
        return shown, {"clean": len(clean), "recoveries": len(recoveries), "rows": rows, "spent": spent, **kinds}

    def _cost(self, arm: Arm) -> int:
        return self.demonstrations(arm)[1]["spent"]


def run(cells: Cells, tasks: list[str], seeds: list[int], arms: list[Arm], sizes: dict[str, int]) -> None:
    """Everything that is not among the cells yet."""
    for seed in seeds:
        for task in tasks:
            made: Collection | None = None
            for arm in arms:
                key = {"task": task, "seed": seed, "arm": arm.name, **sizes}
                if cells.find(**key) is None:
                    made = made or Collection(task, seed, sizes["whole"], sizes["steps"])
                    cells.add(measured(made, arm, key, sizes))


def measured(made: Collection, arm: Arm, key: dict[str, object], sizes: dict[str, int]) -> Cell:
    """One policy trained and tried."""
    begin = time.monotonic()
    shown, facts = made.demonstrations(arm)
    collected = time.monotonic()
    policy = train(made.ground, shown, made.seed, steps=sizes["steps"], weights=arm.weights)
    trained = time.monotonic()
    tried = {UNDISTURBED: made.ground.tried(policy, unseen(NOMINAL, sizes["attempts"]))}
    for name, faults in PERTURBATIONS.items():
        tried[name] = made.ground.tried(policy, unseen(NOMINAL, sizes["attempts"]), parse_faults(faults))
    spent = {"collected_s": collected - begin, "train_s": trained - collected, "tried_s": time.monotonic() - trained}
    cell = Cell(key, tried, {**facts, **{name: round(each, 1) for name, each in spent.items()}})
    rates = {name: round(each.count("1") / len(each), 2) for name, each in tried.items()}
    print(key["task"], key["seed"], arm.name, rates, cell.facts, flush=True)
    return cell


# --- tables ---------------------------------------------------------------------------------------------------------

SEEN = tuple(name for name in PERTURBATIONS if name != UNSEEN)


def report(cells: Cells, tasks: list[str], part: dict[str, int]) -> None:
    """All tables of what is there."""
    found = {
        (task, arm.name): own for task in tasks for arm in ARMS if (own := cells.some(task=task, arm=arm.name, **part))
    }
    conditions = [(UNDISTURBED,), *((name,) for name in SEEN), SEEN, (UNSEEN,)]
    rows = []
    for (task, arm), own in found.items():
        rows_, spent = (np.mean([cell.facts[name] for cell in own]) for name in ("rows", "spent"))
        cost = f"{rows_:.0f} / {spent:.0f}"
        rows.append([task, arm, len(own), cost, *(rate(own, *condition) for condition in conditions)])
    named = [UNDISTURBED, *SEEN, "all three", f"{UNSEEN} (in no recovery)"]
    columns = ["task", "trained from", "trainings", "rows / steps of the expert", *named]
    table("Success (95 %; least and largest of a training)", columns, rows)
    rows = []
    pairs = ((1, 0), (1, 2), (3, 0), (4, 1))
    for task in tasks:
        for one, other in pairs:
            first, second = found.get((task, ARMS[one].name)), found.get((task, ARMS[other].name))
            if first and second:
                apart = [difference(first, second, *condition) for condition in conditions]
                rows.append([task, f"{ARMS[one].name} − {ARMS[other].name}", *apart])
    table("Differences (95 %, bootstrap over trainings and starts)", ["task", "", *named], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON lines; what is there is not done again")
    parser.add_argument("--tasks", nargs="*", default=["pick_and_place", "push"], choices=list(WEAK_DEMONSTRATIONS))
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind; 0: tables alone")
    parser.add_argument("--attempts", type=int, default=50, help="unseen starts, for each perturbation anew")
    parser.add_argument(
        "--whole", type=int, default=500, help="demonstrations of the largest arm; others in proportion"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="of the gradient")
    parser.add_argument("--arms", type=int, nargs="+", default=range(len(ARMS)), help="numbers, from 0")
    parser.add_argument("--quick", action="store_true", help="everything tiny, to see that it runs")
    options = parser.parse_args()
    sizes = {"attempts": options.attempts, "whole": options.whole, "steps": options.steps}
    seeds = options.seeds
    if options.quick:
        seeds, sizes = 1, {"attempts": 1, "whole": 20, "steps": 60}
    cells = Cells(options.results)
    run(cells, options.tasks, list(range(seeds)), [ARMS[number] for number in options.arms], sizes)
    report(cells, options.tasks, sizes)


if __name__ == "__main__":
    main()
