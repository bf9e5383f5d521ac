"""`xrollout episodes list`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.ui.candidates import OneOf, kinds, outcomes, recorded
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import data_option, json_option, task_option

_MOST = 1000
"""Nobody reads more, and a table of many takes long to lay out."""


@click.command(
    "list",
    epilog=epilog(
        "xrollout episodes list",
        "xrollout episodes list --task pick_and_place --outcome failure --limit 20",
        "xrollout episodes list --json | jq -r '.episodes[].path'",
    ),
)
@task_option("Only this task.")
@click.option("--outcome", type=OneOf(outcomes), help="Only this outcome.")
@click.option("--kind", type=OneOf(kinds), help="Only this kind of episode.")
@click.option(
    "--tag", metavar="TAG", shell_complete=recorded("tag"), help="Only those with this tag, e.g. failure-recovery."
)
@click.option(
    "--limit", type=click.IntRange(min=1), help=f"Only the newest so many.  [default: {_MOST} in a table, all as JSON]"
)
@data_option
@json_option
def list_episodes(
    data: Path, task: str | None, outcome: str | None, kind: str | None, tag: str | None, limit: int | None,
    as_json: bool,
) -> None:  # fmt: skip
    """List the episodes of a data folder.

    Outcome and tags are those that hold: a later judgement of the journal overrides the bag.
    """
    from xrollout_ros.ui import list_output
    from xrollout_ros.ui.listing import Wanted, list_episodes_of

    found = list_episodes_of(data, Wanted(task, outcome, kind, tag, limit or (None if as_json else _MOST)))
    if as_json:
        print_json(list_output.as_json(data, found))
    else:
        list_output.show(output(), data, found)
