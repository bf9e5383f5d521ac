"""Detectors of failure on three tasks: AUC, what calibrated alarms find and when, and what they cost.

python benchmarks/detectors.py [--seeds 2 3 4] [--attempts 70] [--faulty 10] [--kept FOLDER] [--cost]

A policy is trained from few demonstrations, several times. Its successes without a fault are split: on one part its
alarm is calibrated as `xrollout calibrate` does, the other says how often that is raised in vain. Each detector alone
is calibrated in the same way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from common import table
from detectors_rollouts import DEMONSTRATIONS, DROPOUT_SHARE, Batch, Rollout, batch
from tagging_policy import demonstrations, train_policy

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.ports import Policy
from xrollout_ros.core.wilson import wilson
from xrollout_ros.learning.calibration.conformal import conformal, halves, smoothed, usual
from xrollout_ros.learning.scores import DROPOUT, FITTED

ALPHA = 0.1
DRAWS = 1000
SPLITS = 20
COUNTED = 600
COMBINED, TIME, EITHER = "combined", "time alone", "combined or time"
COMPANIONS = ("ensemble_variance", DROPOUT)
Alarm = Callable[[Rollout], Array]
"""(N,) after each chunk; above 1 is an alarm."""


@dataclass
class Tally:
    """What one detector did, over all trained policies of a task."""

    good: list[float] = field(default_factory=list)
    """Largest value in the window, of successes without a fault that calibrated nothing."""
    bad: list[float] = field(default_factory=list)
    natural: list[float] = field(default_factory=list)
    """The same of failures, and of those without a fault."""
    raised: list[bool] = field(default_factory=list)
    """In these successes."""
    raised_with_fault: list[bool] = field(default_factory=list)
    """In successes in spite of a fault, which are not exchangeable with the others."""
    found: list[bool] = field(default_factory=list)
    """In failures."""
    in_window: list[bool] = field(default_factory=list)
    lead_s: list[float] = field(default_factory=list)
    before_s: list[float] = field(default_factory=list)
    sooner_s: list[float] = field(default_factory=list)
    """Than the time limit alone, of failures that it finds."""
    achieved: list[float] = field(default_factory=list)
    """Share of false alarms of each of several splits."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--tasks", nargs="+", default=list(DEMONSTRATIONS))
    parser.add_argument("--attempts", type=int, default=70, help="from each start")
    parser.add_argument("--faulty", type=int, default=10, help="with each fault")
    parser.add_argument("--kept", type=Path, default=Path("detectors_rollouts"), help="rollouts of earlier runs")
    parser.add_argument("--cost", action="store_true", help="measure only what the default set costs")
    given = parser.parse_args()
    if not given.cost:
        for task in given.tasks:
            report(task, [batch(task, seed, given.attempts, given.faulty, given.kept) for seed in given.seeds])
    cost()


def report(task: str, batches: Sequence[Batch]) -> None:
    """Print one table."""
    tallies: dict[str, Tally] = {}
    for each in batches:
        take(each, tallies)
    every = [rollout for each in batches for rollout in each.rollouts]
    natural = [rollout for rollout in every if rollout.usual]
    failed = sum(not rollout.succeeded for rollout in every)
    title = (
        f"`{task}`: policies trained: {len(batches)}, of {DEMONSTRATIONS[task]} demonstrations; without a fault "
        f"{sum(rollout.succeeded for rollout in natural)} of {len(natural)} attempts succeed; "
        f"{failed} failures, {sum(not rollout.succeeded for rollout in natural)} of them without a fault"
    )
    columns = [
        "detector", "AUC (95 %)", "AUC, no fault", "finds (TPR)", "finds early", "false alarms, nominal .10",
        "mean of splits", "before the end, s", "before it went wrong, s", "sooner than time alone, s",
    ]  # fmt: skip
    rows = []
    for name, tally in tallies.items():
        timed = name in (TIME, EITHER)
        rows.append(
            [
                f"**{name}**" if name == COMBINED else f"{name}*" if name in COMPANIONS else name,
                "–" if timed else f"{auc(tally.good, tally.bad):.2f} ({interval(tally.good, tally.bad)})",
                "–" if timed else f"{auc(tally.good, tally.natural):.2f}",
                share(tally.found),
                f"{np.mean(tally.in_window):.2f}",
                f"{share(tally.raised)}; with a fault {share(tally.raised_with_fault, brief=True)}",
                f"{np.mean(tally.achieved):.2f}",
                middle(tally.lead_s),
                middle(tally.before_s),
                "–" if name == TIME else middle(tally.sooner_s),
            ]
        )
    table(title, columns, rows)


