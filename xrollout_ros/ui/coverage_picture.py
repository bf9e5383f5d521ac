"""Coverage of the starts as heat maps: attempts, success, demonstrations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import DataError
from xrollout_ros.mining.coverage import Cell, Coverage, Region, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (4.6, 3.9)
_OUTLINES: dict[Region, tuple[str, Literal["-", "--"]]] = {
    Region.DESERT: ("#c24e00", "-"),
    Region.WEAK: ("#5b2a86", "--"),
}


def draw_coverage(coverage: Coverage, file: Path) -> None:
    """Draw one row of three maps for each observation that describes a start.

    Raises:
        DataError: there are too few attempts for a map, or the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if not coverage.views:
        raise DataError(
            f"{coverage.n_attempts} attempts are too few for a map of their starts", "Ask for more with other filters."
        )
    rows = len(coverage.views)
    figure = Figure(figsize=(3 * _INCHES[0], rows * _INCHES[1] + 0.6), layout="constrained")
    grid = figure.subplots(rows, 3, squeeze=False)
    for view, row in zip(coverage.views, grid, strict=True):
        _map(row[0], view, coverage, "attempts", [str(each.attempts) for each in view.cells])
        _map(row[1], view, coverage, "success", [_rate(each) for each in view.cells])
        _map(row[2], view, coverage, "demonstrations", [str(each.demonstrations) for each in view.cells])
    legend = [
        Patch(fill=False, edgecolor=colour, linestyle=line, linewidth=2, label=region.value)
        for region, (colour, line) in _OUTLINES.items()
    ]
    figure.legend(handles=legend, loc="outside upper center", ncols=len(legend), frameon=False)
    try:
        figure.savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        raise DataError(f"the picture cannot be written to {file} ({error})", "Name a .png, .svg or .pdf.") from error


def _rate(cell: Cell) -> str:
    return f"{cell.successes}/{cell.attempts}" if cell.attempts else "–"


def _value(cell: Cell, what: str) -> float:
    if what == "success":
        return cell.successes / cell.attempts if cell.attempts else np.nan
    return cell.attempts if what == "attempts" else cell.demonstrations


def _map(axes: Axes, view: View, coverage: Coverage, what: str, words: list[str]) -> None:
    from matplotlib.patches import Rectangle

    flat = len(view.axes) == 1
    edges = [*view.edges, np.array([0.0, 1.0])][:2]
    values: npt.NDArray[np.float64] = np.full((len(edges[1]) - 1, len(edges[0]) - 1), np.nan)
    for cell in view.cells:
        values[cell.row, cell.column] = _value(cell, what)
    success = what == "success"
    top = 1.0 if success else max(1.0, float(np.nanmax(values)))
    mesh = axes.pcolormesh(*edges, values, cmap="RdYlGn" if success else "Blues", vmin=0, vmax=top)
    axes.figure.colorbar(mesh, ax=axes)
    for cell, word in zip(view.cells, words, strict=True):
        low = (cell.low[0], 0.0 if flat else cell.low[1])
        high = (cell.high[0], 1.0 if flat else cell.high[1])
        shade = values[cell.row, cell.column] / top
        dark = bool(cell.attempts) and not 0.15 < shade < 0.85 if success else shade > 0.6
        middle = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2)
        axes.text(*middle, word, ha="center", va="center", fontsize=9, color="white" if dark else "black")
        if cell.region is not None:
            colour, line = _OUTLINES[cell.region]
            width, height = high[0] - low[0], high[1] - low[1]
            inset = (low[0] + 0.04 * width, low[1] + 0.04 * height)
            axes.add_patch(
                Rectangle(inset, 0.92 * width, 0.92 * height, fill=False, edgecolor=colour, linestyle=line, linewidth=2)
            )
    named = [coverage.axes[index] for index in view.axes]
    axes.set_xlabel(named[0].title)
    if flat:
        axes.set_yticks([])
    else:
        axes.set_ylabel(named[1].title)
    axes.set_title("success (successes/attempts)" if success else what, fontsize=10)
