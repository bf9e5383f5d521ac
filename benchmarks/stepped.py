"""The stepped drive: steps per second in the graph and in one process, and how long a graph takes to its first command.

python benchmarks/stepped.py [--runs 3] [--episodes 10]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from common import random_policy, run_graph, scratch, table

from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.store import find_episodes

TASK = "pick_and_place"


def in_graph(folder: Path, model: Path, episodes: int) -> tuple[float, float]:
    """Steps per second within the attempts, and seconds from the start to the first chunk sent."""
    begun_ns = time.time_ns()
    run_graph("deploy", {"model": str(model), "episodes": str(episodes), "data": str(folder)})
    steps, spent_ns, first_ns = 0, 0, []
    for entry in find_episodes(folder):
        chunks = [found.message for found in open_bag(entry.path).messages(["/xrollout/chunk"])]
        times = [stamp_ns(chunk.observed) for chunk in chunks]
        steps += len(times) - 1
        spent_ns += times[-1] - times[0]
        first_ns.append(stamp_ns(chunks[0].sent))
    return steps / spent_ns * 1e9, (min(first_ns) - begun_ns) / 1e9


def in_process(model: Path, episodes: int) -> float:
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.sim.loop import run_attempt
    from xrollout_ros.sim.robot import make_sim_robot

    task = load_task(TASK)
    robot = load_robot(task.robot)
    sim, policy = make_sim_robot(robot, task, shapes=False), load_policy(model)
    run_attempt(sim, robot, 0, task.default_start, policy=policy)
    begun_s, steps = time.perf_counter(), 0
    for seed in range(1000, 1000 + episodes):
        steps += run_attempt(sim, robot, seed, task.default_start, policy=policy).steps
    return steps / (time.perf_counter() - begun_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=10)
    options = parser.parse_args()
    graph, start, process = [], [], []
    with scratch() as folder:
        model = random_policy(folder / "checkpoint.pt", load_task(TASK).robot, TASK)
        # In turn, so that both see the same machine.
        for run in range(options.runs):
            rate, first_s = in_graph(folder / f"data{run}", model, options.episodes)
            graph.append(rate)
            start.append(first_s)
            process.append(in_process(model, options.episodes))
    rows = [
        ["stepped, in the graph, recording: steps/s", *_spread(graph), "–"],
        ["in one process: steps/s", *_spread(process), "–"],
        ["start of the graph to the first chunk, s", *_spread(start), "≤ 8"],
    ]
    title = f"{TASK}, {options.runs} runs of {options.episodes} attempts each, in turn"
    table(title, ["", "min", "median", "max", "aim"], rows)


def _spread(values: list[float]) -> list[str]:
    digits = 0 if min(values) > 20 else 1
    return [f"{value:.{digits}f}" for value in (min(values), float(np.median(values)), max(values))]


if __name__ == "__main__":
    main()
