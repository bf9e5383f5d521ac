"""`xrollout monitor`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from xrollout_ros.ui.console import output
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import data_option


@click.command(
    epilog=epilog(
        "xrollout monitor",
        "xrollout monitor --dashboard --port 8643",
        "xrollout monitor --json | jq -r 'select(.help_wanted != \"\") | .help_wanted'",
    )
)
@click.option("--dashboard", is_flag=True, help="Show it as a web page on this machine, where one may also act.")
@click.option("--port", type=click.IntRange(1024, 65535), default=8642, show_default=True, help="Of the web page.")
@click.option(
    "--pyramid",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the pyramid that the web page shows.  [default: pyramid, or the flywheel's]",
)
@click.option(
    "--flywheel",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("flywheel"),
    show_default=True,
    help="Folder of the flywheel that the web page shows.",
)
@data_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print a line of JSON whenever there is news, at most each second."
)
def monitor(dashboard: bool, port: int, data: Path, pyramid: Path | None, flywheel: Path, as_json: bool) -> None:
    """Watch a running graph, in the terminal or on a web page.

    Shows mode, attempt, success so far, rates, latency, recorder, safety and which nodes are alive. Keys or buttons
    take over, hand back, hold, mark, save a highlight and stop. Ctrl-C ends it.
    """
    if dashboard and as_json:
        raise click.UsageError("--json is of the terminal's view: leave out --dashboard.")
    from xrollout_ros.ui.running import require_ros

    require_ros()
    if dashboard:
        from xrollout_ros.ui.dashboard.run import run
        from xrollout_ros.ui.dashboard.server import Folders

        own = Path("pyramid")
        chosen = pyramid or (own if own.is_dir() else flywheel / own)
        run(port, Folders(data.resolve(), chosen.resolve(), flywheel.resolve()), output())
        return
    from xrollout_ros.graph.acting import Acting
    from xrollout_ros.graph.monitor import observe
    from xrollout_ros.ui.keys import Keys
    from xrollout_ros.ui.monitor import act, print_lines, watch

    console = output()
    with observe() as observer:
        if as_json:
            print_lines(observer.model)
        elif console.is_terminal and sys.stdin.isatty():
            act(observer.model, console, Acting(observer.node), Keys("the monitor's keys", "Start it in a terminal."))
        else:
            watch(observer.model, console)