def take(each: Batch, tallies: dict[str, Tally]) -> None:
    """Calibrate each detector alone, all of the policy's own together and time, and count what they do."""
    ours = {str(number): rollout for number, rollout in enumerate(each.rollouts) if rollout.succeeded and rollout.usual}
    failed = [rollout for rollout in each.rollouts if not rollout.succeeded]
    in_spite = [rollout for rollout in each.rollouts if rollout.succeeded and not rollout.usual]
    window_s = float(np.median([rollout.duration_s for rollout in ours.values()]))
    names = sorted(set().union(*(rollout.scored.names for rollout in each.rollouts)))
    groups = {name: (name,) for name in names} | {COMBINED: each.own, TIME: (), EITHER: each.own}
    for name, members in groups.items():
        tally = tallies.setdefault(name, Tally())
        for split in range(SPLITS):
            own, held = halves(list(ours), split)
            alarm = calibrated([ours[key] for key in own], members, split)
            timed = calibrated([ours[key] for key in own], (), split)
            if name == EITHER:
                alarm = either(alarm, timed)
            raised = [bool((alarm(ours[key]) > 1).any()) for key in held]
            tally.achieved.append(float(np.mean(raised)))
            if split == 0:
                tally.raised += raised
                count(tally, alarm, timed, [ours[key] for key in held], failed, in_spite, window_s)


def calibrated(own: Sequence[Rollout], members: Sequence[str], seed: int) -> Alarm:
    """An alarm of these detectors, none: of time, made as `xrollout calibrate` makes it."""
    if not members:
        limit_s, _ = conformal([rollout.duration_s for rollout in own], ALPHA)
        return lambda rollout: rollout.scored.time_s / limit_s
    by_id = {str(number): rollout.scored for number, rollout in enumerate(own)}
    one, other = halves(list(by_id), seed)
    normal = [found for name in members if (found := usual(name, [by_id[key] for key in one])) is not None]
    threshold, _ = conformal([float(smoothed(by_id[key], normal).max()) for key in other], ALPHA)
    return lambda rollout: smoothed(rollout.scored, normal) / max(threshold, 1e-6)


def either(one: Alarm, other: Alarm) -> Alarm:
    """Whichever is raised first."""
    return lambda rollout: np.maximum(one(rollout), other(rollout))


def first(alarm: Alarm, rollout: Rollout) -> float:
    """When it is raised first, s; infinite: never."""
    above = np.flatnonzero(alarm(rollout) > 1)
    return float(rollout.scored.time_s[above[0]]) if len(above) else float("inf")


def count(
    tally: Tally,
    alarm: Alarm,
    timed: Alarm,
    good: Sequence[Rollout],
    failed: Sequence[Rollout],
    in_spite: Sequence[Rollout],
    window_s: float,
) -> None:
    """Add what an alarm does. Windows are equal, since failures last longer, which must not tell."""

    def largest(rollout: Rollout) -> float:
        return float(alarm(rollout)[rollout.scored.time_s <= window_s].max())

    tally.good += map(largest, good)
    tally.bad += map(largest, failed)
    tally.natural += [largest(rollout) for rollout in failed if rollout.usual]
    tally.raised_with_fault += [bool(np.isfinite(first(alarm, rollout))) for rollout in in_spite]
    for rollout in failed:
        at_s = first(alarm, rollout)
        tally.found.append(bool(np.isfinite(at_s)))
        tally.in_window.append(at_s <= window_s)
        if np.isfinite(at_s):
            tally.lead_s.append(rollout.duration_s - at_s)
            if rollout.failed_at_s is not None:
                tally.before_s.append(rollout.failed_at_s - at_s)
            late_s = first(timed, rollout)
            tally.sooner_s += [late_s - at_s] if np.isfinite(late_s) else []


def auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Share of pairs in which the failure scores higher."""
    one, other = np.array(good)[:, None], np.array(bad)
    return float(np.mean((one < other) + 0.5 * (one == other)))


def interval(good: Sequence[float], bad: Sequence[float]) -> str:
    """95 %, by drawing attempts with replacement."""
    random = np.random.default_rng(0)
    one, other = np.array(good), np.array(bad)
    drawn = [auc(random.choice(one, len(one)), random.choice(other, len(other))) for _ in range(DRAWS)]
    return "{:.2f}–{:.2f}".format(*np.quantile(drawn, [0.025, 0.975]))


def share(hits: Sequence[bool], *, brief: bool = False) -> str:
    """With Wilson's 95 % interval."""
    if not hits:
        return "–"
    low, high = wilson(sum(hits), len(hits))
    return f"{sum(hits)}/{len(hits)}" if brief else f"{np.mean(hits):.2f} ({low:.2f}–{high:.2f})"


def middle(values: Sequence[float]) -> str:
    """The median."""
    return f"{np.median(values):+.2f}" if values else "–"


def cost() -> None:
    """Print what the scores cost beside one inference."""
    task = "pick_and_place"
    shown = demonstrations(task, DEMONSTRATIONS[task])
    state, rows = shown[0].state[10], []
    for title, architecture, sizes in (
        ("flow: novelty, novelty_logpzo, policy_loss (default set)", "flow", {"max_prefix": 4}),
        (
            f"flow with dropout {DROPOUT_SHARE}: and dropout_variance",
            "flow",
            {"max_prefix": 4, "dropout": DROPOUT_SHARE},
        ),
        ("ensemble: novelty, novelty_logpzo, ensemble_variance", "ensemble", {}),
    ):
        policy = train_policy(task, shown, architecture, 0, FITTED, **sizes)
        bare_s, more_s = spent_s(policy, state)
        rows.append([title, f"{1e3 * bare_s:.2f} ms", f"{1e3 * more_s:.2f} ms", f"{more_s / bare_s:.0%}"])
    table("What the scores cost, medians", ["policy and scores", "inference alone", "scores", "share"], rows)


class Bare:
    """A policy's inference without its scores."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def predict(self, state: Array) -> None:
        model, row = self._policy._model, self._policy._model.normalizer.state  # type: ignore[attr-defined]
        import torch

        with torch.no_grad():
            chunk, _ = model.sample(row(torch.tensor(state, dtype=torch.float32)), self._policy._generator)  # type: ignore[attr-defined]
            model.normalizer.action_back(chunk).cpu().numpy().copy()


def spent_s(policy: Policy, state: Array) -> tuple[float, float]:
    """Median time of an inference without scores, and of what they add.

    Both take turns, so that what else runs here hits both, and caches are emptied before each: between two inferences
    of a deployment other things run.
    """
    bare, other_things, spent = Bare(policy), np.zeros(4 * 2**20), []
    for _ in range(COUNTED):
        pair = []
        for each in (bare, policy):
            other_things += 1
            begin = time.perf_counter()
            each.predict(state)
            pair.append(time.perf_counter() - begin)
        spent.append(pair)
    found = np.array(spent[COUNTED // 10 :])
    return float(np.median(found[:, 0])), float(np.median(found[:, 1] - found[:, 0]))


if __name__ == "__main__":
    main()
