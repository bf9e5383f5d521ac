"""Pictures of a deployment: starts, paths, what happened around a failure, times; and of a training's loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from xrollout_ros.mining.coverage import Cell
from xrollout_ros.ui.deployment import Stage
from xrollout_ros.ui.looked import Curve, Failed, Path3
from xrollout_ros.ui.pictures import (
    BAD,
    DASH,
    FAINT,
    GOOD,
    INK,
    OTHER,
    OUTCOMES,
    SIZE,
    Array,
    across,
    drawing,
    plane,
    plane_size,
    rings,
)

_NUMBERED = 40
"""More numbers than these hide one another."""
_DOTS = 400
"""Attempts of which each is a dot; more are a line alone."""
_ROLLING = 20
_MOST_CURVES = 8
_LINES = ("-", DASH, (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class StartPoint:
    """Where an attempt began, on the axes of a map."""

    label: str
    at: tuple[float, ...]
    """One or two values."""
    outcome: str
    """``success``, ``failure``, ``abort`` or ``unknown``."""


@dataclass(frozen=True)
class HandPath:
    """A hand's path through one attempt."""

    label: str
    path: Path3
    outcome: str


def starts_map(
    attempts: Sequence[StartPoint], demonstrated: Array, labels: Sequence[str], cells: Sequence[Cell], name: str
) -> str:
    """Where attempts began, by outcome, over the success in each part of the starts; and what was demonstrated.

    Args:
        attempts: at least one.
        demonstrated: (M, 1) or (M, 2).
        labels: of the one or two axes.
        cells: parts with their success; none: there are too few attempts.
        name: keeps ids apart on a page.
    """
    with drawing(name, plane_size(labels)) as made:
        axes = plane(made.figure, labels)
        for cell in cells:
            _cell(axes, cell)
        if len(demonstrated):
            rings(axes, demonstrated, f"demonstration ({len(demonstrated)})")
        for outcome, (colour, marker) in OUTCOMES.items():
            chosen = [point for point in attempts if point.outcome == outcome]
            if not chosen:
                continue
            points = np.array([point.at for point in chosen])
            size = 52 if len(attempts) <= _DOTS else 14
            label = f"{outcome} ({len(chosen)})"
            axes.scatter(*across(points), s=size, marker=marker, color=colour, linewidths=0, label=label)
            if outcome != "success" and len(chosen) <= _NUMBERED:
                for point, x, y in zip(chosen, *across(points), strict=True):
                    axes.annotate(point.label, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=9)
        made.figure.legend(loc="outside upper center", ncols=3)
    return made.svg


def _cell(axes: Axes, cell: Cell) -> None:
    """Its success as a colour: the stronger, the farther from one half."""
    if not cell.attempts:
        return
    flat = len(cell.low) == 1
    low, high = (cell.low[0], -0.5 if flat else cell.low[1]), (cell.high[0], 0.5 if flat else cell.high[1])
    rate = cell.successes / cell.attempts
    colour, strength = (GOOD, rate - 0.5) if rate >= 0.5 else (BAD, 0.5 - rate)
    size = (high[0] - low[0], high[1] - low[1])
    axes.add_patch(Rectangle(low, *size, facecolor=colour, alpha=0.08 + 0.6 * strength, linewidth=0, zorder=0))
    words = f"{cell.successes}/{cell.attempts}"
    axes.annotate(
        words,
        (high[0], low[1]),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=INK,
        alpha=0.8,
    )


def hand_from_above(paths: Sequence[HandPath]) -> str:
    """The hand's paths over the table; successes thick and solid, the others dashed, each with its number."""
    with drawing("above") as made:
        axes = plane(made.figure, ("hand x, m", "hand y, m"))
        for each in _successes_first(paths):
            _draw(axes, each, each.path.hand_m[:, 0], each.path.hand_m[:, 1])
    return made.svg


def hand_height(paths: Sequence[HandPath]) -> str:
    """The hand's height over time, drawn like :func:`hand_from_above`."""
    with drawing("height") as made:
        axes = made.figure.add_subplot()
        for each in _successes_first(paths):
            _draw(axes, each, each.path.times_s, each.path.hand_m[:, 2])
        axes.set_xlabel("time in the attempt, s")
        axes.set_ylabel("hand height, m")
    return made.svg


def loss_curve(losses: Sequence[float]) -> str:
    """Training loss of each epoch, logarithmic when it spans more than a decade."""
    with drawing("loss") as made:
        axes = made.figure.add_subplot()
        axes.plot(np.arange(1, len(losses) + 1), losses, color=GOOD, linewidth=1.6)
        finite = np.asarray(losses)[np.isfinite(losses)]
        if finite.size and finite.min() > 0 and finite.max() > 10 * finite.min():
            axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss")
    return made.svg


