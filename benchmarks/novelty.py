"""How well novelty tells failing attempts from others, and its cost; from a folder with demonstrations and attempts.

python benchmarks/novelty.py demo/<time>/raw_rollouts […]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from common import table

from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.runtime.novelty import KINDS, Novelty, Steps
from xrollout_ros.runtime.novelty_fit import fit

DRAWS = 1000


def load(data: Path) -> tuple[str, list[Steps], list[Steps], list[Steps]]:
    """Task, demonstrations, attempts that succeeded and that did not."""
    demonstrations, good, bad, task = [], [], [], ""
    for entry in find_episodes(data):
        episode = read_episode(entry.path)
        steps, task = Steps.of(episode.state, episode.action), episode.meta.task
        if episode.meta.kind is EpisodeKind.DEMONSTRATION:
            demonstrations.append(steps)
        elif episode.meta.kind.counts:
            (good if episode.meta.outcome is Outcome.SUCCESS else bad).append(steps)
    return task, demonstrations, good, bad


def largest(model: Novelty, attempts: list[Steps], rows: int) -> np.ndarray:
    """Each attempt's largest score, over as many rows for all: failures last longer, which must not tell."""
    return np.array([model.scores(steps)[:rows].max() for steps in attempts])


def auc(good: np.ndarray, bad: np.ndarray) -> float:
    """Share of pairs in which the failure scores higher."""
    return float(np.mean((good[:, None] < bad) + 0.5 * (good[:, None] == bad)))


def interval(good: np.ndarray, bad: np.ndarray) -> str:
    """95 %, by drawing attempts with replacement."""
    random = np.random.default_rng(0)
    drawn = [auc(random.choice(good, len(good)), random.choice(bad, len(bad))) for _ in range(DRAWS)]
    return "{:.2f}–{:.2f}".format(*np.quantile(drawn, [0.025, 0.975]))


def spent_us(model: Novelty, steps: Steps) -> float:
    """Median time for one row, µs."""
    row = Steps(steps.state[:1], steps.action[:1], steps.following[:1])
    spent = []
    for _ in range(500):
        begin = time.perf_counter()
        model.scores(row)
        spent.append(time.perf_counter() - begin)
    return 1e6 * float(np.median(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+")
    rows = []
    for data in parser.parse_args().data:
        task, demonstrations, good, bad = load(data)
        if not good or not bad:
            rows.append([task, f"{len(good)} / {len(bad)}", *["–"] * 5])
            continue
        length = int(np.median([len(steps) for steps in good]))
        for kind in KINDS:
            begin = time.perf_counter()
            model = fit(kind, demonstrations)
            took = time.perf_counter() - begin
            one, other = largest(model, good, length), largest(model, bad, length)
            found = f"{auc(one, other):.2f} ({interval(one, other)})"
            raised = f"{np.mean(one > 1):.2f} / {np.mean(other > 1):.2f}"
            cost = [f"{took:.1f} s", f"{spent_us(model, good[0]):.0f} µs"]
            rows.append([task, f"{len(good)} / {len(bad)}", kind, found, raised, *cost])
    table(
        "Novelty, fitted to the demonstrations",
        ["task", "succeeded / not", "kind", "AUC (95 %)", "above 1", "fit", "one score"],
        rows,
    )


if __name__ == "__main__":
    main()
