"""`xrollout doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.exit_codes import FOUND
from xrollout_ros.ui.options import data_option, json_option, robot_option, task_spec_option


@click.command(
    epilog=epilog(
        "xrollout doctor",
        "xrollout doctor --robot my_robot.yaml --model checkpoint.pt",
        "xrollout doctor --model checkpoint.pt --json > doctor.json && xrollout up deploy model:=checkpoint.pt",
        codes_of="doctor",
    )
)
@robot_option("the model's or task's", default=None)
@task_spec_option("the model's or demo's", default=None)
@click.option("--model", type=click.Path(path_type=Path), help="Checkpoint to look at.")
@click.option(
    "--record/--no-record",
    default=None,
    help="Record ten sample episodes, read them and train from them.  [default: for a simulated robot]",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=1.0, max=600.0),
    default=4.0,
    show_default=True,
    help="How long to listen to the robot, s.",
)
@data_option
@json_option
@click.pass_context
def doctor(
    ctx: click.Context,
    robot: str | None,
    task: str | None,
    data: Path,
    model: Path | None,
    record: bool | None,
    duration: float,
    as_json: bool,
) -> None:
    """Say what is missing, unsafe, stale, uncalibrated or slow, before a robot moves.

    Looks at this machine, the robot as it runs against its RobotSpec, cameras, the running graph, a checkpoint and the
    data folder. It moves no real robot and changes nothing.
    """
    from xrollout_ros.core.resources import load_robot, load_task
    from xrollout_ros.ui.doctor import rehearsal, table
    from xrollout_ros.ui.doctor.finding import Finding, Level
    from xrollout_ros.ui.doctor.machine import ThisMachine
    from xrollout_ros.ui.doctor.registry import examine
    from xrollout_ros.ui.doctor.subject import choose, gather
    from xrollout_ros.ui.progress import Bar

    robot_name, task_name = choose(robot, task, model)
    robot_spec = load_robot(robot_name)
    task_spec = load_task(task_name) if task_name else None
    console = output()
    findings: list[Finding] = []

    def add(finding: Finding) -> None:
        findings.append(finding)
        table.tell(console, finding)

    console.print(f"robot {robot_name}, task {task_name or 'none'}, data {data}", soft_wrap=True)
    with Bar("looking at the machine, listening to the robot"):
        subject, problems = gather(ThisMachine(), data, robot_spec, task_spec, model, duration)
    for finding in (*problems, *examine(subject)):
        add(finding)
    for finding in rehearsal.preconditions(subject, record):
        add(finding)
        break
    else:
        for finding in rehearsal.rehearse(robot_name, task_name, console):
            add(finding)
    if as_json:
        print_json(table.as_json(findings))
    else:
        console.print(f"\n{table.verdict(findings)}")
    ctx.exit(FOUND if any(finding.level is Level.ERROR for finding in findings) else 0)
