"""`xrollout init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from xrollout_ros.ui.console import output


@click.command(epilog="Example: xrollout init --name my_robot, while the robot's driver runs")
@click.option("--name", default="my_robot", show_default=True, help="Id of the robot: lower-case letters, digits, _.")
@click.option("--output", "target", type=click.Path(path_type=Path), help="File to write.  [default: <name>.yaml]")
@click.option(
    "--duration",
    type=click.FloatRange(min=1.0, max=600.0),
    default=5.0,
    show_default=True,
    help="How long to listen, s.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init(name: str, target: Path | None, duration: float, force: bool) -> None:
    """Look at a running robot and write its RobotSpec.

    Listens to topics, their types, rates and stamps, reads limits from /robot_description, finds cameras and the topic
    that the driver takes commands from. The file says what is a guess and names what must be filled in. Nothing is
    published, nothing moves.
    """
    from xrollout_ros.ui.initialize import initialize

    path = target or Path(f"{name}.yaml")
    written = initialize(name, path, duration, force, os.environ)
    console = output()
    spec = written.spec
    console.print(
        f"wrote {path}: {len(spec.observations)} observations ({spec.state_dim} values), {len(spec.cameras)} cameras, "
        f"{len(spec.actions)} actions to {spec.command.topic}",
        soft_wrap=True,
    )
    if written.open_ends:
        console.print("\nto be filled in:")
        for each in written.open_ends:
            console.print(f"  {each}", soft_wrap=True)
    console.print(f"\nthen: xrollout doctor --robot {path}", soft_wrap=True)
