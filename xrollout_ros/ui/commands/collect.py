"""`xrollout collect`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.paths import DEFAULT_DATA, data_dir
from xrollout_ros.ui import candidates
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import json_option, operator_option, robot_option, start_option, task_spec_option

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog=epilog(
        "xrollout mine --output plan.json",
        "xrollout collect --plan plan.json # a script demonstrates from each failed start",
        "xrollout collect --plan plan.json --operator leader,pedal --resume # a person does, what is left of it",
        "xrollout collect --plan plan.json --model checkpoint.pt # the policy begins, and is taken over from",
        "xrollout collect --model checkpoint.pt --perturb object_bump,gripper_slip --start wide --episodes 20",
    )
)
@click.option("--plan", "plan_file", type=_FILE, help="Collect for this plan of `xrollout mine --output plan.json`.")
@operator_option(
    "Who demonstrates or takes over: scripted, keyboard, joy, leader, pose, several (leader,pedal), a YAML file."
)
@click.option("--model", type=_FILE, help="This policy drives first; the operator takes over when it is about to fail.")
@click.option(
    "--perturb",
    default="",
    metavar="FAULTS|by_hand",
    shell_complete=candidates.several_of(candidates.faults),
    help="With --model: disturb it. In simulation by faults (object_bump:0.05,gripper_slip), a real robot by hand.",
)
@click.option(
    "--take-over-at",
    default="",
    metavar="STEP|TIMEs",
    help="With --model: the robot asks for the operator then, at the latest (40 policy steps, 0.5s).",
)
@start_option("Without a plan: named start distribution of the task.")
@click.option("--seed", type=click.IntRange(min=0), help="Without a plan: seed of the first start.  [default: 3000]")
@click.option("--episodes", type=click.IntRange(min=1), help="Without a plan: how many.  [default: 10]")
@task_spec_option("the plan's, or the model's")
@robot_option("the plan's, or the model's")
@click.option("--camera", is_flag=True, help="Record the cameras too.")
@click.option(
    "--data",
    metavar="DIR",
    shell_complete=candidates.folders,
    help=f"Folder of the bags.  [default: the plan's; without a plan $XROLLOUT_DATA, else ./{DEFAULT_DATA}]",
)
@click.option("--resume", is_flag=True, help="Make what is still lacking of what the same command has made before.")
@click.option("--again", is_flag=True, help="Make all of it once more, whatever is there.")
@json_option
def collect(
    plan_file: Path | None, operator: str, model: Path | None, perturb: str, take_over_at: str, start: str,
    seed: int | None, episodes: int | None, task: str, robot: str, camera: bool, data: str | None, resume: bool,
    again: bool, as_json: bool,
) -> None:  # fmt: skip
    """Collect demonstrations from where attempts failed, or recoveries from failures that are about to happen.

    With a plan each attempt begins where one had failed: a simulated robot is put exactly there, at a real one a person
    is told where to put things. The operator demonstrates from there; with --model the policy drives first, until it is
    about to fail or asks for help, then the operator takes over and shows the way out. --perturb makes failures happen.
    """
    if plan_file is None and model is None:
        raise click.UsageError("Give --plan plan.json (`xrollout mine --output plan.json` makes one), or --model.")
    if plan_file is not None and (start or seed is not None or episodes is not None):
        raise click.UsageError("--start, --seed and --episodes are for a session without a plan, which names its own.")
    if resume and again:
        raise click.UsageError("--resume makes what is left, --again makes all once more: give one.")
    from xrollout_ros.mining.plan import read_plan
    from xrollout_ros.ui.collect_output import as_json as told
    from xrollout_ros.ui.collect_output import show_begin, show_end, show_nothing_left
    from xrollout_ros.ui.collect_session import CollectRun
    from xrollout_ros.ui.collecting import Counted, Options, counted, planned
    from xrollout_ros.ui.running import require_ros

    plan = read_plan(plan_file) if plan_file is not None else None
    folder = Path(plan.data) if plan is not None and data is None else data_dir(data)
    options = Options(folder.resolve(), operator, robot, task, camera, model, perturb, take_over_at)
    if plan is not None:
        session = planned(plan, options)
    else:
        session = counted(Counted(start, 3000 if seed is None else seed, episodes or 10), options)
    console = output()
    there = {} if again else session.there()
    left = session.starts.without(there)
    if left is None:
        show_nothing_left(console, session)
        if as_json:
            print_json(told(session, (), ()))
        return
    if there and not resume:
        raise DataError(
            f"{len(there)} of the {len(session.starts)} are in {options.data} already",
            f"Add --resume to make the other {len(left)}, or --again to make all once more.",
        )
    require_ros()
    run = CollectRun(session, left, console)
    run.check()
    show_begin(console, session, len(left))
    try:
        run.make()
    finally:
        records, lacking = run.finish(), session.lacking()
        show_end(console, session, records, lacking)
        if as_json:
            print_json(told(session, records, lacking))
