"""`xrollout episodes show`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import bag_of, data_option, episode_argument, json_option


@click.command(
    "show",
    epilog=epilog(
        "xrollout episodes show 01M7X5",
        "xrollout episodes show 01M7X5 --json",
        "xrollout episodes show raw_rollouts/2026-01-31/120000_pick_and_place_01M7X5T0000000000000000000",
    ),
)
@episode_argument
@data_option
@json_option
def show_episode(episode: str, data: Path, as_json: bool) -> None:
    """Show what one bag holds, and how to open it.

    ID is an episode's id, of which the first or last characters are enough; PATH is that of a bag.
    """
    from xrollout_ros.ui import episode_output

    record, arrays = episode_output.read(bag_of(episode, data))
    if as_json:
        print_json(episode_output.as_json(record, arrays))
    else:
        episode_output.show(output(), record, arrays)
