"""The architectures side by side: training time, latency, and success from few demonstrations; in process.

python benchmarks/policies.py [--demonstrations 10 25] [--seeds 3] [--attempts 50] [--policies flow …] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from common import STEPS, table

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.threads import one_thread
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.models import ARCHITECTURES, ChunkModel, build_model
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.training.fit import Recipe, fit
from xrollout_ros.learning.training.options import DEFAULT_HORIZON
from xrollout_ros.learning.windows import windows
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.runtime.processors import state_entries
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

BATCH, HORIZON, EXECUTE = 64, DEFAULT_HORIZON, DEFAULT_HORIZON // 2
DEMONSTRATION_SEEDS, ATTEMPT_SEEDS = 900_000, 1000
PREDICTIONS = 500


@dataclass(frozen=True)
class Cell:
    """One training and its attempts."""

    policy: str
    demonstrations: int
    seed: int
    train_s: float
    """Time of the processor."""
    latency_ms: float
    """Median of a prediction, likewise."""
    parameters: int
    successes: int
    attempts: int


def demonstrate(task_id: str, count: int, seed: int) -> list[TrainingEpisode]:
    """The first ``count`` successful attempts of the scripted operator; other ones for each training seed."""
    task = load_task(task_id)
    robot = load_robot(task.robot)
    sim, done, start = make_sim_robot(robot, task, shapes=False), [], DEMONSTRATION_SEEDS + 1000 * seed
    for number in range(start, start + 10 * count):
        attempt = run_attempt(sim, robot, number, task.default_start, operator=make_operator("scripted", robot, task))
        if attempt.outcome is Outcome.SUCCESS:
            state = np.array(attempt.states)
            done.append(TrainingEpisode(str(number), task.id, state, attempt.actions, np.ones(len(state), bool)))
        if len(done) == count:
            break
    sim.close()
    return done


def train(name: str, task_id: str, episodes: list[TrainingEpisode], seed: int) -> tuple[ChunkModel, float]:
    """As `xrollout train` does by default, and how long that takes, s of the processor."""
    robot = load_robot(load_task(task_id).robot)
    sizes = {"state_dim": robot.state_dim, "action_dim": robot.action_dim, "horizon": HORIZON}
    torch.manual_seed(seed)
    model = build_model(name, sizes | ({"max_prefix": HORIZON // 2} if name == "flow" else {}))
    ones, samples = windows(episodes, 1), windows(episodes, HORIZON)
    units = [entry.unit for entry in state_entries(robot).values() for _ in range(entry.size)]
    model.normalizer.fit(torch.from_numpy(ones.state), torch.from_numpy(ones.actions[:, 0]), units)
    recipe = Recipe(
        epochs=math.ceil(STEPS / math.ceil(len(samples) / BATCH)),
        lr=1e-3, batch_size=BATCH, seed=seed, weight_decay=1e-4, warmup_steps=200, ema=0.999, state_noise=0.0,
    )  # fmt: skip
    begin = time.process_time()
    fitted, _ = fit(model, samples, None, recipe, lambda _: None)
    return fitted, time.process_time() - begin


def measure(name: str, task_id: str, count: int, seed: int, attempts: int) -> Cell:
    """Train, time and let it try; all policies try from the same starts."""
    model, train_s = train(name, task_id, demonstrate(task_id, count, seed), seed)
    task = load_task(task_id)
    robot = load_robot(task.robot)
    info = PolicyInfo(
        name, "", robot.id, task.id, HORIZON, EXECUTE, robot.state_dim, robot.action_dim,
        conditioning=model.conditioning, max_prefix=model.max_prefix,
    )  # fmt: skip
    policy, spent = ChunkPolicy(model, info), []
    for _ in range(PREDICTIONS):
        begin = time.process_time()
        policy.predict(np.zeros(robot.state_dim))
        spent.append(time.process_time() - begin)
    sim = make_sim_robot(robot, task, shapes=False)
    tried = [
        run_attempt(sim, robot, number, task.default_start, policy=policy).outcome is Outcome.SUCCESS
        for number in range(ATTEMPT_SEEDS, ATTEMPT_SEEDS + attempts)
    ]
    sim.close()
    size = sum(each.numel() for each in model.parameters())
    return Cell(name, count, seed, train_s, 1e3 * float(np.median(spent)), size, sum(tried), attempts)


def kept(folder: Path, name: str, task_id: str, count: int, seed: int, attempts: int) -> Cell:
    """As measured before, or measured now."""
    path = folder / f"{task_id}-{name}-{count}-{seed}-{attempts}.json"
    if not path.exists():
        cell = measure(name, task_id, count, seed, attempts)
        path.write_text(json.dumps(asdict(cell)))
        print(cell, flush=True)
    return Cell(**json.loads(path.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="pick_and_place")
    parser.add_argument("--policies", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    parser.add_argument("--demonstrations", type=int, nargs="+", default=[10, 25])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="folder whose results are used, and where they are kept")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary, one_thread():
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in given.policies:
            groups = [
                [kept(folder, name, given.task, count, seed, given.attempts) for seed in range(given.seeds)]
                for count in given.demonstrations
            ]
            cells = [cell for group in groups for cell in group]
            rates = [
                success_rate(sum(cell.successes for cell in group), given.seeds * given.attempts) for group in groups
            ]
            times, latencies = [cell.train_s for cell in cells], [cell.latency_ms for cell in cells]
            rows.append([
                name,
                f"{cells[0].parameters / 1000:.0f} k",
                f"{min(times):.0f}–{max(times):.0f}",
                f"{min(latencies):.2f}–{max(latencies):.2f}",
                *(
                    f"{rate.rate:.2f} ({rate.low:.2f}–{rate.high:.2f}): "
                    + ", ".join(f"{cell.successes / cell.attempts:.2f}" for cell in group)
                    for rate, group in zip(rates, groups, strict=True)
                ),
            ])  # fmt: skip
    columns = ["policy", "weights", "training, s", "latency, ms"]
    columns += [f"{count} demonstrations" for count in given.demonstrations]
    title = (
        f"{given.task}, horizon {HORIZON}, execute {EXECUTE}, {STEPS} steps of {BATCH}; "
        f"{given.seeds} trainings of {given.attempts} attempts each: success of all (95 %), of each; "
        "times are of the processor, one thread"
    )
    table(title, columns, rows)


if __name__ == "__main__":
    main()
