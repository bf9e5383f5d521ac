"""`xrollout generate`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from xrollout_ros.core.errors import DataError
from xrollout_ros.ui import candidates
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import (
    data_option,
    engine_option,
    json_option,
    robot_option,
    start_option,
    task_spec_option,
)

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog=epilog(
        "xrollout generate --model checkpoint.pt --episodes 40",
        "xrollout generate --model checkpoint.pt --episodes 40 --generation diverse --start wide",
        "xrollout generate --model checkpoint.pt --generation diverse --plan plan.json --control calm:0.5",
    )
)
@click.option("--model", type=_FILE, required=True, help="The policy.")
@click.option("--episodes", type=click.IntRange(min=1), default=20, show_default=True, help="How many there shall be.")
@click.option(
    "--generation",
    metavar="as_deployed|diverse",
    shell_complete=candidates.any_of(candidates.generations),
    default="as_deployed",
    show_default=True,
    help="How rollouts come about: fresh starts, noise as trained; or several tries with more noise, starts far apart.",
)
@click.option(
    "--control",
    metavar="limits|calm|guarded",
    shell_complete=candidates.any_of(candidates.controls),
    default="limits",
    show_default=True,
    help="What holds the policy: the robot's limits, a share of them (calm:0.5), or the end at the first alarm.",
)
@click.option("--temperature", type=float, help="Noise of a flow policy.  [default: the generation's]")
@click.option("--tries", type=click.IntRange(min=1), help="From each start.  [default: the generation's]")
@click.option("--plan", "plan_file", type=_FILE, help="Begin where the attempts of this plan failed.")
@start_option("Named start distribution.  [default: the task's]")
@click.option("--seed", type=click.IntRange(min=0), default=5000, show_default=True, help="Seed of the first start.")
@engine_option("Inference engine.  [default: rtc]", default="")
@task_spec_option("the model's")
@robot_option("the model's")
@click.option("--camera", is_flag=True, help="Record the cameras too.")
@data_option
@click.option("--resume", is_flag=True, help="Count what the same command has generated before, and make the rest.")
@json_option
def generate(
    model: Path, episodes: int, generation: str, control: str, temperature: float | None, tries: int | None,
    plan_file: Path | None, start: str, seed: int, engine: str, task: str, robot: str, camera: bool, data: Path,
    resume: bool, as_json: bool,
) -> None:  # fmt: skip
    """Let a policy make rollouts in simulation, as new candidates for training.

    How they come about (generation) and what holds the policy meanwhile (control) are stages that are chosen by name;
    each episode keeps their names and numbers. They are tagged `generated` and count as attempts of the policy.
    """
    from xrollout_ros.mining.plan import read_plan
    from xrollout_ros.sim.generation import make_generation
    from xrollout_ros.ui.generating import Options, described, rollouts, scratch, show, summary
    from xrollout_ros.ui.running import require_ros, run_graph

    plan = read_plan(plan_file) if plan_file is not None else None
    options = Options(model, episodes, data.resolve(), start, seed, task, robot, control, engine, camera, plan)
    wanted = rollouts(make_generation(generation, temperature, tries), options)
    console = output()
    there = wanted.made()
    if there and not resume:
        raise DataError(
            f"{len(there)} rollouts of this very generation are in {options.data} already",
            "Add --resume to make what is left of it, or give another --seed.",
        )
    left = wanted.starts.without(there)
    try:
        if left is not None:
            require_ros()
            with scratch() as folder:
                run_graph(described(wanted, left, Path(folder)), console)
    finally:
        made = wanted.made()
        metas = [made[number] for number in wanted.starts.numbers if number in made]
        if metas:
            show(console, wanted, metas)
        if as_json:
            print_json(summary(wanted, metas))
    console.print(f"next: xrollout pyramid build --raw-data {shlex.quote(str(options.data))}", soft_wrap=True)
