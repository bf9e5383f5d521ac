"""Clusters of failures against the fault that was injected, and how often a mode of one kind is split for nothing.

python benchmarks/clusters.py [--task pick_and_place] [--first 10000] [--repeats 4] [--starts 48] [--draws 100]
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from common import table
from sklearn.metrics import adjusted_rand_score
from tagging_attempts import SIGHTS, Case, Sight, attempts

from xrollout_ros.core.episode import Outcome
from xrollout_ros.mining.clusters import cluster
from xrollout_ros.mining.descriptors import Descriptors, descriptors
from xrollout_ros.mining.rules import judge
from xrollout_ros.sim.faults import FAULT_NAMES

AIM = 0.75
DRAWN, FEWEST = 40, 50
"""Failures of one draw of an unmixed mode, and how many there must be to draw from."""
UNMIXED: tuple[tuple[str, Sight], ...] = (
    ("gripper_slip", "committed"),
    ("wrong_goal", "watchful"),
    ("object_bump", "forgetful"),
    ("action_noise", "forgetful"),
    ("action_delay", "committed"),
)


@dataclass(frozen=True)
class Failures:
    """Described up to their failure."""

    table: Descriptors
    modes: np.ndarray
    faults: np.ndarray

    def clusters(self, rows: np.ndarray) -> np.ndarray:
        """Number of the cluster of each of these rows, -1: none."""
        found = cluster(self.table.values[rows], resolution=self.table.resolution)
        return found.labels(len(rows))


def failures_of(cases: list[Case]) -> Failures:
    """Those that failed, judged and described as a user's would be."""
    cases = [case for case in cases if case.episode.meta.outcome is not Outcome.SUCCESS]
    found = [judge(case.episode).judgements for case in cases]
    modes = [each[0].mode if each else "" for each in found]
    moments = [each[0].moment_s if each else None for each in found]
    table_of = descriptors([case.episode for case in cases], moments)
    return Failures(table_of, np.array(modes), np.array([case.fault for case in cases]))


def measure(failures: Failures, modes: dict[str, list[tuple[int, str, int, int, float]]]) -> dict[str, float]:
    """Figures of one repeat; what each mode held goes to ``modes``."""
    faults = failures.faults
    every, scores, sizes = np.full(len(faults), -1), [], []
    for number, mode in enumerate(sorted(set(failures.modes))):
        rows = np.flatnonzero(failures.modes == mode)
        labels = failures.clusters(rows)
        # What is in no cluster of its mode is still known by its mode.
        every[rows] = 1000 * number + labels
        counts = Counter(faults[rows])
        score = float("nan")
        if len(counts) > 1:
            score = adjusted_rand_score(faults[rows], labels)
            scores.append(score)
            sizes.append(len(rows))
        kinds = ", ".join(f"{fault} {count}" for fault, count in counts.most_common())
        modes[mode].append((len(rows), kinds, labels.max() + 1, int((labels < 0).sum()), score))
    alone = failures.clusters(np.arange(len(faults)))
    told = alone >= 0
    return {
        "failures": float(len(faults)),
        "all failures, those in a cluster": float(adjusted_rand_score(faults[told], alone[told])),
        "all failures, unclustered ones as one group": float(adjusted_rand_score(faults, alone)),
        "share of all failures in no cluster": float((~told).mean()),
        "modes alone": float(adjusted_rand_score(faults, failures.modes)),
        "modes and clusters inside, unclustered ones of a mode as one group": float(adjusted_rand_score(faults, every)),
        "the best that clusters inside modes could do": float(
            adjusted_rand_score(faults, [f"{mode}/{fault}" for mode, fault in zip(failures.modes, faults, strict=True)])
        ),
        "inside modes of several faults, mean by size": float(np.average(scores, weights=sizes)) if sizes else np.nan,
    }


def invented(case_of: Callable[[str, Sight], list[Case]], draws: int) -> list[list[object]]:
    """How often draws of one fault, one manner and one mode are split; a row for each such group."""
    random, rows = np.random.default_rng(0), []
    for fault, sight in UNMIXED:
        failures = failures_of(case_of(fault, sight))
        for mode, count in Counter(failures.modes).most_common():
            if count < FEWEST:
                continue
            own = np.flatnonzero(failures.modes == mode)
            split = sum(failures.clusters(random.choice(own, DRAWN, replace=False)).max() >= 0 for _ in range(draws))
            rows.append([f"{fault}, {sight}: {mode}", count, draws, split])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="pick_and_place")
    parser.add_argument("--first", type=int, default=10_000, help="seed; 0 to 2000 tuned the descriptors")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--starts", type=int, default=48, help="of each fault in a repeat")
    parser.add_argument("--unmixed", type=int, default=100, help="starts of each unmixed kind; 0: none")
    parser.add_argument("--draws", type=int, default=20, help="of each unmixed kind")
    options = parser.parse_args()
    modes: dict[str, list[tuple[int, str, int, int, float]]] = defaultdict(list)
    figures: dict[str, list[float]] = defaultdict(list)
    for repeat in range(options.repeats):
        first = options.first + repeat * options.starts
        seeds = range(first, first + options.starts)
        cases = list(attempts(seeds, (options.task,), faults=FAULT_NAMES, sights=SIGHTS, own=True))
        for name, value in measure(failures_of(cases), modes).items():
            figures[name].append(value)
    seeds_said = f"{options.repeats} times {options.starts} starts of each fault, seeds from {options.first}"
    rows: list[list[object]] = []
    for mode, parts in sorted(modes.items(), key=lambda each: -sum(part[0] for part in each[1])):
        rows += [[mode, *part[:4], "–" if np.isnan(part[4]) else f"{part[4]:.2f}"] for part in parts]
    table(f"{options.task}, {seeds_said}", ["mode", "failures", "faults", "clusters", "unclustered", "ARI"], rows)
    table(
        f"Adjusted Rand index against the fault; aim {AIM:g}",
        ["", "mean", "least", "most"],
        [[name, *(f"{each:.2f}" for each in (np.mean(got), min(got), max(got)))] for name, got in figures.items()],
    )
    if options.unmixed:
        seeds = range(2 * options.first, 2 * options.first + options.unmixed)

        def cases_of(fault: str, sight: Sight) -> list[Case]:
            return list(attempts(seeds, (options.task,), faults=(fault,), sights=(sight,)))

        split = invented(cases_of, options.draws)
        split.append(["all", "", sum(row[2] for row in split), sum(row[3] for row in split)])  # type: ignore[misc]
        table(f"Draws of {DRAWN} failures of one kind", ["kind", "failures", "draws", "with clusters"], split)


if __name__ == "__main__":
    main()
