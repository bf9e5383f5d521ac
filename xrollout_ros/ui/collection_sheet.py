"""A collection plan as a page to print: target, where to put things, a list to tick off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from xrollout_ros.core.files import write_texts
from xrollout_ros.mining.coverage import Coverage, planes
from xrollout_ros.mining.plan import CollectionPlan, StartValue
from xrollout_ros.ui import text
from xrollout_ros.ui.pages import render
from xrollout_ros.ui.pictures import numbered_starts


def write_sheet(path: Path, plan: CollectionPlan, coverage: Coverage | None) -> None:
    """Write the page; it loads nothing from elsewhere.

    Args:
        path: ``*.html``.
        plan: what it says.
        coverage: of the attempts, for the pictures; none: there are none.

    Raises:
        DataError: the disk refuses.
    """
    columns, same = _columns(plan)
    page = render(
        "collection_sheet.html.j2",
        plan=plan,
        demonstrations=text.plural(plan.demonstrations, "demonstration"),
        columns=columns,
        same=[f"{each.label} {each.value:.3f} {each.unit}".strip() for each in same],
        pictures=[] if coverage is None else _pictures(plan, coverage),
    )
    write_texts({path: page})


def _columns(plan: CollectionPlan) -> tuple[list[tuple[int, str]], list[StartValue]]:
    """Index and title of the values that differ from start to start, and those that do not."""
    values = [each.values for each in plan.starts if each.values]
    columns, same = [], []
    for index, known in enumerate(values[0] if values else ()):
        every = [each[index].value for each in values]
        if max(every) - min(every) < 1e-6 and len(every) > 1:
            same.append(known)
        else:
            columns.append((index, f"{known.label}, {known.unit}" if known.unit else known.label))
    return columns, same


def _pictures(plan: CollectionPlan, coverage: Coverage) -> list[dict[str, Any]]:
    """One for each observation that describes a start."""
    found = []
    for number, plane in enumerate(planes(coverage.axes, coverage.scale)):
        axes = [coverage.axes[index] for index in plane]
        columns = list(plane)
        chosen = [
            (str(each.number), np.array([each.values[index].value for index in columns]))
            for each in plan.starts
            if each.values
        ]
        if not chosen:
            continue
        labels = [axis.title for axis in axes]
        others, shown = coverage.attempts[:, columns], coverage.demonstrations[:, columns]
        title = axes[0].observation
        svg = numbered_starts(chosen, others, shown, labels, f"plane{number}")
        where = "; ".join(f"{label} at {', '.join(f'{value:.3f}' for value in point)}" for label, point in chosen)
        found.append({"title": title, "alt": f"Map of {title} at the chosen starts: {where}.", "svg": Markup(svg)})
    return found
