"""The flywheel unattended: from few demonstrations, wide starts and injected faults, cycle after cycle.

python benchmarks/flywheel/unattended.py --keep FOLDER [--tasks pick_and_place push peg_insert] [--seeds 3] [--cycles 2]

Each run is `xrollout flywheel run` in a folder of its own, the graph and all; nothing is tuned for a task. Afterwards
the first policy and what was deployed after each cycle are tried in process from the same starts under the same faults,
as is the scripted expert, which is all that the policies learn from. An interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import table

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.threads import one_thread
from xrollout_ros.core.wilson import wilson
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import CycleRecord, Ending, State
from xrollout_ros.cycle.reporting import durations
from xrollout_ros.graph.domains import hold_domain
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.runtime.operators.scripted import ScriptedOperator, TakeoverRule
from xrollout_ros.sim.faults import parse_faults
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_expert
from xrollout_ros.sim.robot import make_sim_robot

TASKS = ("pick_and_place", "push", "peg_insert")
START = "wide"
FAULTS = json.dumps(
    [
        {"kind": "object_bump", "distance_m": 0.05, "probability": 0.2},
        {"kind": "gripper_slip", "probability": 0.15},
        {"kind": "action_noise", "share": 0.2, "probability": 0.3},
    ]
)
RECIPE = {
    "deploy": {"attempts": 40, "starts": [START]},
    "collect": {"first": 8, "demonstrations": 15},
}
HELD_OUT = 95_000_000
"""Seeds from here on are tried and never collected from."""
AIM = {"pick_and_place": 0.95, "push": 0.95, "peg_insert": 0.85}


def run(folder: Path, task: str, seed: int, cycles: int) -> None:
    """Run the cycles of one flywheel, or go on with them."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe.json.yaml"
    recipe.write_text(json.dumps({**RECIPE, "seed": seed}), encoding="utf-8")
    place = Place(folder / "flywheel", SystemClock())
    newest = place.newest()
    done = -1 if newest is None else newest.number if newest.state is State.DONE else newest.number - 1
    if done >= cycles:
        return
    command = [
        sys.executable, "-m", "xrollout_ros.ui.cli", "flywheel", "run", "--task", task, "--faults", FAULTS,
        "--recipe", str(recipe), "--folder", str(place.root), "--data", str(folder / "raw_rollouts"),
        "--cycles", str(cycles - max(0, done)),
    ]  # fmt: skip
    with (folder / "log.txt").open("a") as log, socket.socket() as held:
        own = {"ROS_DOMAIN_ID": str(hold_domain(held)), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **own})


class World:
    """A task with its faults, in process."""

    def __init__(self, task: str) -> None:
        self.task = load_task(task)
        self.robot = load_robot(self.task.robot)
        self.sim = FaultyRobot(make_sim_robot(self.robot, self.task, shapes=False), self.robot, parse_faults(FAULTS))

    def tried(self, attempts: int, checkpoint: str = "") -> str:
        """``1`` for each success; without a checkpoint the expert's."""
        found = []
        policy = load_policy(Path(checkpoint), self.robot, self.task) if checkpoint else None
        for seed in range(HELD_OUT, HELD_OUT + attempts):
            operator = None
            if policy is None:
                expert = make_expert("scripted", self.robot, self.task)
                operator = ScriptedOperator(expert, self.robot, TakeoverRule())
            attempt = run_attempt(self.sim, self.robot, seed, START, policy=policy, operator=operator)
            found.append("1" if attempt.outcome is Outcome.SUCCESS else "0")
        return "".join(found)


def deployed_after(records: list[CycleRecord], cycles: int) -> list[str]:
    """Checkpoints that were deployed at the beginning and after each cycle."""
    assert records[0].trained is not None
    found = [records[0].trained.policy.checkpoint]
    for number in range(1, cycles + 1):
        record = next((each for each in records if each.number == number), None)
        promoted = record is not None and record.ending is Ending.PROMOTED and record.trained is not None
        found.append(record.trained.policy.checkpoint if promoted and record and record.trained else found[-1])
    return found


