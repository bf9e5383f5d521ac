"""The lineage as a picture: what something came from to its left, what it led to on its right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.lineage.api import Walk
from xrollout_ros.episodes.lineage.graph import Branch, Kind
from xrollout_ros.ui.lineage_text import facts_of, name_of

FORMATS = (".png", ".svg", ".pdf")
_COLORS = {Kind.EPISODE: "#d7ecf5", Kind.CLIP: "#f1dcf3", Kind.POLICY: "#dcefd8", Kind.DATASET: "#fbeccb"}
_MORE, _GONE = "#f2f2f2", "#b03a2e"
_WIDTH, _GAP, _ROW, _HEIGHT = 2.7, 1.2, 0.72, 0.56
"""Inches: a box, the way to the next column, a row, a box's height."""
_LARGEST = 400
"""Inches of a side; more pixels than that no picture viewer opens."""
_LINE = 34
"""Characters in a line of a box."""


@dataclass
class _Box:
    lines: list[str]
    color: str
    column: int
    row: float
    how: str = ""
    to: _Box | None = None
    gone: bool = False


def check_format(file: Path) -> None:
    """Refuse a file that no picture can be written to.

    Raises:
        DataError: its extension is none of a picture.
    """
    if file.suffix.lower() not in FORMATS:
        raise DataError(f"the extension of {str(file)!r} names no picture", f"Use {', '.join(FORMATS)}.")


def draw(walk: Walk, file: Path) -> None:
    """Draw a walk, and put the picture in place when it is whole.

    Raises:
        DataError: it cannot be written, or is too large to be looked at.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    boxes = list(_layout(walk))
    columns, rows = [box.column for box in boxes], [box.row for box in boxes]
    width = (max(columns) - min(columns) + 1) * (_WIDTH + _GAP) - _GAP + 0.4
    height = (max(rows) - min(rows) + 1) * _ROW + 0.3
    if max(width, height) > _LARGEST:
        raise DataError(
            f"a picture of {len(boxes)} boxes is too large to be looked at", "Leave --all out, or use --json."
        )
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(min(columns) * (_WIDTH + _GAP) - _WIDTH / 2 - 0.2, max(columns) * (_WIDTH + _GAP) + _WIDTH / 2 + 0.2)
    axes.set_ylim(max(rows) * _ROW + _ROW / 2 + 0.15, min(rows) * _ROW - _ROW / 2 - 0.15)
    axes.axis("off")
    for box in boxes:
        _draw_box(axes, box)
    _save(figure, file)


def _layout(walk: Walk) -> Iterator[_Box]:
    """Boxes, the root first; leaves have a row each, what leads to them stands in their middle."""
    root = _box(walk.came_from, 0)
    placed: list[_Box] = []
    middles = []
    for top, step in ((walk.came_from, -1), (walk.led_to, 1)):
        boxes, rows = _side(top, root, step)
        placed += boxes
        middles.append((boxes, (rows - 1) / 2))
    # Both sides around the root's row.
    for boxes, middle in middles:
        for box in boxes:
            box.row -= middle
    yield root
    yield from placed


def _side(top: Branch, root: _Box, step: int) -> tuple[list[_Box], int]:
    boxes: list[_Box] = []
    next_row = 0

    def place(branch: Branch, at: _Box, column: int) -> float:
        """The middle of what follows a branch."""
        nonlocal next_row
        own: list[float] = []
        for child in branch.branches:
            box = _box(child, column + step, at)
            boxes.append(box)
            box.row = place(child, box, column + step)
            own.append(box.row)
        for how, count in branch.more.items():
            boxes.append(_Box([f"… {count} more"], _MORE, column + step, next_row, how, at))
            own.append(next_row)
            next_row += 1
        if not own:
            own = [next_row]
            next_row += 1
        return (own[0] + own[-1]) / 2

    place(top, root, 0)
    return boxes, max(next_row, 1)


def _box(branch: Branch, column: int, to: _Box | None = None) -> _Box:
    node = branch.node
    lines = [f"{node.ref.kind.value} {name_of(node)}"]
    if branch.again:
        lines.append("as elsewhere")
    elif node.missing:
        lines += [*_wrapped(facts_of(node))[:1], node.missing.split(":")[0]]
    else:
        lines += _wrapped(facts_of(node))
    return _Box([line for line in lines if line], _COLORS[node.ref.kind], column, 0, branch.how, to, bool(node.missing))


def _wrapped(facts: list[str]) -> list[str]:
    """Facts in two lines."""
    lines = [""]
    for fact in facts:
        longer = f"{lines[-1]}, {fact}" if lines[-1] else fact
        if len(longer) > _LINE and lines[-1]:
            lines.append(fact)
        else:
            lines[-1] = longer
    return lines[:2]


def _draw_box(axes: object, box: _Box) -> None:
    from matplotlib.axes import Axes
    from matplotlib.patches import FancyBboxPatch

    assert isinstance(axes, Axes)
    x, y = _place(box)
    edge = _GONE if box.gone else "#555555" if box.to else "#000000"
    axes.add_patch(
        FancyBboxPatch(
            (x - _WIDTH / 2, y - _HEIGHT / 2), _WIDTH, _HEIGHT, boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=box.color, edgecolor=edge, linewidth=0.8 if box.to else 1.8, linestyle="--" if box.gone else "-",
        )
    )  # fmt: skip
    first, *rest = [line if len(line) <= _LINE + 3 else f"{line[: _LINE + 2]}…" for line in box.lines]
    top = y - 0.15 * len(rest) / 2
    axes.text(x, top, first, ha="center", va="center", fontsize=7, weight="bold")
    for number, line in enumerate(rest, start=1):
        axes.text(x, top + 0.15 * number, line, ha="center", va="center", fontsize=6, color="#444444")
    if box.to is None:
        return
    to_x, to_y = _place(box.to)
    side = 1 if to_x > x else -1
    begin, end = (x + side * _WIDTH / 2, y), (to_x - side * _WIDTH / 2, to_y)
    middle = (begin[0] + end[0]) / 2
    axes.plot([begin[0], middle, middle, end[0]], [y, y, to_y, to_y], color="#888888", linewidth=0.8, zorder=0)
    axes.text((begin[0] + middle) / 2, y - 0.05, box.how, ha="center", va="bottom", fontsize=5, color="#666666")


def _place(box: _Box) -> tuple[float, float]:
    return box.column * (_WIDTH + _GAP), box.row * _ROW


def _save(figure: object, file: Path) -> None:
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    fresh = file.with_name(f".{file.stem}.{os.getpid()}{file.suffix}")
    try:
        figure.savefig(fresh, dpi=150)
        os.replace(fresh, file)
    except OSError as error:
        if fresh.parent.is_dir():
            fresh.unlink(missing_ok=True)
        raise DataError(
            f"the picture cannot be written to {file} ({error})", "Name a file in a folder that can be written."
        ) from error
