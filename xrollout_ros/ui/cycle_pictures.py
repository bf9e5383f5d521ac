"""Pictures of comparisons and cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xrollout_ros.cycle.comparing.result import Rate
from xrollout_ros.ui.pictures import BAD, DASH, FAINT, GOOD, INK, OUTCOMES, SIZE, drawing

_MOST_TICKS = 12


@dataclass(frozen=True)
class PairOutcome:
    """What came of both trials of a pair."""

    number: int
    a: str
    """Outcome."""
    b: str
    counted: bool


def success_by_cycle(rates: Sequence[tuple[int, Rate]]) -> str:
    """The deployed policy's success in each cycle, with its interval."""
    with drawing("cycles", (SIZE[0], 3.4)) as made:
        axes = made.figure.add_subplot()
        cycles = [number for number, _ in rates]
        middle = np.array([each.successes / each.trials for _, each in rates])
        below = middle - np.array([each.low for _, each in rates])
        high = np.array([each.high for _, each in rates]) - middle
        axes.errorbar(cycles, middle, yerr=np.abs([below, high]), color=GOOD, marker="o", linewidth=1.6, capsize=4)
        for number, rate in rates:
            axes.annotate(
                f"{rate.successes}/{rate.trials}", (number, rate.successes / rate.trials), xytext=(8, 6),
                textcoords="offset points", fontsize=9,
            )  # fmt: skip
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlim(min(cycles) - 0.5, max(cycles) + 0.5)
        axes.set_xticks(cycles[:: -(-len(cycles) // _MOST_TICKS)])
        axes.set_xlabel("cycle")
        axes.set_ylabel("success")
    return made.svg


def evidence_course(values: Sequence[float], bound: float, decided_after: int) -> str:
    """An e-value after each pair of trials, and the bound at which it is enough; logarithmic.

    Args:
        values: after each pair.
        bound: to be reached.
        decided_after: pairs after which it was clear.
    """
    with drawing("evidence") as made:
        axes = made.figure.add_subplot()
        shown = np.clip(np.asarray([1.0, *values]), 1e-3, max(1e3, 10 * bound))
        axes.plot(np.arange(len(shown)), shown, color=GOOD, linewidth=1.8)
        axes.axhline(bound, color=BAD, linewidth=1.2, linestyle=DASH)
        axes.annotate(
            f"enough: {bound:g}", (0, bound), xycoords=("axes fraction", "data"), xytext=(4, 3),
            textcoords="offset points", fontsize=9, color=BAD,
        )  # fmt: skip
        if 0 < decided_after < len(shown):
            axes.plot(decided_after, shown[decided_after], "o", color=INK, markersize=6, markeredgewidth=0)
            axes.annotate(
                f"clear after {decided_after}", (decided_after, shown[decided_after]), xytext=(-6, 8),
                textcoords="offset points", ha="right", fontsize=9,
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlabel("pairs of trials")
        axes.set_ylabel("e-value")
    return made.svg


def paired_outcomes(pairs: Sequence[PairOutcome]) -> str:
    """Both trials of each pair above one another; pairs that differ are joined by a line."""
    with drawing("pairs", (SIZE[0], 2.4)) as made:
        axes = made.figure.add_subplot()
        for each in pairs:
            won, lost = (each.b == "success") > (each.a == "success"), (each.a == "success") > (each.b == "success")
            if each.counted and (won or lost):
                axes.plot([each.number] * 2, [0, 1], color=GOOD if won else BAD, linewidth=2.2, alpha=0.5, zorder=1)
        labelled: set[str] = set()
        for row, arm in ((1, "a"), (0, "b")):
            for outcome, (colour, marker) in OUTCOMES.items():
                numbers = [each.number for each in pairs if getattr(each, arm) == outcome and each.counted]
                axes.plot(
                    numbers, [row] * len(numbers), marker, color=colour, markersize=max(3.0, 7 - len(pairs) / 30),
                    markeredgewidth=0, label=outcome if numbers and outcome not in labelled else None, zorder=2,
                )  # fmt: skip
                labelled |= {outcome} if numbers else set()
            out = [each.number for each in pairs if not each.counted]
            axes.plot(out, [row] * len(out), "x", color=FAINT, markersize=5, label="left out" if out and row else None)
        axes.set_yticks([1, 0], ["A", "B"])
        axes.set_ylim(-0.5, 1.5)
        axes.grid(visible=False)
        axes.set_xlabel("pair")
        made.figure.legend(loc="outside upper center", ncols=5)
    return made.svg
