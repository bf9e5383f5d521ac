"""The promotion gate and the rollback in simulated campaigns: how often they are wrong, and what they save.

python benchmarks/flywheel/gates.py [--campaigns 500]

Policies are pairs of success rates; the outcomes of a pair of trials from one start are alike with the probability
ALIKE beyond chance, as starts are easy or hard for both. No robot is simulated: the arithmetic is what is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import table
from scipy import stats

from xrollout_ros.core.wilson import wilson
from xrollout_ros.cycle.comparing.evidence import Pairs, e_fell, mcnemar
from xrollout_ros.cycle.comparing.verdict import Judge, Kind, Rules

ALIKE = 0.5
STRATA = ("nominal", "wide")
ALPHA = 0.05
MOST = 200
Draw = Callable[[], tuple[bool, bool]]


def drawing(random: np.random.Generator, a: float, b: float, alike: float) -> Draw:
    """Outcomes of pairs with these rates, one start's luck shared with the probability ``alike``."""

    def draw() -> tuple[bool, bool]:
        one = random.random()
        two = one if random.random() < alike else random.random()
        return bool(one < a), bool(two < b)

    return draw


def campaign(draw: Draw, rules: Rules) -> tuple[Kind, int, Pairs]:
    """A comparison to its end: verdict, pairs, and what came of them."""
    judge, number = Judge(rules, STRATA), 0
    while judge.verdict is None:
        judge.add(STRATA[number % 2], *draw())
        number += 1
    return judge.verdict.kind, judge.verdict.pairs, judge.pairs


def share(count: int, total: int) -> str:
    low, high = wilson(count, total)
    return f"{count / total:.3f} ({low:.3f}–{high:.3f})"


def equal(campaigns: int) -> None:
    """How often an equal policy is promoted."""
    rows: list[list[object]] = []
    for rate in (0.3, 0.6, 0.9):
        for design in ("paired", "unpaired"):
            random = np.random.default_rng(1)
            rules = Rules(most=MOST, alpha=ALPHA, design="paired" if design == "paired" else "unpaired")
            draw = drawing(random, rate, rate, ALIKE if design == "paired" else 0.0)
            found = [campaign(draw, rules) for _ in range(campaigns)]
            promoted = sum(kind is Kind.PROMOTE for kind, _, _ in found)
            rejected = sum(kind is Kind.REJECT for kind, _, _ in found)
            rows.append([rate, design, share(promoted, campaigns), share(rejected, campaigns), peeked(draw, campaigns)])
    table(
        f"Equal policies, {campaigns} campaigns of at most {MOST} pairs, alpha {ALPHA}",
        ["success of both", "design", "promoted", "rejected", "promoted by a z-test looked at every 10 pairs"],
        rows,
    )


def peeked(draw: Draw, campaigns: int) -> str:
    """What looking at a test for a fixed number does."""
    wrong = 0
    for _ in range(campaigns):
        outcomes = np.array([draw() for _ in range(MOST)])
        sums = outcomes.cumsum(axis=0)
        for count in range(10, MOST + 1, 10):
            a, b = sums[count - 1] / count
            spread = np.sqrt((a * (1 - a) + b * (1 - b)) / count)
            if spread and (b - a) / spread > 1.645:
                wrong += 1
                break
    return share(wrong, campaigns)


