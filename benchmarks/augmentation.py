"""What varying the training data is worth: success of policies from few demonstrations, in simulation, in process.

python benchmarks/augmentation.py [--tasks pick_and_place push] [--demonstrations 10] [--seeds 3] [--attempts 50]
                                  [--ways none state …] [--keep FILE]

Each training seed has demonstrations of its own, the same for all ways; all are tried from the same unseen starts.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
from common import STEPS, table

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.mirror import MirroredAction, MirroredValues, MirrorSpec
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.core.threads import one_thread
from xrollout_ros.learning.augment.spec import AugmentSpec, make_augmenter
from xrollout_ros.learning.dataset import TrainingEpisode, TrainingSet
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.training.fit import Recipe, fit
from xrollout_ros.learning.training.loader import Samples
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.plan import make_model, reconcile
from xrollout_ros.learning.windows import windows
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

STARTS = ("nominal", "wide")
UNSEEN = 10_000
"""First seed of the starts that the policies are tried from."""


def _signs(*signs: int) -> MirroredValues:
    return MirroredValues.model_validate({"signs": signs})


MIRROR_IN_X = MirrorSpec(
    observations={
        "hand_position": _signs(-1, 1, 1),
        "object_position": _signs(-1, 1, 1),
        "object_orientation": _signs(1, -1, -1, 1),
        "goal_position": _signs(-1, 1, 1),
    },
    actions={"dx": MirroredAction(sign=-1)},
)
"""The arm stands on the plane x = 0. Used where the task has no section of its own."""

NOISE = {"state": {"state_noise": 0.005}, "action": {"action_noise": 0.05}, "warp": {"time_warp": 1.25}}
WAYS: dict[str, dict[str, object]] = {
    "none": {},
    **NOISE,
    "mirror": {"mirror": True},
    "all": {key: value for each in NOISE.values() for key, value in each.items()} | {"mirror": True},
    "state 1 mm": {"state_noise": 0.001},
    "state 2 mm": {"state_noise": 0.002},
    "state 10 mm": {"state_noise": 0.01},
    "state 20 mm": {"state_noise": 0.02},
    "state and mirror": {"state_noise": 0.005, "mirror": True},
}
MAIN = ("none", "state", "action", "warp", "mirror", "all")


def demonstrate(robot: RobotSpec, task: TaskSpec, count: int, seed: int) -> TrainingSet:
    """As many successful attempts of the scripted operator as asked for."""
    sim, episodes = make_sim_robot(robot, task, shapes=False), []
    start = 100 * seed
    while len(episodes) < count:
        operator = make_operator("scripted", robot, task)
        attempt = run_attempt(sim, robot, start, task.default_start, operator=operator)
        if attempt.outcome is Outcome.SUCCESS:
            state = np.array(attempt.states)
            episodes.append(
                TrainingEpisode(str(start), task.id, state, attempt.actions, np.ones(len(state), dtype=bool))
            )
        start += 1
    return TrainingSet(robot, task.id, tuple(episodes))


def train(data: TrainingSet, task: TaskSpec, spec: AugmentSpec, seed: int) -> tuple[ChunkPolicy, float]:
    """A policy as `xrollout train` makes it, from all episodes, and the time that it took, s."""
    plan = reconcile(TrainOptions(data=Path(), output=Path("policy.pt")), None)
    model = make_model(plan, data, data.episodes, seed)
    samples = windows(data.episodes, plan.horizon)
    options = TrainOptions(data=Path(), output=Path("policy.pt"), seed=seed)
    recipe = Recipe(
        epochs=math.ceil(STEPS / math.ceil(len(samples) / options.batch_size)),
        lr=options.lr,
        batch_size=options.batch_size,
        seed=seed,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup_steps,
        ema=options.ema,
        state_noise=0.0,
    )
    augment = make_augmenter(spec, data.robot, task.mirror or MIRROR_IN_X)
    begin = time.perf_counter()
    fitted = fit(model, Samples(samples, data.episodes, model, augment=augment), None, recipe, lambda _: None)
    spent_s = time.perf_counter() - begin
    robot = data.robot
    info = PolicyInfo(
        "benchmark",
        "",
        robot.id,
        task.id,
        plan.horizon,
        plan.execute,
        robot.state_dim,
        robot.action_dim,
        conditioning=fitted.model.conditioning,
        max_prefix=fitted.model.max_prefix,
    )
    return ChunkPolicy(fitted.model, info), spent_s


def attempts(robot: RobotSpec, task: TaskSpec, policy: ChunkPolicy, start: str, count: int) -> list[bool]:
    """Whether each attempt succeeded."""
    sim = make_sim_robot(robot, task, shapes=False)
    return [
        run_attempt(sim, robot, UNSEEN + number, start, policy=policy).outcome is Outcome.SUCCESS
        for number in range(count)
    ]


def measure(keep: Path, options: argparse.Namespace) -> list[dict[str, object]]:
    """One record for each task, seed and way, of those kept before and those that are missing."""
    found = [json.loads(line) for line in keep.read_text().splitlines()] if keep.exists() else []
    known = {(each["task"], each["demonstrations"], each["seed"], each["way"]) for each in found}
    robot = load_robot("metaworld_sawyer")
    for seed in range(options.seeds):
        for name in options.tasks:
            task = load_task(name)
            missing = [way for way in options.ways if (name, options.demonstrations, seed, way) not in known]
            data = demonstrate(robot, task, options.demonstrations, seed) if missing else None
            for way in missing:
                assert data is not None
                policy, spent_s = train(data, task, AugmentSpec.model_validate(WAYS[way]), seed)
                results = {start: attempts(robot, task, policy, start, options.attempts) for start in STARTS}
                record = {"task": name, "demonstrations": options.demonstrations, "seed": seed, "way": way}
                found.append({**record, "train_s": spent_s, **results})
                with keep.open("a") as file:
                    file.write(json.dumps(found[-1]) + "\n")
                rates = ", ".join(f"{start} {np.mean(results[start]):.2f}" for start in STARTS)
                print(f"{name}, seed {seed}, {way}: {rates}, trained in {spent_s:.0f} s", flush=True)
    return found


def row(found: list[dict[str, object]], task: str, way: str) -> list[str]:
    """Success of all trainings together, each one's, and what changed against `none`, attempt by attempt."""
    mine = {each["seed"]: each for each in found if each["task"] == task and each["way"] == way}
    base = {each["seed"]: each for each in found if each["task"] == task and each["way"] == "none"}
    cells = [task, way]
    for start in STARTS:
        results = {seed: np.array(each[start]) for seed, each in mine.items()}
        together = np.concatenate(list(results.values()))
        rate = success_rate(int(together.sum()), len(together))
        each = " ".join(f"{result.mean():.2f}" for result in results.values())
        cells += [f"{rate.rate:.2f} ({rate.low:.2f}–{rate.high:.2f})", each]
        won = sum(int((result & ~np.array(base[seed][start])).sum()) for seed, result in results.items())
        lost = sum(int((~result & np.array(base[seed][start])).sum()) for seed, result in results.items())
        cells.append("" if way == "none" else f"+{won} −{lost}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["pick_and_place", "push"])
    parser.add_argument("--demonstrations", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help="training seeds")
    parser.add_argument("--attempts", type=int, default=50, help="from each distribution of starts")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(MAIN))
    parser.add_argument("--keep", type=Path, default=Path("augmentation.jsonl"), help="results, taken up again")
    options = parser.parse_args()
    with one_thread():
        found = measure(options.keep, options)
    mine = [each for each in found if each["demonstrations"] == options.demonstrations]
    columns = ["task", "varied"]
    for start in STARTS:
        columns += [f"{start} (95 %)", "each training", "against none"]
    title = f"{options.demonstrations} demonstrations, {options.seeds} trainings, {options.attempts} attempts each"
    table(title, columns, [row(mine, task, way) for task in options.tasks for way in options.ways])


if __name__ == "__main__":
    main()
