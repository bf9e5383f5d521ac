"""Clusters of failures against the fault that was injected: attempts of one task, described up to their failure.

python benchmarks/clusters.py [--seeds 600 612] [--task pick_and_place]
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
from common import table
from sklearn.metrics import adjusted_rand_score
from tagging_attempts import attempts

from xrollout_ros.core.episode import Outcome
from xrollout_ros.mining.clusters import cluster
from xrollout_ros.mining.descriptors import descriptors
from xrollout_ros.mining.rules import judge

AIM = 0.75


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(600, 612), help="from, to (without)")
    parser.add_argument("--task", default="pick_and_place")
    options = parser.parse_args()
    cases = [
        case
        for case in attempts(range(*options.seeds), (options.task,))
        if case.episode.meta.outcome is not Outcome.SUCCESS and case.fault not in ("", "wide")
    ]
    found = [judge(case.episode).judgements for case in cases]
    modes = [each[0].mode if each else "" for each in found]
    moments = [each[0].moment_s if each else None for each in found]
    faults = np.array([case.fault for case in cases])
    table_of = descriptors([case.episode for case in cases], moments)
    rows: list[list[object]] = []
    every = np.full(len(cases), -1)
    for number, mode in enumerate(sorted(set(modes))):
        inside = np.flatnonzero(np.array(modes) == mode)
        result = cluster(table_of.values[inside])
        labels = result.labels(len(inside))
        # What is in no cluster of its mode is still known by its mode.
        every[inside] = 100 * number + labels
        told = labels >= 0
        score = adjusted_rand_score(faults[inside][told], labels[told]) if told.sum() > 1 else float("nan")
        kinds = ", ".join(f"{fault} {count}" for fault, count in Counter(faults[inside]).most_common())
        rows.append([mode, len(inside), kinds, len(result.clusters), len(result.unclustered), f"{score:.2f}"])
    plain = cluster(table_of.values).labels(len(cases))
    rows.append(["rules, clusters inside", len(cases), "", "", "", f"{adjusted_rand_score(faults, every):.2f}"])
    rows.append(["clusters alone", len(cases), "", plain.max() + 1, (plain < 0).sum(), f"{_told(faults, plain):.2f}"])
    title = (
        f"{options.task}, seeds {options.seeds[0]} to {options.seeds[1] - 1}; aim of the adjusted Rand index {AIM:g}"
    )
    table(title, ["mode", "failures", "faults", "clusters", "unclustered", "ARI"], rows)


def _told(faults: np.ndarray, labels: np.ndarray) -> float:
    told = labels >= 0
    return float(adjusted_rand_score(faults[told], labels[told])) if told.sum() > 1 else float("nan")


if __name__ == "__main__":
    main()
