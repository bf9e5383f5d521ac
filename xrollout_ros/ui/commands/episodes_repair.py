"""`xrollout episodes repair`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.ui.candidates import folders
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import data_option, json_option


@click.command("repair", epilog=epilog("xrollout episodes repair --all", "xrollout episodes repair 01M7X5"))
@click.argument("episode", metavar="[ID|PATH]", required=False, shell_complete=folders)
@click.option("--all", "everything", is_flag=True, help="Every torn bag of the data folder.")
@data_option
@json_option
def repair_episodes(episode: str | None, everything: bool, data: Path, as_json: bool) -> None:
    """Make torn bags whole again.

    A bag is torn when its recorder was killed. What can be read of it is written afresh in its place, marked as
    recovered; the torn original is kept in the data folder's `.torn`. A recorder does this by itself when it starts.
    """
    if (episode is None) == (not everything):
        raise click.UsageError("Give one ID or PATH, or --all.")
    from xrollout_ros.ui import repairing

    done, failed = repairing.repair(data, episode)
    if as_json:
        print_json(repairing.as_json(done, failed))
    else:
        repairing.show(output(), data, done, failed)
    if failed:
        raise click.exceptions.Exit(failed[0].exit_code)
