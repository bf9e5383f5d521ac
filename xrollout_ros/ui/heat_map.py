"""Success rates of groups as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.query import Group, Question

_CELL_INCHES = (1.1, 0.45)
_MOST = 200


def draw(groups: Sequence[Group], question: Question, file: Path) -> None:
    """Draw one cell for each group: its rate as the colour, successes and attempts in words.

    The last thing that is grouped by goes to the right, the others down; what is the same everywhere is left out.

    Raises:
        DataError: there is nothing to draw, too much, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    if not groups:
        raise DataError("there is no group to draw", "Ask for more with other filters.")
    labels = [label for label in question.labels if len({str(group.group[label]) for group in groups}) > 1]
    across, down = labels[-1:], labels[:-1]
    columns, rows = _names(groups, across), _names(groups, down)
    if len(columns) > _MOST or len(rows) > _MOST:
        raise DataError(
            f"the picture would have {len(rows)} × {len(columns)} cells", f"Filter, or group by less: {_MOST} at most."
        )
    rates = np.full((len(rows), len(columns)), np.nan)
    size = (3 + _CELL_INCHES[0] * len(columns), 1.5 + _CELL_INCHES[1] * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    for group in groups:
        row, column = rows.index(_name(group, down)), columns.index(_name(group, across))
        rates[row, column] = np.nan if group.rate is None else group.rate
        words = f"{group.successes}/{group.attempts}"
        dark = group.rate is not None and not 0.15 < group.rate < 0.85
        axes.text(column, row, words, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    image = axes.imshow(rates, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xlabel(" · ".join(across))
    axes.set_ylabel(" · ".join(down))
    axes.set_title("success rate (successes/attempts)", fontsize=10)
    figure.colorbar(image, ax=axes)
    try:
        figure.savefig(file, dpi=150)
    except (OSError, ValueError) as error:
        raise DataError(f"the picture cannot be written to {file} ({error})", "Name a .png, .svg or .pdf.") from error


def _name(group: Group, labels: Sequence[str]) -> str:
    return " · ".join(str(group.group[label] if group.group[label] not in (None, "") else "–") for label in labels)


def _names(groups: Sequence[Group], labels: Sequence[str]) -> list[str]:
    return sorted({_name(group, labels) for group in groups})
