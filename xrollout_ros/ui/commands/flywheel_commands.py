"""`xrollout flywheel run`, `status`, `stop`, `abandon`, `promote`, `rollback`, `report` and `recipe`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.core.errors import DataError
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.exit_codes import STOPPED
from xrollout_ros.ui.options import (
    data_option,
    faults_option,
    json_option,
    operator_option,
    robot_option,
    task_spec_option,
)

FOLDER = Path("flywheel")
folder_option = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=FOLDER, show_default=True,
    help="Of the flywheel: its cycles, the pyramid, what is deployed.",
)  # fmt: skip


@click.command(
    epilog=epilog(
        "xrollout flywheel run --task pick_and_place --cycles 2 # from nothing: the first policy is made, too",
        "xrollout flywheel run --model checkpoint.pt --cycles 3 --faults object_bump:0.05",
        "xrollout flywheel run --model checkpoint.pt --wait # begins when 25 new attempts are there",
        codes_of="flywheel run",
    )
)
@click.option(
    "--cycles", type=click.IntRange(min=1), default=1, show_default=True, help="How many to run to their end."
)
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False),
    help="The first policy.  [default: the deployed one; where there is none, one is trained first]",
)  # fmt: skip
@task_spec_option("the policy's")
@robot_option("the policy's")
@click.option(
    "--recipe",
    "recipe_file",
    type=click.Path(dir_okay=False),
    default="",
    help="YAML file; `xrollout flywheel recipe` prints the usual one.",
)
@operator_option("Who demonstrates.")
@faults_option("What goes wrong in a simulated robot, e.g. object_bump:0.05,gripper_slip.")
@click.option("--wait", is_flag=True, help="Wait for attempts that others make, until a trigger begins the cycle.")
@folder_option
@data_option
@json_option
def run(
    cycles: int, model: Path | None, task: str, robot: str, recipe_file: str, operator: str, faults: str,
    wait: bool, folder: Path, data: Path, as_json: bool,
) -> None:  # fmt: skip
    """Run cycles, or go on with one that was interrupted.

    A cycle deploys the policy, finds out why it fails, collects demonstrations for that, trains a new policy, and
    promotes it only if it is shown to be better. A simulated robot does all of it unattended. With a real one each step
    that needs people says what is to be done, and the same command goes on from there.
    """
    from xrollout_ros.ui import flywheel_output as shown
    from xrollout_ros.ui.flywheel_running import Asked, run_cycles

    asked = Asked(
        folder=folder.resolve(), data=data.resolve(), cycles=cycles, model=None if model is None else model.resolve(),
        task=task, robot=robot, recipe=recipe_file, operator=operator, faults=faults, wait=wait,
    )  # fmt: skip
    done = run_cycles(asked, output())
    if as_json:
        print_json(shown.as_json(shown.opened(folder)))
    if not done:
        raise click.exceptions.Exit(STOPPED)


@click.command(epilog=epilog("xrollout flywheel status", "xrollout flywheel status --folder flywheel --json"))
@folder_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show where the cycle is, what is deployed, what came of others."""
    from xrollout_ros.ui import flywheel_output as shown

    place = shown.opened(folder)
    if as_json:
        print_json(shown.as_json(place))
    else:
        shown.show_status(output(), place)


@click.command(epilog=epilog("xrollout flywheel stop"))
@folder_option
@json_option
def stop(folder: Path, as_json: bool) -> None:
    """Ask whoever runs the cycles to stop; it can be gone on with."""
    from xrollout_ros.ui import flywheel_output as shown

    place = shown.opened(folder)
    owner = place.owner()
    if owner is None:
        raise DataError(f"nobody runs the cycles of {folder}", "`xrollout flywheel status` shows where they are.")
    place.ask_to_stop()
    if as_json:
        print_json({"folder": str(place.root), "asked": owner})
    else:
        click.echo(f"asked process {owner} to stop: it ends after the attempt or step that is under way")


@click.command(epilog=epilog('xrollout flywheel abandon --reason "the camera had been moved"'))
@folder_option
@click.option("--reason", default="dropped by hand", show_default=True, help="Kept with the cycle.")
@json_option
def abandon(folder: Path, reason: str, as_json: bool) -> None:
    """Drop the cycle that is under way; what was collected stays."""
    from xrollout_ros.cycle.machine import abandon as dropped
    from xrollout_ros.ui import flywheel_output as shown

    place = shown.opened(folder)
    with place.held():
        record = dropped(place, reason)
    if as_json:
        print_json({"folder": str(place.root), "abandoned": record.number, "reason": reason})
    else:
        click.echo(f"cycle {record.number} is abandoned: {reason}")


@click.command(epilog=epilog('xrollout flywheel rollback --reason "it scratches the table"'))
@folder_option
@click.option("--reason", default="by hand", show_default=True, help="Kept with it.")
@json_option
def rollback(folder: Path, reason: str, as_json: bool) -> None:
    """Deploy the policy before the deployed one again.

    A running graph of the flywheel takes it at its next cycle.
    """
    from xrollout_ros.cycle.by_hand import roll_back
    from xrollout_ros.ui import flywheel_output as shown

    state = roll_back(shown.opened(folder), reason)
    if as_json:
        print_json(state.model_dump(mode="json"))
    else:
        click.echo(f"policy {state.policy.policy_id} is deployed again ({state.policy.checkpoint})")


@click.command(epilog=epilog("xrollout flywheel promote 3", 'xrollout flywheel promote 3 --reason "seen on the stand"'))
@click.argument("cycle", type=click.IntRange(min=0))
@folder_option
@click.option("--reason", default="by hand", show_default=True, help="Kept with it.")
@json_option
def promote(cycle: int, folder: Path, reason: str, as_json: bool) -> None:
    """Deploy the policy that a cycle has trained, whatever its verdict was.

    `xrollout flywheel rollback` takes it back.
    """
    from xrollout_ros.cycle import by_hand
    from xrollout_ros.ui import flywheel_output as shown

    state = by_hand.promote(shown.opened(folder), cycle, reason)
    if as_json:
        print_json(state.model_dump(mode="json"))
    else:
        click.echo(f"policy {state.policy.policy_id} is deployed ({state.policy.checkpoint})")


@click.command(epilog=epilog("xrollout flywheel report"))
@folder_option
@json_option
def report(folder: Path, as_json: bool) -> None:
    """Write the reports of all cycles anew."""
    from xrollout_ros.ui import flywheel_output as shown
    from xrollout_ros.ui.cycle_page import write_reports

    place = shown.opened(folder)
    written = write_reports(place, anew=True)
    if as_json:
        print_json({"folder": str(place.root), "reports": list(map(str, written))})
        return
    for path in written:
        click.echo(f"wrote {path}")


@click.command(epilog=epilog("xrollout flywheel recipe > recipe.yaml"))
@json_option
def recipe(as_json: bool) -> None:
    """Print what a cycle is made of, as a YAML file to change.

    One of your own need only name what it changes.
    """
    from xrollout_ros.core.resources import load_yaml
    from xrollout_ros.cycle.recipe import shipped_recipe

    if as_json:
        print_json(load_yaml(shipped_recipe(), "flywheel recipe"))
        return
    click.echo(shipped_recipe().read_text(encoding="utf-8"), nl=False)
