"""The report of a pyramid as one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xrollout_ros.core.files import write_texts
from xrollout_ros.ui.pages import render

FILE = "report.html"
_NAMED = 12
"""Episodes that are named beside a reason."""
_CLASSES = ("demonstration", "intervention", "rollout")


def write_page(path: Path, report: dict[str, Any]) -> None:
    """Write the page; it loads nothing from elsewhere.

    Args:
        path: ``*.html``.
        report: as ``report.json`` has it.

    Raises:
        DataError: the disk refuses.
    """
    most = max([sum(level["training_frames"].values()) for level in report["levels"]] + [1])
    left_out = [
        (reason, found["episodes"], list(found["which"].items())[:_NAMED])
        for reason, found in report["left_out"].items()
    ]
    page = render(
        "pyramid.html.j2",
        report=report,
        bars={level["level"]: _bars(level, most) for level in report["levels"]},
        classes=_CLASSES,
        shares={level["level"]: _shares(level) for level in report["levels"]},
        left_out=left_out,
    )
    write_texts({path: page})


def _bars(level: dict[str, Any], most: int) -> list[tuple[str, int, float]]:
    """Class, rows that train, and width in percent of the largest level."""
    frames = level["training_frames"]
    return [(name, frames[name], 100 * frames[name] / most) for name in _CLASSES if frames.get(name)]


def _shares(level: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Group, and its share in percent of the rows and of the weight."""
    before, after = level["balance_before"], level["balance_after"]
    return [(name, 100 * before.get(name, 0.0), 100 * after[name]) for name in after]
