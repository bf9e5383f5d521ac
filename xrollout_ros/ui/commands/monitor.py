"""`xrollout monitor`."""

from __future__ import annotations

import click

from xrollout_ros.ui.console import output


@click.command()
@click.option("--dashboard", is_flag=True, help="Show it as a web page on this machine, where one may also act.")
@click.option("--port", type=click.IntRange(1024, 65535), default=8642, show_default=True, help="Of the web page.")
def monitor(dashboard: bool, port: int) -> None:
    """Watch a running graph in the terminal, or on a web page.

    Shows mode, attempt, success so far, rates, latency, recorder, safety and which nodes are alive. The terminal only
    listens. Ctrl-C ends it.
    """
    from xrollout_ros.ui.running import require_ros

    require_ros()
    if dashboard:
        from xrollout_ros.ui.dashboard.run import run

        run(port, output())
        return
    from xrollout_ros.graph.monitor import observe
    from xrollout_ros.ui.monitor import watch

    with observe() as observer:
        watch(observer.model, output())