def better(campaigns: int) -> None:
    """Pairs until a better policy is promoted, beside the fixed number that has the same power."""
    rows: list[list[object]] = []
    for a, b in ((0.3, 0.8), (0.5, 0.9), (0.6, 0.8), (0.8, 0.95), (0.8, 0.9)):
        for design in ("paired", "unpaired"):
            paired = design == "paired"
            random = np.random.default_rng(2)
            draw = drawing(random, a, b, ALIKE if paired else 0.0)
            rules = Rules(most=MOST, alpha=ALPHA, design="paired" if paired else "unpaired")
            found = [campaign(draw, rules) for _ in range(campaigns)]
            pairs = np.array([count for _, count, _ in found])
            promoted = sum(kind is Kind.PROMOTE for kind, _, _ in found)
            superior = [superiority(draw, rules) for _ in range(campaigns)]
            power = float(np.mean([count <= MOST for count in superior]))
            fixed = fixed_number(draw, min(power, 0.99), paired=paired)
            mean = float(np.mean(np.minimum(superior, MOST)))
            rows.append(
                [
                    f"{a} → {b}", design, share(promoted, campaigns), f"{np.median(pairs):.0f}",
                    f"{np.median(superior):.0f} / {mean:.0f}", f"{power:.2f}", fixed, f"{1 - mean / fixed:+.0%}",
                ]
            )  # fmt: skip
    table(
        f"Better policies, {campaigns} campaigns of at most {MOST} pairs, margin 10 points for each of two starts",
        [
            "success",
            "design",
            "promoted",
            "pairs, median",
            "of these until shown to be better, median / mean",
            "power",
            "fixed number of the same power",
            "saved",
        ],
        rows,
    )


def superiority(draw: Draw, rules: Rules) -> int:
    """Pairs until it is shown to be better, whatever is known of single starts."""
    judge = Judge(rules, ("all",))
    for number in range(1, MOST + 1):
        judge.add("all", *draw())
        if judge.largest_e_value >= judge.bound:
            return number
    return MOST + 1


def fixed_number(draw: Draw, power: float, *, paired: bool) -> int:
    """The least number of pairs, in steps of 5, at which the exact test has this power."""
    runs = 400
    outcomes = np.array([[draw() for _ in range(MOST)] for _ in range(runs)])
    a, b = outcomes[:, :, 0], outcomes[:, :, 1]
    wins, losses = (b & ~a).cumsum(axis=1), (a & ~b).cumsum(axis=1)
    known: dict[tuple[int, int, int], float] = {}
    for count in range(10, MOST + 1, 5):
        hits = 0
        for run in range(runs):
            if paired:
                key = (int(wins[run, count - 1]), int(losses[run, count - 1]), 0)
                p = known.setdefault(key, mcnemar(Pairs(only_b=key[0], only_a=key[1])))
            else:
                key = (int(a[run, :count].sum()), int(b[run, :count].sum()), count)
                # Fisher's: Boschloo's takes a tenth of a second each.
                p = float(stats.hypergeom.sf(key[1] - 1, 2 * count, key[0] + key[1], count))
            hits += p <= ALPHA
        if hits / runs >= power:
            return count
    return MOST


def rollback(campaigns: int) -> None:
    """Live attempts until a fall is caught, and false alarms of a policy that does as well."""
    rows: list[list[object]] = []
    longest = 300
    for before, since in ((0.9, 0.9), (0.7, 0.7), (0.9, 0.7), (0.8, 0.6), (0.9, 0.5)):
        for reference in (80, 200):
            random = np.random.default_rng(3)
            caught = []
            for _ in range(campaigns):
                past, successes = int(random.binomial(reference, before)), 0
                for count in range(1, longest + 1):
                    successes += random.random() < since
                    if e_fell((past, reference), (successes, count)) >= 1 / ALPHA:
                        caught.append(count)
                        break
            fell = since < before
            within = sum(count <= 100 for count in caught)
            rows.append(
                [
                    f"{before} → {since}", reference, share(len(caught), campaigns),
                    f"{np.median(caught):.0f}" if fell and caught else "–", share(within, campaigns) if fell else "–",
                ]
            )  # fmt: skip
    table(
        f"Rollback, {campaigns} campaigns of {longest} live attempts, alpha {ALPHA}",
        ["success before → since", "attempts before", "taken back", "attempts until then, median", "within 100"],
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=500)
    campaigns = parser.parse_args().campaigns
    equal(campaigns)
    better(campaigns)
    rollback(campaigns)


if __name__ == "__main__":
    main()
