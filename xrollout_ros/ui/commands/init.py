"""`xrollout init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import json_option


@click.command(
    epilog=epilog(
        "xrollout init --name my_robot # while the robot's driver runs",
        "xrollout init --name my_robot --duration 20 --force # listen longer, and overwrite the file",
    )
)
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
@json_option
def init(name: str, target: Path | None, duration: float, force: bool, as_json: bool) -> None:
    """Look at a running robot and write its RobotSpec.

    Listens to topics, their types, rates and stamps, reads limits from /robot_description, finds cameras and the topic
    that the driver takes commands from. The file says what is a guess and names what must be filled in. Nothing is
    published, nothing moves.
    """
    from xrollout_ros.ui.initialize import initialize

    path = target or Path(f"{name}.yaml")
    written = initialize(name, path, duration, force, os.environ)
    console, spec = output(), written.spec
    if as_json:
        print_json(
            {
                "path": str(path),
                "robot": spec.id,
                "observations": [each.name for each in spec.observations],
                "cameras": [each.name for each in spec.cameras],
                "actions": [each.name for each in spec.actions],
                "command_topic": spec.command.topic,
                "to_be_filled_in": list(written.open_ends),
            }
        )
        return
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
