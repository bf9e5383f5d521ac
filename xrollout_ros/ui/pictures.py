"""Pictures as SVG that takes its colours from the page around it (light or dark)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]

# Stand-ins that the page's style sheet replaces; each series also has its own marker or dash, never colour alone.
INK, FAINT, GOOD, BAD, OTHER = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
    OTHER: "var(--other)",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 12,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


SIZE = (6.2, 4.6)
"""Inches; sets the size of text against that of the picture, which fills its column."""
OUTCOMES = {"success": (GOOD, "o"), "failure": (BAD, "X"), "abort": (OTHER, "s"), "unknown": (FAINT, "D")}
"""Colour and marker of each."""
DASH: Any = (0, (4, 1.5))


@dataclass
class Drawing:
    """A picture while it is drawn, and then its text."""

    figure: Figure
    svg: str = field(default="")


@contextmanager
def drawing(name: str, size: tuple[float, float] = SIZE) -> Iterator[Drawing]:
    """Draw into ``figure``; afterwards ``svg`` is there.

    Args:
        name: keeps ids apart on a page.
        size: inches.
    """
    with matplotlib.rc_context(STYLE):
        made = Drawing(Figure(figsize=size, layout="constrained"))
        yield made
        made.svg = _svg(made.figure, name)


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
    with drawing(name, plane_size(labels)) as made:
        axes = plane(made.figure, labels)
        axes.scatter(*across(others), s=14, color=FAINT, linewidths=0, label="attempt")
        rings(axes, demonstrated, "demonstration")
        points = np.array([point for _, point in chosen])
        axes.scatter(*across(points), s=46, marker="X", color=BAD, linewidths=0, label="to demonstrate from")
        for (label, _), x, y in zip(chosen, *across(points), strict=True):
            axes.annotate(label, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=11, fontweight="bold")
        made.figure.legend(loc="outside upper center", ncols=3)
    return made.svg


def plane_size(labels: Sequence[str]) -> tuple[float, float]:
    """Inches of a map with one or two axes."""
    return SIZE[0], 2.4 if len(labels) == 1 else SIZE[1]


def plane(figure: Figure, labels: Sequence[str]) -> Axes:
    """Axes of a map of starts, with one or two labels."""
    axes = figure.add_subplot()
    axes.set_xlabel(labels[0])
    if len(labels) == 1:
        axes.set_yticks([])
        axes.margins(y=0.4)
    else:
        axes.set_ylabel(labels[1])
        axes.set_aspect("equal", adjustable="datalim")
    return axes


def across(points: Array) -> tuple[Array, Array]:
    """Where points ``(N, 1)`` or ``(N, 2)`` lie on such axes."""
    return points[:, 0], np.zeros(len(points)) if points.shape[1] == 1 else points[:, 1]


def rings(axes: Axes, points: Array, label: str) -> None:
    """Mark what was demonstrated: rings, so that what lies there too is seen."""
    drawn = axes.scatter(*across(points), s=90, edgecolors=FAINT, linewidths=1.4, label=label)
    drawn.set_facecolor("none")


def _svg(figure: Figure, name: str) -> str:
    """Inline SVG without a fixed size or colours of its own; ``name`` keeps ids apart on one page."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
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
