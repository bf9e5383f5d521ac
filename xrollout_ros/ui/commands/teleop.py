"""`xrollout teleop`."""

from __future__ import annotations

import click

from xrollout_ros.ui.console import output

_EPILOG = """\b
Examples:
  xrollout up deploy model:=checkpoint.pt drive:=real_time    # in one terminal
  xrollout teleop keyboard                                    # in another: space takes over and hands back
  xrollout teleop leader,pedal                                # the arm drives, the pedal asks
  xrollout teleop my_joystick.yaml                            # docs/operators.md lists the fields
"""


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from xrollout_ros.runtime.operators.specs import HUMAN, operator_ids

    return [name for name in (*HUMAN, *operator_ids()) if name.startswith(incomplete)]


@click.command(epilog=_EPILOG)
@click.argument("operator", default="keyboard", shell_complete=_complete)
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
