"""Inference delay with and without real-time chunking: success and smoothness in simulation, stepped, in process.

python benchmarks/rtc.py [--attempts 20] [--demonstrations 50] [--horizon 48] [--execute 16] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import math
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import yaml
from common import STEPS, scratch, table

from xrollout_ros.core.chunk import Command
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.modes import Source
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.resources import load_robot, load_task, share_dir
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.models import ChunkModel, build_model
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.training.fit import Recipe, fit
from xrollout_ros.learning.windows import windows
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.runtime.engines import ENGINES, Engine
from xrollout_ros.runtime.engines.plans import Rows
from xrollout_ros.runtime.processors import state_entries
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

SPEED = 0.2
"""Share of the simulated arm's largest speed. At full speed 300 ms are half of the task, and no plan reaches so far."""
TIME_LIMIT_S = 5.0
DELAYS_MS = (0, 50, 100, 200, 300)
BATCH = 64


class StopAndWait(Engine):
    """No real-time engine at all: half a chunk is played, then the arm holds until the next one is made."""

    name: ClassVar[str] = "stop_and_wait"

    @property
    def _execute(self) -> int:
        return self.policy.info.horizon // 2 + self.delay_steps

    def _combine(self, actions: Rows, start_ns: int) -> Rows:
        return actions[: self.policy.info.horizon // 2]


ENGINES[StopAndWait.name] = StopAndWait


@dataclass(frozen=True)
class Setting:
    """What all rows have in common."""

    folder: Path
    demonstrations: int
    horizon: int
    execute: int
    attempts: int
    delays_ms: tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """An engine, and how the policy behind it was trained."""

    name: str
    engine: str
    with_prefix: bool


WAYS = (
    Way("stop and wait", StopAndWait.name, True),
    Way("sync", "sync", True),
    Way("temporal ensembling", "temporal_ensembling", True),
    Way("rtc, prefix as trained", "rtc", True),
    Way("sync, trained without", "sync", False),
    Way("rtc, guided", "rtc", False),
)


def specs(folder: Path, hold_steps: int = 1, time_limit_s: float = TIME_LIMIT_S):
    """The shipped arm and task, slower: the limits of what displaces the hand are lower."""
    config = share_dir() / "config"
    robot = yaml.safe_load((config / "robots" / "metaworld_sawyer.yaml").read_text())
    task = yaml.safe_load((config / "tasks" / "pick_and_place.yaml").read_text())
    for dim in robot["actions"]:
        if dim["kind"] == "delta":
            dim["lower"], dim["upper"] = SPEED * dim["lower"], SPEED * dim["upper"]
    task["success"]["hold_steps"], task["time_limit_s"] = hold_steps, time_limit_s
    paths = []
    for name, document in (("robot", robot), ("task", task)):
        paths.append(folder / f"{name}-{os.getpid()}-{hold_steps}.yaml")
        paths[-1].write_text(yaml.safe_dump(document))
    return load_robot(str(paths[0])), load_task(str(paths[1]))


Demonstration = tuple[np.ndarray, np.ndarray]


def demonstrate(setting: Setting) -> list[Demonstration]:
    """States and actions of the scripted operator's successful attempts."""
    # They go on for a horizon after the success: rows beyond an episode's end teach a long chunk nothing.
    robot, task = specs(setting.folder, setting.horizon, TIME_LIMIT_S + 1)
    sim, done, took = make_sim_robot(robot, task, shapes=False), [], []
    for seed in range(setting.demonstrations):
        attempt = run_attempt(sim, robot, seed, task.default_start, operator=make_operator("scripted", robot, task))
        if attempt.outcome is Outcome.SUCCESS:
            done.append((np.array(attempt.states), attempt.actions))
            took.append(attempt.steps - setting.horizon)
    print(f"{len(done)} of {setting.demonstrations} demonstrations succeed, in {np.median(took):.0f} rows", flush=True)
    return done


def weights(setting: Setting, with_prefix: bool) -> Path:
    return setting.folder / f"{'with' if with_prefix else 'without'}-prefix.pt"


def fresh_model(setting: Setting, with_prefix: bool) -> ChunkModel:
    robot, _ = specs(setting.folder)
    torch.manual_seed(0)
    sizes = {"state_dim": robot.state_dim, "action_dim": robot.action_dim, "horizon": setting.horizon}
    return build_model("flow", sizes | {"max_prefix": setting.horizon // 2 if with_prefix else 0})


def train(setting: Setting, with_prefix: bool, demonstrations: list[Demonstration]) -> None:
    """Write the policy's weights, its normalization among them."""
    episodes = [
        TrainingEpisode(str(number), "", state, action, np.ones(len(state), bool))
        for number, (state, action) in enumerate(demonstrations)
    ]
    entries = state_entries(specs(setting.folder)[0])
    model, ones = fresh_model(setting, with_prefix), windows(episodes, 1)
    units = [entry.unit for entry in entries.values() for _ in range(entry.size)]
    model.normalizer.fit(torch.from_numpy(ones.state), torch.from_numpy(ones.actions[:, 0]), units)
    samples = windows(episodes, setting.horizon)
    recipe = Recipe(
        epochs=math.ceil(STEPS / math.ceil(len(samples) / BATCH)),
        lr=1e-3,
        batch_size=BATCH,
        seed=0,
        weight_decay=1e-4,
        warmup_steps=200,
        ema=0.999,
        state_noise=0.0,
    )
    fitted, _ = fit(model, samples, None, recipe, lambda _: None)
    torch.save(fitted.state_dict(), weights(setting, with_prefix))


def policy_of(setting: Setting, with_prefix: bool) -> ChunkPolicy:
    """The trained policy."""
    robot, task = specs(setting.folder)
    model = fresh_model(setting, with_prefix)
    model.load_state_dict(torch.load(weights(setting, with_prefix), weights_only=True))
    half = (model.normalizer.action_high - model.normalizer.action_low) / 2
    info = PolicyInfo(
        "benchmark",
        "",
        robot.id,
        task.id,
        setting.horizon,
        setting.execute,
        robot.state_dim,
        robot.action_dim,
        conditioning=model.conditioning,
        max_prefix=model.max_prefix,
        action_scale=tuple(half.tolist()),
    )
    return ChunkPolicy(model, info)


def measure(setting: Setting, way: Way, delay_steps: int) -> list[str]:
    """One row: success with its interval, the median duration of a success, jerk, changes, share of time held."""
    robot, task = specs(setting.folder)
    policy, sim = policy_of(setting, way.with_prefix), make_sim_robot(robot, task, shapes=False)
    moves = [place for place, dim in enumerate(robot.actions) if dim.kind.value == "delta"]
    period_s = robot.policy_period_ns / 1e9
    took, jerk, largest, held, steps = [], [], [], 0, 0
    changes: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(1000, 1000 + setting.attempts):
        attempt = run_attempt(
            sim, robot, seed, task.default_start, policy=policy, engine=way.engine, delay_steps=delay_steps
        )
        if attempt.outcome is Outcome.SUCCESS:
            took.append(attempt.steps * period_s)
        # Before the first chunk nothing can be due, with any engine.
        commands, sent = attempt.commands[delay_steps:], attempt.actions[delay_steps:, moves]
        change = np.linalg.norm(np.diff(sent, axis=0), axis=1)
        for size, before, after in zip(change, commands, commands[1:], strict=False):
            if before.source is after.source is Source.POLICY:
                changes[is_splice(before, after)].append(size)
        # cm per step: the second difference of displacements is the third one of the way. m/s³.
        jerk.append(np.square(np.diff(sent / 100, 2, axis=0) / period_s**3).sum(axis=1).mean())
        largest.append(np.abs(np.diff(sent, axis=0)).max())
        held += sum(command.source is Source.HOLD for command in commands)
        steps += len(commands)
    rate = success_rate(len(took), setting.attempts)
    return [
        f"{rate.rate:.2f} ({rate.low:.2f}–{rate.high:.2f})",
        f"{np.median(took):.2f}" if took else "–",
        f"{math.sqrt(np.mean(jerk)):.0f}",
        f"{np.mean(largest):.2f}",
        f"{np.mean(changes[True]):.3f}" if changes[True] else "–",
        f"{np.mean(changes[False]):.3f}" if changes[False] else "–",
        f"{100 * held / max(1, steps):.0f} %",
    ]


def is_splice(before: Command, after: Command) -> bool:
    """Whether the one chunk is left for the other between these two."""
    return before.chunk_sequence != after.chunk_sequence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=20)
    parser.add_argument("--demonstrations", type=int, default=50)
    parser.add_argument("--horizon", type=int, default=48)
    parser.add_argument("--execute", type=int, default=16)
    parser.add_argument("--delays", type=int, nargs="+", default=DELAYS_MS, help="ms")
    parser.add_argument("--keep", type=Path, help="folder whose policies are used, or are kept in")
    options = parser.parse_args()
    with scratch() as temporary:
        folder = options.keep or temporary
        folder.mkdir(parents=True, exist_ok=True)
        sizes = (options.demonstrations, options.horizon, options.execute, options.attempts)
        setting = Setting(folder, *sizes, tuple(options.delays))
        rows = measured(setting)
    title = (
        f"pick_and_place at {SPEED:g} of the speed, {options.demonstrations} demonstrations, horizon "
        f"{options.horizon}, execute {options.execute}, {options.attempts} attempts each"
    )
    columns = [
        "delay, ms (rows)",
        "engine",
        "success (95 %)",
        "duration, s",
        "rms jerk, m/s³",
        "largest change, cm/step",
        "mean change at a splice",
        "elsewhere",
        "held",
    ]
    table(title, columns, rows)


def measured(setting: Setting) -> list[list[str]]:
    """All rows; each is computed by one process, on one core."""
    missing = [with_prefix for with_prefix in (True, False) if not weights(setting, with_prefix).exists()]
    demonstrations = demonstrate(setting) if missing else []
    period_ms = specs(setting.folder)[0].policy_period_ns / 1e6
    rows = []
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        for trained in [pool.submit(train, setting, with_prefix, demonstrations) for with_prefix in missing]:
            trained.result()
        # Without a delay both engines are the same, bit for bit, however the policy was trained.
        cases = [(ms, way) for ms in setting.delays_ms for way in WAYS if ms or way.engine != "rtc"]
        delays = [math.ceil(ms / period_ms) for ms, _ in cases]
        found = [pool.submit(measure, setting, way, delay) for delay, (_, way) in zip(delays, cases, strict=True)]
        for (ms, way), delay, row in zip(cases, delays, found, strict=True):
            rows.append([f"{ms} ({delay})", way.name, *row.result()])
            print(*rows[-1], sep=" | ", flush=True)
    return rows


if __name__ == "__main__":
    main()
