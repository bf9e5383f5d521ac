"""The tagger's rules against the simulator's private log: three tasks, six faults and none, seeds that tuned nothing.

python benchmarks/tagging.py [--seeds 100 103] [--tasks pick_and_place push peg_insert] [--show]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

from common import table
from tagging_attempts import TASKS, Case, attempts
from tagging_truth import truth_of

from xrollout_ros.mining.rules import judge
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, FailureMode

AIM = 0.9
NONE = "none"


def tag_of(case: Case) -> str:
    """The mode that counts."""
    judgements = judge(case.episode).judgements
    # A narrow success is no event of the simulator, so there is no truth to compare it with.
    modes = [each.mode for each in judgements if each.mode != FailureMode.NEAR_MISS]
    return modes[0] if modes else NONE


def f1(counts: Counter[tuple[str, str]], mode: str) -> float:
    """Of one mode; 0 where it was never both there and found."""
    right = counts[mode, mode]
    wrong = sum(count for (truth, tag), count in counts.items() if (truth == mode) is not (tag == mode))
    return 2 * right / (2 * right + wrong) if right else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(100, 103), help="from, to (without)")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--show", action="store_true", help="print every attempt that was tagged wrongly")
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    by_task: dict[str, Counter[tuple[str, str]]] = {}
    spent_s, made = 0.0, 0
    for case in attempts(range(*options.seeds), tuple(options.tasks)):
        known = truth_of(case.log)
        truth = known.value if known else NONE
        begun_s = time.perf_counter()
        tag = tag_of(case)
        spent_s += time.perf_counter() - begun_s
        made += 1
        counts[truth, tag] += 1
        by_task.setdefault(case.episode.meta.task, Counter())[truth, tag] += 1
        if options.show and truth != tag:
            meta = case.episode.meta
            events = [(event.step, event.what, *event.facts.values()) for event in case.log.events]
            print(f"{meta.task} {case.fault} {case.sight} seed {case.seed}: {truth}, tagged {tag}; {events}")
    seen = {truth for truth, _ in counts} | {tag for _, tag in counts}
    modes = [mode.value for mode in FailureMode if mode.value in seen]
    failures = [mode for mode in modes if mode not in IN_SUCCESSES]
    macro = sum(f1(counts, mode) for mode in failures) / max(1, len(failures))
    title = (
        f"{made} attempts, seeds {options.seeds[0]} to {options.seeds[1] - 1}; rows: the simulator, columns: the tag"
    )
    labels = [*modes, NONE]
    rows: list[list[object]] = []
    for truth in labels:
        total = sum(counts[truth, tag] for tag in labels)
        score = "–" if truth == NONE else f"{f1(counts, truth):.2f}"
        rows.append([truth, *(counts[truth, tag] or "·" for tag in labels), total, score])
    table(title, ["", *labels, "all", "F1"], rows)
    summary = [
        [f"macro-F1 over {len(failures)} failure modes", f"{macro:.3f}", f"≥ {AIM:g}"],
        ["right", f"{sum(counts[label, label] for label in labels) / made:.1%}", "–"],
        ["time to judge an attempt, ms", f"{1e3 * spent_s / made:.2f}", "–"],
    ]
    for task, own in by_task.items():
        here = [mode for mode in failures if any(mode in pair for pair in own)]
        score = sum(f1(own, mode) for mode in here) / max(1, len(here))
        summary.append([f"macro-F1 on {task} ({len(here)} modes)", f"{score:.3f}", "–"])
    table("", ["", "figure", "aim"], summary)


if __name__ == "__main__":
    main()
