"""The tagger's rules against the simulator's private log: three tasks, six faults and none, starts that tuned nothing.

python benchmarks/tagging.py [--seeds 5000 5032] [--tasks pick_and_place push peg_insert] [--show]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
from common import table
from tagging_attempts import TASKS, Case, attempts
from tagging_truth import truth_of

from xrollout_ros.mining.rules import judge
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, FailureMode

AIM = 0.9
NONE = "none"
BOOTSTRAPS = 1000
Pair = tuple[str, str]
"""What it was, and the tag."""


def tag_of(case: Case) -> str:
    """The mode that counts."""
    judgements = judge(case.episode).judgements
    # A narrow success is no event of the simulator, so there is no truth to compare it with.
    modes = [each.mode for each in judgements if each.mode != FailureMode.NEAR_MISS]
    return modes[0] if modes else NONE


def f1(counts: Counter[Pair], mode: str) -> float:
    """Of one mode; 0 where it was never both there and found."""
    right = counts[mode, mode]
    wrong = sum(count for (truth, tag), count in counts.items() if (truth == mode) is not (tag == mode))
    return 2 * right / (2 * right + wrong) if right else 0.0


def seen(counts: Counter[Pair]) -> list[str]:
    """Modes that there were, or that were told."""
    names = {name for pair in counts for name in pair}
    return [mode.value for mode in FailureMode if mode.value in names]


def macro_f1(counts: Counter[Pair]) -> float:
    """Mean over the failure modes."""
    failures = [mode for mode in seen(counts) if mode not in IN_SUCCESSES]
    return sum(f1(counts, mode) for mode in failures) / max(1, len(failures))


def interval(pairs: list[Pair]) -> str:
    """Of the macro-F1, 95 %, by bootstrap of the attempts."""
    random = np.random.default_rng(0)
    got = []
    for _ in range(BOOTSTRAPS):
        drawn = random.integers(0, len(pairs), len(pairs))
        got.append(macro_f1(Counter(pairs[index] for index in drawn)))
    low, high = np.quantile(got, [0.025, 0.975])
    return f"{low:.3f} to {high:.3f}"


def matrix(title: str, pairs: list[Pair]) -> None:
    """Print the confusion matrix."""
    counts = Counter(pairs)
    labels = [*seen(counts), NONE]
    rows: list[list[object]] = []
    for truth in labels:
        total = sum(counts[truth, tag] for tag in labels)
        score = "–" if truth == NONE else f"{f1(counts, truth):.2f}"
        rows.append([truth, *(counts[truth, tag] or "·" for tag in labels), total, score])
    table(f"{title}; rows: the simulator, columns: the tag", ["", *labels, "all", "F1"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(5000, 5032), help="from, to (without)")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--show", action="store_true", help="print every attempt that was tagged wrongly")
    options = parser.parse_args()
    pairs: list[Pair] = []
    by: dict[str, list[Pair]] = {}
    spent_s = 0.0
    for case in attempts(range(*options.seeds), tuple(options.tasks), own=True):
        known = truth_of(case.log)
        truth = known.value if known else NONE
        begun_s = time.perf_counter()
        tag = tag_of(case)
        spent_s += time.perf_counter() - begun_s
        pairs.append((truth, tag))
        by.setdefault(case.episode.meta.task, []).append((truth, tag))
        by.setdefault("the trained policy" if case.sight == "trained" else "the expert", []).append((truth, tag))
        if options.show and truth != tag:
            meta = case.episode.meta
            events = [(event.step, event.what, *event.facts.values()) for event in case.log.events]
            print(f"{meta.task} {case.fault} {case.sight} seed {case.seed}: {truth}, tagged {tag}; {events}")
    matrix(f"{len(pairs)} attempts, seeds {options.seeds[0]} to {options.seeds[1] - 1}", pairs)
    for task in options.tasks:
        matrix(task, by[task])
    summary = [["all", len(pairs), f"{macro_f1(Counter(pairs)):.3f}", interval(pairs), _right(pairs)]]
    summary += [
        [name, len(own), f"{macro_f1(Counter(own)):.3f}", interval(own), _right(own)] for name, own in by.items()
    ]
    title = f"Aim of the macro-F1 {AIM:g}; {1e3 * spent_s / len(pairs):.2f} ms to judge an attempt"
    table(title, ["", "attempts", "macro-F1", "95 %", "right"], summary)


def _right(pairs: list[Pair]) -> str:
    return f"{sum(truth == tag for truth, tag in pairs) / len(pairs):.1%}"


if __name__ == "__main__":
    main()