def success_course(outcomes: Sequence[str], successes: Sequence[bool]) -> str:
    """Each attempt in the order made, and the success of the last twenty.

    Args:
        outcomes: of each, one that is known.
        successes: whether it counts as one.
    """
    with drawing("course", (SIZE[0], 3.2)) as made:
        axes = made.figure.add_subplot()
        numbers, good = np.arange(1, len(outcomes) + 1), np.asarray(successes, dtype=float)
        for outcome, (colour, marker) in OUTCOMES.items():
            rows = np.array([each == outcome for each in outcomes], dtype=bool)
            if rows.any() and len(outcomes) <= _DOTS:
                axes.plot(
                    numbers[rows], good[rows], marker, color=colour, markersize=5, markeredgewidth=0, alpha=0.8,
                    label=f"{outcome} ({int(rows.sum())})",
                )  # fmt: skip
        window = np.minimum(numbers, _ROLLING)
        sums = np.concatenate([[0.0], np.cumsum(good)])
        axes.plot(numbers, (sums[numbers] - sums[numbers - window]) / window, color=INK, linewidth=1.4)
        axes.set_ylim(-0.07, 1.07)
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("attempt, in the order made")
        axes.set_ylabel(f"success of the last {_ROLLING}")
        if len(outcomes) <= _DOTS:
            made.figure.legend(loc="outside upper center", ncols=4)
    return made.svg


def around_failure(failed: Failed, name: str) -> str:
    """What the task looks at, and what was commanded, around the moment; shaded where an operator drove."""
    parts = [("distance, m", failed.distances)] if failed.distances else []
    units = dict.fromkeys(curve.unit for curve in failed.commands if curve.unit != "1")
    parts.append((", ".join(["command", *units]), failed.commands[:_MOST_CURVES]))
    with drawing(name, (SIZE[0], 1.1 + 1.9 * len(parts))) as made:
        grid = made.figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, curves) in zip(grid, parts, strict=True):
            _curves(axes, failed, curves, label)
        grid[-1].set_xlabel("time in the attempt, s")
        grid[0].annotate(
            "moment", (failed.moment_s, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", ha="center", va="bottom", fontsize=9, color=BAD,
        )  # fmt: skip
    return made.svg


def _curves(axes: Axes, failed: Failed, curves: Sequence[Curve], label: str) -> None:
    colours = (GOOD, OTHER, INK, FAINT)
    for number, curve in enumerate(curves):
        line = _LINES[number // len(colours) + number % 2]
        axes.plot(
            failed.times_s, curve.values, color=colours[number % len(colours)], linestyle=line, linewidth=1.5,
            label=curve.name.replace("_", " "),
        )  # fmt: skip
    axes.axvline(failed.moment_s, color=BAD, linewidth=1.6, linestyle=DASH)
    low, high = axes.get_xlim()
    for begin_s, end_s in failed.operated:
        axes.axvspan(max(begin_s, low), min(max(end_s, low), high), color=OTHER, alpha=0.15, linewidth=0)
    axes.set_xlim(low, high)
    axes.set_ylabel(label)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, handlelength=2.2)


def stage_times(stages: Sequence[Stage], period_s: float | None) -> str:
    """Each stage from its median to its 99th percentile, and its longest; logarithmic.

    Args:
        stages: in order.
        period_s: of the control, drawn for comparison; none: not known.
    """
    with drawing("latency", (SIZE[0], 1.3 + 0.42 * len(stages))) as made:
        axes = made.figure.add_subplot()
        rows = np.arange(len(stages))[::-1]
        floor_s = 1e-6
        middle, high, longest = (
            np.maximum(floor_s, [getattr(stage, name) for stage in stages]) * 1e3
            for name in ("p50_s", "p99_s", "longest_s")
        )
        axes.hlines(rows, middle, high, color=GOOD, linewidth=5, alpha=0.6)
        axes.plot(middle, rows, "o", color=GOOD, markersize=6, markeredgewidth=0, label="median")
        axes.plot(longest, rows, "D", color=BAD, markersize=5, markeredgewidth=0, label="longest")
        if period_s:
            axes.axvline(period_s * 1e3, color=FAINT, linewidth=1.4, linestyle=DASH, label="control period")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks(rows, [stage.name for stage in stages])
        axes.set_ylim(-0.6, len(stages) - 0.4)
        axes.set_xlabel("ms; the bar goes to the 99th percentile")
        made.figure.legend(loc="outside upper center", ncols=3)
    return made.svg


def _successes_first(paths: Sequence[HandPath]) -> list[HandPath]:
    return sorted(paths, key=lambda path: path.outcome != "success")


def _draw(axes: Axes, path: HandPath, x: Array, y: Array) -> None:
    colour, marker = OUTCOMES.get(path.outcome, OUTCOMES["unknown"])
    if path.outcome == "success":
        axes.plot(x, y, color=colour, linewidth=2.4)
    else:
        axes.plot(x, y, color=colour, linewidth=1.2, linestyle=DASH)
    axes.plot(x[-1], y[-1], marker=marker, color=colour, markersize=6, markeredgewidth=0)
    axes.annotate(path.label, (x[-1], y[-1]), xytext=(6, 3), textcoords="offset points", fontsize=9)
