"""`xrollout record`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from xrollout_ros.ui.console import output
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import data_option, json_option, operator_option, start_option, task_spec_option


@click.command(
    epilog=epilog(
        "xrollout record --task pick_and_place --episodes 20",
        "xrollout record --task pick_and_place --episodes 20 --resume # after Ctrl-C: what is missing of the 20",
        "xrollout record --task my_task.yaml --operator leader,pedal --camera",
    )
)
@task_spec_option("", required=True, default=None)
@operator_option("Who demonstrates: scripted, keyboard, joy, leader, pose, several (leader,pedal) or a YAML file.")
@click.option("--episodes", type=click.IntRange(min=1), default=8, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the first start.")
@start_option("Named start distribution of the task.  [default: the task's]")
@click.option("--camera", is_flag=True, help="Record the cameras too.")
@click.option(
    "--resume", is_flag=True, help="Count what the same command has recorded before, and make what is missing of it."
)
@data_option
@json_option
def record(
    task: str, operator: str, episodes: int, data: Path, seed: int, start: str, camera: bool, resume: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Record demonstrations through the graph.

    They are tagged `bootstrap` and lie in the data folder, one bag each. After Ctrl-C the same command with --resume
    goes on where it was left: the number of episodes is what there shall be in the end. --json prints the run's report.
    """
    from xrollout_ros.graph.description import describe
    from xrollout_ros.mining.statistics import success_rate_of
    from xrollout_ros.ui import text
    from xrollout_ros.ui.resuming import demonstrated_before
    from xrollout_ros.ui.run_report import leaving_report
    from xrollout_ros.ui.running import run_graph

    description = describe(
        "record",
        {
            "task": task,
            "operator": operator,
            "episodes": str(episodes),
            "data": str(data),
            "seed": str(seed),
            "start": start,
            "camera": str(camera).lower(),
            "resume": str(resume).lower(),
        },
    )
    console = output()
    before = demonstrated_before(description) if resume else ()
    if before:
        console.print(f"resuming: {len(before)} of {text.plural(episodes, 'demonstration')} are there")
    with leaving_report(description, shlex.join(["xrollout", *sys.argv[1:]])):
        bags = run_graph(description, console, before)
    rate = success_rate_of(bags.results)
    number = text.plural(len(bags.results), "demonstration")
    console.print(f"recorded {number} of {task} in {description.data}: {rate}", soft_wrap=True)
    console.print(f"train from them: xrollout train --data {description.data} --task {task}", soft_wrap=True)
