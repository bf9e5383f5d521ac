"""`xrollout flywheel run`, `status`, `stop`, `abandon`, `promote`, `rollback`, `report` and `recipe`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.core.errors import DataError
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.options import data_option, json_option, task_option

FOLDER = Path("flywheel")
STOPPED = 22
_EPILOG = """\b
Exit codes: 0 all cycles are through, 22 one does not go on by itself (its state, reason and next step are told).

\b
Examples:
  xrollout flywheel run --task pick_and_place --cycles 2         # from nothing: the first policy is made, too
  xrollout flywheel run --model checkpoint.pt --cycles 3 --faults object_bump:0.05
  xrollout flywheel run --model checkpoint.pt --wait             # begins when 25 new attempts are there
  xrollout flywheel status
"""
folder_option = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=FOLDER, show_default=True,
    help="Of the flywheel: its cycles, the pyramid, what is deployed.",
)  # fmt: skip


@click.command(epilog=_EPILOG)
@click.option(
    "--cycles", type=click.IntRange(min=1), default=1, show_default=True, help="How many to run to their end."
)
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False),
    help="The first policy.  [default: the deployed one; where there is none, one is trained first]",
)  # fmt: skip
@task_option("What is to be done.  [default: the policy's]")
@click.option("--robot", default="", help="RobotSpec id or YAML file.  [default: the policy's]")
@click.option("--recipe", "recipe_file", default="", help="YAML file; `xrollout flywheel recipe` prints the usual one.")
@click.option("--operator", default="scripted", show_default=True, help="Who demonstrates.")
@click.option("--faults", default="", help="What goes wrong in a simulated robot, e.g. object_bump:0.05,gripper_slip.")
@click.option("--wait", is_flag=True, help="Wait for attempts that others make, until a trigger begins the cycle.")
@folder_option
@data_option
def run(
    cycles: int, model: Path | None, task: str | None, robot: str, recipe_file: str, operator: str, faults: str,
    wait: bool, folder: Path, data: Path,
) -> None:  # fmt: skip
    """Run cycles, or go on with one that was interrupted.

    A cycle deploys the policy, finds out why it fails, collects demonstrations for that, trains a new policy, and
    promotes it only if it is shown to be better. A simulated robot does all of it unattended. With a real one each step
    that needs people says what is to be done, and the same command goes on from there.
    """
    from xrollout_ros.ui.flywheel_running import Asked, run_cycles

    asked = Asked(
        folder=folder.resolve(), data=data.resolve(), cycles=cycles, model=None if model is None else model.resolve(),
        task=task or "", robot=robot, recipe=recipe_file, operator=operator, faults=faults, wait=wait,
    )  # fmt: skip
    if not run_cycles(asked, output()):
        raise click.exceptions.Exit(STOPPED)


@click.command()
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


@click.command()
@folder_option
def stop(folder: Path) -> None:
    """Ask whoever runs the cycles to stop; it can be gone on with."""
    from xrollout_ros.ui import flywheel_output as shown

    place = shown.opened(folder)
    owner = place.owner()
    if owner is None:
        raise DataError(f"nobody runs the cycles of {folder}", "`xrollout flywheel status` shows where they are.")
    place.ask_to_stop()
    click.echo(f"asked process {owner} to stop: it ends after the attempt or step that is under way")


@click.command()
@folder_option
@click.option("--reason", default="dropped by hand", show_default=True, help="Kept with the cycle.")
def abandon(folder: Path, reason: str) -> None:
    """Drop the cycle that is under way; what was collected stays."""
    from xrollout_ros.cycle.machine import abandon as dropped
    from xrollout_ros.ui import flywheel_output as shown

    place = shown.opened(folder)
    with place.held():
        record = dropped(place, reason)
    click.echo(f"cycle {record.number} is abandoned: {reason}")


@click.command()
@folder_option
@click.option("--reason", default="by hand", show_default=True, help="Kept with it.")
def rollback(folder: Path, reason: str) -> None:
    """Deploy the policy before the deployed one again.

    A running graph of the flywheel takes it at its next cycle.
    """
    from xrollout_ros.cycle.by_hand import roll_back
    from xrollout_ros.ui import flywheel_output as shown

    state = roll_back(shown.opened(folder), reason)
    click.echo(f"policy {state.policy.policy_id} is deployed again ({state.policy.checkpoint})")


@click.command()
@click.argument("cycle", type=click.IntRange(min=0))
@folder_option
@click.option("--reason", default="by hand", show_default=True, help="Kept with it.")
def promote(cycle: int, folder: Path, reason: str) -> None:
    """Deploy the policy that a cycle has trained, whatever its verdict was.

    `xrollout flywheel rollback` takes it back.
    """
    from xrollout_ros.cycle import by_hand
    from xrollout_ros.ui import flywheel_output as shown

    state = by_hand.promote(shown.opened(folder), cycle, reason)
    click.echo(f"policy {state.policy.policy_id} is deployed ({state.policy.checkpoint})")


@click.command()
@folder_option
def report(folder: Path) -> None:
    """Write the reports of all cycles anew."""
    from xrollout_ros.ui import flywheel_output as shown
    from xrollout_ros.ui.cycle_page import write_reports

    place = shown.opened(folder)
    for path in write_reports(place):
        click.echo(f"wrote {path}")


@click.command()
def recipe() -> None:
    """Print what a cycle is made of, as a YAML file to change.

    One of your own need only name what it changes.
    """
    from xrollout_ros.cycle.recipe import shipped_recipe

    click.echo(shipped_recipe().read_text(encoding="utf-8"), nl=False)
