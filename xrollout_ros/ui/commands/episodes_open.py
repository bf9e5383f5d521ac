"""`xrollout episodes open`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.episodes.layers import Layers, check_layer
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import data_option, episode_argument

VIEWERS = ("foxglove", "rviz", "rerun")
PORT = 8765


@click.command(
    "open",
    epilog=epilog(
        "xrollout episodes open 01M7X5",
        "xrollout episodes open 01M7X5 --in rviz --before 5 --speed 0.5",
        "xrollout episodes open 01M7X5 --in rerun --save episode.rrd",
    ),
)
@episode_argument
@click.option(
    "--in", "viewer", type=click.Choice(VIEWERS), default="foxglove", show_default=True, help="What to open it in."
)
@click.option("--at", "at_s", type=float, metavar="S", help="This moment instead: s since the attempt's first command.")
@click.option(
    "--before",
    "before_s",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="Begin so many s earlier.",
)
@click.option(
    "--after", "after_s", type=click.FloatRange(min=0), default=3.0, show_default=True, help="Loop to so many s later."
)
@click.option(
    "--speed", type=click.FloatRange(0.01, 100), default=1.0, show_default=True, help="s of the bag in one second."
)
@click.option("--loop/--once", default=True, help="Again and again, or once to the bag's end.  [default: loop]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Foxglove: to serve at; 0: any free one.",
)
@click.option("--no-browser", is_flag=True, help="Foxglove: print the links, open nothing.")
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), metavar="RRD", help="Rerun: write a file instead."
)
@click.option("--without-layer", multiple=True, metavar="LAYER", help="Without what was said in this layer.")
@data_option
def open_episode(
    episode: str,
    viewer: str,
    at_s: float | None,
    before_s: float,
    after_s: float,
    speed: float,
    loop: bool,
    port: int,
    no_browser: bool,
    save: Path | None,
    without_layer: tuple[str, ...],
    data: Path,
) -> None:
    """Open a bag in a viewer, at the moment it went wrong.

    The moment is that of the failure that counts, as bag and journal say; else the end of an attempt that failed; else
    the beginning. Nothing is changed, and Ctrl-C ends it. Demonstrations, clips and bags of others can be opened too.

    ID is an episode's id, of which the first or last characters are enough; PATH is that of a bag.
    """
    from xrollout_ros.ui.progress import Bar
    from xrollout_ros.ui.viewers.opened import find_bag, open_at

    if save is not None and viewer != "rerun":
        raise click.UsageError("--save is for --in rerun.")
    layers = Layers(without=tuple(map(check_layer, without_layer)))
    with Bar("reading the bag"):
        opened = open_at(find_bag(episode, data), at_s=at_s, before_s=before_s, after_s=after_s, layers=layers)
    if viewer == "foxglove":
        from xrollout_ros.ui.viewers.foxglove_session import show

        show(opened, speed=speed, loop=loop, port=port, browser=not no_browser)
    elif viewer == "rviz":
        from xrollout_ros.ui.viewers.rviz import show_in_rviz

        show_in_rviz(opened, speed=speed, loop=loop)
    else:
        from xrollout_ros.ui.viewers.rerun import show_in_rerun

        show_in_rerun(opened, speed=speed, loop=loop, save=save)
