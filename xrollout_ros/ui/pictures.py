"""Pictures of a deployment, as SVG that takes its colours from the page around it (light or dark)."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xrollout_ros.cycle.comparing.result import Rate

Array = npt.NDArray[np.float64]

# Stand-ins that the page's style sheet replaces; each series also has its own marker or dash, never colour alone.
_INK, _FAINT, _GOOD, _BAD, _OTHER = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    _INK: "var(--ink)",
    _FAINT: "var(--faint)",
    _GOOD: "var(--good)",
    _BAD: "var(--bad)",
    _OTHER: "var(--other)",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 12,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class StartPoint:
    """Where the object lay when an attempt began."""

    label: str
    x_m: float
    y_m: float
    outcome: str
    """``success``, ``failure``, ``abort`` or ``unknown``."""


@dataclass(frozen=True)
class HandPath:
    """A hand's path through one attempt."""

    label: str
    times_s: Array
    """(T,) from the start of the attempt."""
    points_m: Array
    """(T, 3)."""
    outcome: str


_SIZE = (6.2, 4.6)
"""Inches; sets the size of text against that of the picture, which fills its column."""
_OUTCOMES = {
    "success": (_GOOD, "o"),
    "failure": (_BAD, "X"),
    "abort": (_OTHER, "s"),
    "unknown": (_FAINT, "D"),
}


def starts_map(attempts: Sequence[StartPoint], demonstrations: Sequence[StartPoint]) -> str:
    """Map of the table: where the object lay at each start, by outcome, and where it lay in the demonstrations."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        if demonstrations:
            axes.scatter(
                [point.x_m for point in demonstrations],
                [point.y_m for point in demonstrations],
                s=90,
                facecolors="none",
                edgecolors=_FAINT,
                linewidths=1.4,
                label=f"demonstration ({len(demonstrations)})",
            )
        for outcome, (colour, marker) in _OUTCOMES.items():
            chosen = [point for point in attempts if point.outcome == outcome]
            if not chosen:
                continue
            x, y = [point.x_m for point in chosen], [point.y_m for point in chosen]
            axes.scatter(x, y, s=52, marker=marker, color=colour, linewidths=0, label=f"{outcome} ({len(chosen)})")
            if outcome != "success":
                for point in chosen:
                    axes.annotate(
                        point.label, (point.x_m, point.y_m), xytext=(6, 4), textcoords="offset points", fontsize=9
                    )
        axes.set_xlabel("object x at the start, m")
        axes.set_ylabel("object y at the start, m")
        axes.set_aspect("equal", adjustable="datalim")
        figure.legend(loc="outside upper center", ncols=3)
        return _svg(figure, "starts")


def numbered_starts(
    chosen: Sequence[tuple[str, Array]], others: Array, demonstrated: Array, labels: Sequence[str], name: str
) -> str:
    """Map of chosen starts with their numbers, among other attempts' starts and demonstrated ones.

    Args:
        chosen: number and position ``(1,)`` or ``(2,)`` of each.
        others: (N, 1) or (N, 2) starts of attempts.
        demonstrated: (M, 1) or (M, 2).
        labels: of the one or two axes.
        name: keeps ids apart on a page.
    """
    flat = len(labels) == 1
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_SIZE[0], 2.2 if flat else _SIZE[1]), layout="constrained")
        axes = figure.add_subplot()

        def across(points: Array) -> tuple[Array, Array]:
            return points[:, 0], np.zeros(len(points)) if flat else points[:, 1]

        axes.scatter(*across(others), s=14, color=_FAINT, linewidths=0, label="attempt")
        rings = axes.scatter(*across(demonstrated), s=90, edgecolors=_FAINT, linewidths=1.4, label="demonstration")
        rings.set_facecolor("none")
        points = np.array([point for _, point in chosen])
        axes.scatter(*across(points), s=46, marker="X", color=_BAD, linewidths=0, label="to demonstrate from")
        for (label, _), x, y in zip(chosen, *across(points), strict=True):
            axes.annotate(label, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=11, fontweight="bold")
        axes.set_xlabel(labels[0])
        if flat:
            axes.set_yticks([])
        else:
            axes.set_ylabel(labels[1])
            axes.set_aspect("equal", adjustable="datalim")
        figure.legend(loc="outside upper center", ncols=3)
        return _svg(figure, name)


def hand_from_above(paths: Sequence[HandPath]) -> str:
    """The hand's paths over the table; successes thick and solid, the others dashed, each with its number."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        for path in _successes_first(paths):
            _draw(axes, path, path.points_m[:, 0], path.points_m[:, 1])
        axes.set_xlabel("hand x, m")
        axes.set_ylabel("hand y, m")
        axes.set_aspect("equal", adjustable="datalim")
        return _svg(figure, "above")


