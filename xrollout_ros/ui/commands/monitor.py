"""`xrollout monitor`."""

from __future__ import annotations

import click

from xrollout_ros.ui.console import output


@click.command()
def monitor() -> None:
    """Watch a running graph in the terminal.

    Shows mode, attempt, success so far, rates, latency, recorder, safety and which nodes are alive. It only listens.
    Ctrl-C ends it.
    """
    from xrollout_ros.ui.running import require_ros

    require_ros()
    from xrollout_ros.graph.monitor import observe
    from xrollout_ros.ui.monitor import watch

    with observe() as observer:
        watch(observer.model, output())
