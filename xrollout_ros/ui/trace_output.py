"""Where the time of an attempt went, as a table and as JSON."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from xrollout_ros.episodes.trace import Trace

SHARES = (50.0, 99.0, 100.0)


def show(console: Console, found: Trace) -> None:
    """For people."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    for share in SHARES:
        table.add_column("max ms" if share == 100 else f"p{share:g} ms", justify="right")
    table.add_column("count", justify="right")
    table.add_column("what it is", style="dim")
    for stage in found.stages:
        figures = [f"{1e3 * stage.percentile(share):.2f}" if len(stage.seconds) else "–" for share in SHARES]
        table.add_row(stage.name, *figures, str(len(stage.seconds)), stage.meaning)
    console.print(table)
    console.print(
        f"{found.commands} commands, {found.from_policy} from the policy, "
        f"{found.late} sent more than half a period late"
    )


def as_json(found: Trace) -> dict[str, Any]:
    """For programs."""
    return {
        "commands": found.commands,
        "from_policy": found.from_policy,
        "late": found.late,
        "stages": [
            {
                "name": stage.name,
                "meaning": stage.meaning,
                "count": len(stage.seconds),
                **{
                    f"p{share:g}_s": None if math.isnan(value := stage.percentile(share)) else value for share in SHARES
                },
            }
            for stage in found.stages
        ],
    }