def measured(folder: Path, task: str, attempts: int, cycles: int) -> dict[str, object]:
    """What came of one run; kept beside it."""
    file = folder / f"measured_{attempts}.json"
    if file.exists():
        known: dict[str, object] = json.loads(file.read_text())
        return known
    records = Place(folder / "flywheel", SystemClock()).records()
    world, tried = World(task), {}
    by_policy: dict[str, str] = {}
    for number, checkpoint in enumerate(deployed_after(records, cycles)):
        if checkpoint not in by_policy:
            by_policy[checkpoint] = world.tried(attempts, checkpoint)
        tried[str(number)] = by_policy[checkpoint]
    found: dict[str, object] = {
        "tried": tried,
        "expert": world.tried(attempts),
        "endings": [each.ending.value for each in records[1:] if each.ending is not None],
        "targets": [each.target for each in records[1:]],
        "demonstrations": [each.collected.demonstrations if each.collected is not None else 0 for each in records[1:]],
        "failed": [each.collected.failed if each.collected is not None else 0 for each in records[1:]],
        "pairs": [each.validated.pairs if each.validated is not None else 0 for each in records[1:]],
        "minutes": [round(sum(durations(each).values()) / 60, 2) for each in records],
    }
    file.write_text(json.dumps(found))
    return found


def rate(outcomes: str) -> str:
    """With its interval."""
    low, high = wilson(outcomes.count("1"), len(outcomes))
    return f"{outcomes.count('1') / len(outcomes):.2f} ({low:.2f}–{high:.2f})"


def tell(keep: Path, tasks: list[str], seeds: int, attempts: int, cycles: int) -> None:
    """Tables of what is there."""
    rows: list[list[object]] = []
    pooled: list[list[object]] = []
    for task in tasks:
        there = [
            json.loads(file.read_text())
            for seed in range(seeds)
            if (file := keep / f"{task}_{seed}" / f"measured_{attempts}.json").exists()
        ]
        for seed, found in enumerate(there):
            rows.append(
                [
                    task, seed, *(rate(found["tried"][str(number)]) for number in range(cycles + 1)),
                    rate(found["expert"]), ", ".join(found["endings"]), ", ".join(found["targets"]),
                    "+".join(map(str, found["demonstrations"])), "+".join(map(str, found["pairs"])),
                    f"{sum(found['minutes']):.1f}",
                ]
            )  # fmt: skip
        if there:
            every = ["".join(found["tried"][str(number)] for found in there) for number in range(cycles + 1)]
            expert = "".join(found["expert"] for found in there)
            share = every[-1].count("1") / max(1, expert.count("1"))
            pooled.append([task, len(there), *map(rate, every), rate(expert), f"{share:.2f}", AIM[task]])
    cycle_names = ["first policy", *(f"after cycle {number}" for number in range(1, cycles + 1))]
    table(
        f"Success from {attempts} held-out wide starts with faults, 95 % intervals",
        ["task", "seed", *cycle_names, "expert", "verdicts", "for", "demonstrations", "pairs", "minutes"],
        rows,
    )
    table(
        "Pooled over seeds",
        ["task", "seeds", *cycle_names, "expert", "of the expert's", "aim"],
        pooled,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cycles", type=int, default=2)
    parser.add_argument("--attempts", type=int, default=100, help="held-out starts")
    parser.add_argument("--only", type=int, help="this seed alone, so that several can run side by side")
    parser.add_argument("--tables", action="store_true", help="only show what is there")
    options = parser.parse_args()
    keep = options.keep.resolve()
    for seed in range(options.seeds) if not options.tables else ():
        for task in options.tasks:
            if options.only is not None and seed != options.only:
                continue
            begun_s = time.monotonic()
            folder = keep / f"{task}_{seed}"
            run(folder, task, seed, options.cycles)
            with one_thread():
                found = measured(folder, task, options.attempts, options.cycles)
            print(task, seed, found["endings"], f"{time.monotonic() - begun_s:.0f} s", flush=True)
    tell(keep, options.tasks, options.seeds, options.attempts, options.cycles)


if __name__ == "__main__":
    main()
