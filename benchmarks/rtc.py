"""Inference delay with and without real-time chunking: success and smoothness in simulation, stepped, in one process.

python benchmarks/rtc.py [--attempts 40] [--demonstrations 25] [--horizon 48] [--execute 8]
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import yaml
from common import run_graph, scratch, table

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.modes import Source
from xrollout_ros.core.resources import load_robot, load_task, share_dir
from xrollout_ros.mining.statistics import success_rate

TASK = "pick_and_place"
DELAYS_MS = (0, 50, 100, 200, 300)
HORIZON, EXECUTE = 48, 8
"""600 ms at 80 Hz: twice the longest delay, so that a chunk still reaches when the next one comes."""


def trained(folder: Path, demonstrations: int, max_prefix: int, horizon: int, execute: int) -> Path:
    """A checkpoint trained on demonstrations that are recorded here if need be."""
    from xrollout_ros.learning.train import train
    from xrollout_ros.learning.train_options import TrainOptions

    data, task = folder / "demonstrations", folder / "demonstrated.yaml"
    if not data.exists():
        # They go on for a horizon after the success: rows beyond an episode's end teach a long chunk nothing.
        text = yaml.safe_load((share_dir() / "config" / "tasks" / f"{TASK}.yaml").read_text())
        text["success"]["hold_steps"] = horizon
        text["time_limit_s"] += 1.0
        task.write_text(yaml.safe_dump(text))
        run_graph("record", {"task": str(task), "episodes": str(demonstrations), "data": str(data)})
    options = TrainOptions.of(
        data=data, output=folder / f"prefix{max_prefix}.pt", horizon=horizon, execute=execute, max_prefix=max_prefix
    )
    return train(options, lambda _: None).output


def measure(model: Path, engine: str, delay_steps: int, attempts: int) -> list[str]:
    """Success with its interval, jerk and largest change of what was sent, share of the steps without an action."""
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.sim.loop import run_attempt
    from xrollout_ros.sim.robot import make_sim_robot

    task = load_task(TASK)
    robot = load_robot(task.robot)
    moves = [place for place, dim in enumerate(robot.actions) if dim.kind.value == "delta"]
    period_s = robot.policy_period_ns / 1e9
    policy, sim = load_policy(model), make_sim_robot(robot, task, shapes=False)
    successes, jerk, largest, held, steps = 0, [], [], 0, 0
    for seed in range(1000, 1000 + attempts):
        attempt = run_attempt(
            sim, robot, seed, task.default_start, policy=policy, engine=engine, delay_steps=delay_steps
        )
        successes += attempt.outcome is Outcome.SUCCESS
        # cm per step: the second difference of displacements is the third one of the way. m/s³.
        sent = attempt.actions[:, moves] / 100
        jerk.append(np.square(np.diff(sent, 2, axis=0) / period_s**3).sum(axis=1).mean())
        largest.append(np.abs(np.diff(sent, axis=0)).max() * 100)
        # Before the first chunk nothing can be due, with any engine.
        held += sum(command.source is Source.HOLD for command in attempt.commands[delay_steps:])
        steps += max(0, len(attempt.commands) - delay_steps)
    rate = success_rate(successes, attempts)
    return [
        f"{rate.rate:.2f} ({rate.low:.2f}–{rate.high:.2f})",
        f"{math.sqrt(np.mean(jerk)):.0f}",
        f"{np.mean(largest):.2f}",
        f"{100 * held / max(1, steps):.1f} %",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=40)
    parser.add_argument("--demonstrations", type=int, default=25)
    parser.add_argument("--horizon", type=int, default=HORIZON)
    parser.add_argument("--execute", type=int, default=EXECUTE)
    options = parser.parse_args()
    sizes = (options.horizon, options.execute)
    period_ms = load_robot(load_task(TASK).robot).policy_period_ns / 1e6
    rows = []
    with scratch() as folder:
        learned = trained(folder, options.demonstrations, options.horizon // 2, *sizes)
        without = trained(folder, options.demonstrations, 0, *sizes)
        ways = (
            ("sync", learned, "sync"),
            ("temporal ensembling", learned, "temporal_ensembling"),
            ("rtc, prefix as trained", learned, "rtc"),
            ("sync, trained without", without, "sync"),
            ("rtc, guided", without, "rtc"),
        )
        for delay_ms in DELAYS_MS:
            delay_steps = math.ceil(delay_ms / period_ms)
            for name, model, engine in ways:
                rows.append(
                    [f"{delay_ms} ({delay_steps})", name, *measure(model, engine, delay_steps, options.attempts)]
                )
                print(*rows[-1], sep=" | ", flush=True)
    title = (
        f"{TASK}, {options.demonstrations} demonstrations, horizon {options.horizon}, {options.attempts} attempts each"
    )
    columns = ["delay, ms (steps)", "engine", "success (95 %)", "rms jerk, m/s³", "largest change, cm/step", "held"]
    table(title, columns, rows)


if __name__ == "__main__":
    main()
