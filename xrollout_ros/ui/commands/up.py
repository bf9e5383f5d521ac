"""`xrollout up`."""

from __future__ import annotations

import shlex

import click

from xrollout_ros.ui.arguments import SEPARATOR, parse_arguments
from xrollout_ros.ui.console import output

GRAPHS = ("deploy", "record", "flywheel")


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from xrollout_ros.graph.arguments import ARGUMENTS

    names = [
        argument.name for name, found in ARGUMENTS.items() if name == ctx.params.get("graph") for argument in found
    ]
    return [name + SEPARATOR for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("graph", type=click.Choice(GRAPHS))
@click.argument("arguments", nargs=-1, metavar="[NAME:=VALUE]...", shell_complete=_complete)
@click.option("-s", "--show-args", is_flag=True, help="List the graph's arguments and start nothing.")
@click.pass_context
def up(ctx: click.Context, graph: str, arguments: tuple[str, ...], show_args: bool) -> None:
    """Start a graph: `deploy` a policy, `record` demonstrations, or run the `flywheel`.

    The arguments are those of `ros2 launch xrollout GRAPH.launch.py`, e.g. `xrollout up deploy model:=checkpoint.pt`.
    Ctrl-C ends it in order, with every bag closed. However it ends, it leaves a report beside the bags.
    """
    if show_args:
        _show_arguments(graph)
        return
    given = parse_arguments(arguments)
    from xrollout_ros.graph import starter
    from xrollout_ros.graph.description import describe
    from xrollout_ros.ui.running import require_ros

    description = describe(graph, given)
    require_ros()
    from xrollout_ros.ui.run_report import leaving_report

    with leaving_report(description, shlex.join(["xrollout", "up", graph, *arguments])):
        status = starter.run(description)
    ctx.exit(status)


def _show_arguments(graph: str) -> None:
    from xrollout_ros.graph.arguments import ARGUMENTS

    console = output()
    for name, arguments in ARGUMENTS.items():
        for argument in arguments if name == graph else ():
            console.print(f"{argument.name}{SEPARATOR}{argument.default!r}")
            console.print(f"    {argument.help}")
