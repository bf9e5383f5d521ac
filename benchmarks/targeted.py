"""Targeted against random collection at the same number of steps of the expert, and how much less the targeted needs.

A weak policy is trained from few demonstrations of nominal starts and deployed at wide ones. Then the expert drives for
so many steps more, in different ways, and each way's policy is trained anew from all and tried from unseen wide starts.

python benchmarks/targeted.py --results targeted.jsonl        (goes on where it was interrupted)
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import STEPS, table
from rounds import unseen
from rounds_cells import Cell, Cells, Floats, difference, matrix, rate, saved
from targeted_ways import (
    WIDE,
    Arm,
    Collection,
    Setting,
    at_alarm,
    at_alarm_slowly,
    at_failed_starts,
    at_random,
    at_time,
    by_density,
    by_network,
)

from xrollout_ros.core.errors import SpecError

SETTINGS = {
    "pick_and_place": Setting(8, 600, (300, 1200, 2400)),
    "push": Setting(6, 600, (300, 1200, 2400)),
    "peg_insert": Setting(15, 1200),
}


NOTHING = Arm("base", at_random)
RANDOM_ARM, FAILED_ARM = Arm("random demonstrations", at_random), Arm("at failed starts", at_failed_starts)
DENSITY_ARM, NETWORK_ARM = Arm("active, density", by_density), Arm("active, RND", by_network)
ALARM_ARM = Arm("gated, alarm", at_alarm)
GATES = (
    Arm("gated, alarm; uniform weights", at_alarm, weights="uniform"),
    Arm("gated, alarm; ramp of 0.5 s", at_alarm_slowly),
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
    for task in tasks:
        if SETTINGS[task].curve:
            curves(cells, task, part)


def curves(cells: Cells, task: str, part: dict[str, int]) -> None:
    """How success grows with the steps of the expert, and what a way saves of those that random collection takes."""
    sizes = sorted({0, SETTINGS[task].budget, *SETTINGS[task].curve})
    found = {arm: {size: _some(cells, task, arm, size, part) for size in sizes} for arm in CURVES}
    rows = []
    for arm, by_size in found.items():
        row = [arm.name, *(rate(by_size[size], WIDE) for size in sizes)]
        for at in sizes[1:]:
            usual, own = _shared({size: each for size, each in found[RANDOM_ARM].items() if size <= at}, by_size)
            if arm is RANDOM_ARM or at not in usual or 0 not in usual or len(own) < 2:
                row.append("")
                continue
            share, low, high, level = saved(usual, own, at)
            row.append(f"{share:+.0%} ({low:+.0%} to {high:+.0%}) to {level:.2f}".replace("-inf%", "never"))
        rows.append(row)
    columns = ["way", *(f"+{size} steps" for size in sizes), *(f"saved of random's {size}" for size in sizes[1:])]
    table(f"Learning curves, {task}", columns, rows)


def _some(cells: Cells, task: str, arm: Arm, size: int, part: dict[str, int]) -> list[Cell]:
    return cells.some(task=task, arm=arm.name if size else NOTHING.name, budget=size, **part)


def _shared(*curves: dict[int, list[Cell]]) -> list[dict[int, Floats]]:
    """Outcomes by size, of the trainings that every size of each curve has; sizes without any are left out."""
    there = [{size: own for size, own in curve.items() if own} for curve in curves]
    seeds = [{cell.key["seed"] for cell in own} for curve in there for own in curve.values()]
    shared = set.intersection(*seeds) if seeds else set()
    if not shared:
        return [{} for _ in curves]
    return [
        {size: matrix([cell for cell in own if cell.key["seed"] in shared], WIDE) for size, own in curve.items()}
        for curve in there
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON lines; what is there is not done again")
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--attempts", type=int, default=50, help="unseen starts of each policy")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the gradient")
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
