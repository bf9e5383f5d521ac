"""`xrollout trace`."""

from __future__ import annotations

import math
from pathlib import Path

import click
from rich.table import Table

from xrollout_ros.episodes.trace import Trace, trace
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.options import bag_of, data_option, json_option

SHARES = (50.0, 99.0, 100.0)


@click.command("trace", epilog="Example: xrollout trace 01M7X5")
@click.argument("episode", metavar="ID|PATH")
@data_option
@json_option
def show_trace(episode: str, data: Path, as_json: bool) -> None:
    """Print where the time of one attempt went.

    EPISODE is the path of a bag, or an episode's id; its first or last characters are enough. An attempt in the stepped
    drive has only the time spent inferring: simulated time waits for everybody.
    """
    found = trace(bag_of(episode, data))
    if as_json:
        print_json(_as_json(found))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    for share in SHARES:
        table.add_column("max ms" if share == 100 else f"p{share:g} ms", justify="right")
    table.add_column("count", justify="right")
    table.add_column("what it is", style="dim")
    for stage in found.stages:
        figures = [f"{1e3 * stage.percentile(share):.2f}" if len(stage.seconds) else "–" for share in SHARES]
        table.add_row(stage.name, *figures, str(len(stage.seconds)), stage.meaning)
    console = output()
    console.print(table)
    console.print(
        f"{found.commands} commands, {found.from_policy} from the policy, "
        f"{found.late} sent more than half a period late"
    )


def _as_json(found: Trace) -> dict[str, object]:
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