def hand_height(paths: Sequence[HandPath]) -> str:
    """The hand's height over time, drawn like :func:`hand_from_above`."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        for path in _successes_first(paths):
            _draw(axes, path, path.times_s, path.points_m[:, 2])
        axes.set_xlabel("time in the attempt, s")
        axes.set_ylabel("hand height, m")
        return _svg(figure, "height")


def loss_curve(losses: Sequence[float]) -> str:
    """Training loss of each epoch, logarithmic when it spans more than a decade."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        epochs = np.arange(1, len(losses) + 1)
        axes.plot(epochs, losses, color=_GOOD, linewidth=1.6)
        finite = np.asarray(losses)[np.isfinite(losses)]
        if finite.size and finite.min() > 0 and finite.max() > 10 * finite.min():
            axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss")
        return _svg(figure, "loss")


def success_by_cycle(rates: Sequence[tuple[int, Rate]]) -> str:
    """The deployed policy's success in each cycle, with its interval."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        cycles = [number for number, _ in rates]
        middle = np.array([each.successes / each.trials for _, each in rates])
        below = middle - np.array([each.low for _, each in rates])
        above = np.array([each.high for _, each in rates]) - middle
        axes.errorbar(cycles, middle, yerr=np.abs([below, above]), color=_GOOD, marker="o", linewidth=1.6, capsize=4)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xticks(cycles)
        axes.set_xlabel("cycle")
        axes.set_ylabel("success")
        return _svg(figure, "cycles")


def evidence_course(values: Sequence[float], bound: float) -> str:
    """An e-value after each pair of trials, and the bound at which it is enough; logarithmic."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        shown = np.clip(np.asarray([1.0, *values]), 1e-3, max(1e3, 10 * bound))
        axes.plot(np.arange(len(shown)), shown, color=_GOOD, linewidth=1.6)
        axes.axhline(bound, color=_BAD, linewidth=1.2, linestyle=(0, (4, 1.5)))
        axes.set_yscale("log")
        axes.set_xlabel("pairs of trials")
        axes.set_ylabel("e-value")
        return _svg(figure, "evidence")


def _successes_first(paths: Sequence[HandPath]) -> list[HandPath]:
    return sorted(paths, key=lambda path: path.outcome != "success")


def _draw(axes: Axes, path: HandPath, x: Array, y: Array) -> None:
    colour, marker = _OUTCOMES.get(path.outcome, _OUTCOMES["unknown"])
    if path.outcome == "success":
        axes.plot(x, y, color=colour, linewidth=2.4)
    else:
        axes.plot(x, y, color=colour, linewidth=1.2, linestyle=(0, (4, 1.5)))
    axes.plot(x[-1], y[-1], marker=marker, color=colour, markersize=6, markeredgewidth=0)
    axes.annotate(path.label, (x[-1], y[-1]), xytext=(6, 3), textcoords="offset points", fontsize=9)


def _svg(figure: Figure, name: str) -> str:
    """Inline SVG without a fixed size or colours of its own; ``name`` keeps ids apart on one page."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    return text
