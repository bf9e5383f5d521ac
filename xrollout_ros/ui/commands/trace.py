"""`xrollout trace`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import bag_of, data_option, episode_argument, json_option


@click.command("trace", epilog=epilog("xrollout trace 01M7X5", "xrollout trace 01M7X5 --json"))
@episode_argument
@data_option
@json_option
def show_trace(episode: str, data: Path, as_json: bool) -> None:
    """Print where the time of one attempt went.

    ID is an episode's id, of which the first or last characters are enough; PATH is that of a bag. An attempt in the
    stepped drive has only the time spent inferring: simulated time waits for everybody.
    """
    from xrollout_ros.episodes.trace import trace
    from xrollout_ros.ui import trace_output
    from xrollout_ros.ui.progress import Bar

    with Bar("reading the bag"):
        found = trace(bag_of(episode, data))
    if as_json:
        print_json(trace_output.as_json(found))
    else:
        trace_output.show(output(), found)
