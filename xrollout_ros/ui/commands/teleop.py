"""`xrollout teleop`."""

from __future__ import annotations

import click

from xrollout_ros.ui.candidates import operators, several_of
from xrollout_ros.ui.console import output
from xrollout_ros.ui.epilog import epilog


@click.command(
    epilog=epilog(
        "xrollout up deploy model:=checkpoint.pt drive:=real_time # in one terminal",
        "xrollout teleop keyboard # in another: space takes over and hands back",
        "xrollout teleop leader,pedal # the arm drives, the pedal asks",
        "xrollout teleop my_joystick.yaml # docs/operators.md lists the fields",
    )
)
@click.argument("operator", default="keyboard", shell_complete=several_of(operators, or_file=True))
def teleop(operator: str) -> None:
    """Take over in a running graph, mark attempts, stop it.

    OPERATOR is keyboard (the default), joy, leader, pose, several of them (joy,pedal), or a YAML file. Joining moves
    nothing; leaving while driving makes the robot hold. The graph must run in real time.

    The keyboard's keys: space takes over and hands back, tab holds, 1 and 0 mark success and failure, x discards,
    backspace discards and makes the attempt again, Esc is the emergency stop, q leaves. Those that move the robot are
    listed at the start.
    """
    from xrollout_ros.ui.running import require_ros

    require_ros()
    from xrollout_ros.ui.teleop import run

    run(operator, output())
