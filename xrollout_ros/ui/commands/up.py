"""`xrollout up`."""

from __future__ import annotations

import shlex

import click

from xrollout_ros.ui.arguments import SEPARATOR, parse_arguments
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.launch_words import launch_arguments
from xrollout_ros.ui.options import json_option

GRAPHS = ("deploy", "record", "flywheel")


@click.command(
    epilog=epilog(
        "xrollout up deploy model:=checkpoint.pt episodes:=20 start:=wide",
        "xrollout up deploy model:=checkpoint.pt drive:=real_time operator:=keyboard",
        "xrollout up record task:=pick_and_place episodes:=8",
        "xrollout up flywheel model:=checkpoint.pt",
        "xrollout up deploy --show-args",
    )
)
@click.argument("graph", type=click.Choice(GRAPHS))
@click.argument("arguments", nargs=-1, metavar="[NAME:=VALUE]...", shell_complete=launch_arguments)
@click.option("-s", "--show-args", is_flag=True, help="List the graph's arguments and start nothing.")
@json_option
@click.pass_context
def up(ctx: click.Context, graph: str, arguments: tuple[str, ...], show_args: bool, as_json: bool) -> None:
    """Start a graph: `deploy` a policy, `record` demonstrations, or run the `flywheel`.

    The arguments are those of `ros2 launch xrollout GRAPH.launch.py`, e.g. `xrollout up deploy model:=checkpoint.pt`.
    Ctrl-C ends it in order, with every bag closed. However it ends, it leaves a report beside the bags, which --json
    prints.
    """
    if show_args:
        _show_arguments(graph, as_json)
        return
    given = parse_arguments(arguments)
    from xrollout_ros.graph import starter
    from xrollout_ros.graph.description import describe
    from xrollout_ros.ui.running import require_ros

    description = describe(graph, given)
    require_ros()
    from xrollout_ros.ui.run_report import leaving_report

    with leaving_report(description, shlex.join(["xrollout", "up", graph, *arguments])):
        status = starter.run(description, _line if as_json else starter.print_line)
    ctx.exit(status)


def _line(name: str, line: str) -> None:
    """What a process says, where standard output is for JSON."""
    click.echo(f"[{name}] {line}", err=True)


def _show_arguments(graph: str, as_json: bool) -> None:
    from xrollout_ros.graph.arguments import ARGUMENTS

    [arguments] = [found for name, found in ARGUMENTS.items() if name == graph]
    if as_json:
        print_json([argument._asdict() for argument in arguments])
        return
    console = output()
    for argument in arguments:
        console.print(f"{argument.name}{SEPARATOR}{argument.default!r}")
        console.print(f"    {argument.help}")
