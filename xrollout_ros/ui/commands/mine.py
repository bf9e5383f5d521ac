"""`xrollout mine`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import check_writable
from xrollout_ros.ui.candidates import any_of, modes
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, json_option

if TYPE_CHECKING:
    from xrollout_ros.mining.coverage import Coverage
    from xrollout_ros.mining.plan import CollectionPlan
    from xrollout_ros.runtime.novelty import Kind

_SHORTCUTS = ("task", "policy", "scene", "start", "robot", "tag")
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog=epilog(
        "xrollout mine",
        "xrollout mine --task pick_and_place --start wide --output plan.json --sheet sheet.html",
        "xrollout mine --mode dropped --demonstrations 20 --output plan.json",
        "xrollout mine --active checkpoint.pt --start wide --output plan.json",
    )
)
@filter_options(_SHORTCUTS)
@click.option(
    "--mode", metavar="MODE", shell_complete=any_of(modes),
    help="Plan for this failure mode.  [default: that of the costliest group]",
)  # fmt: skip
@click.option("--demonstrations", type=click.IntRange(min=1), metavar="N", help="Plan at most so many.  [default: 10]")
@click.option("--most", type=click.IntRange(min=1), metavar="N", help="Read at most so many attempts.  [default: 2000]")
@click.option(
    "--novelty",
    type=click.Choice(["density", "rnd", "logpzo", "icm", "none"]),
    default="density",
    show_default=True,
    help="Measure by this how unlike the demonstrations the chosen failures were.",
)
@click.option(
    "--active", type=_FILE, metavar="MODEL", help="Plan from the starts that this checkpoint is least sure of instead."
)
@click.option(
    "--candidates",
    type=click.IntRange(min=0),
    metavar="N",
    help="--active: choose among N fresh starts of a simulated robot; 0: among those of recorded attempts."
    "  [default: 200, of a real robot 0]",
)
@click.option("--output", "file", type=_FILE, help="Write the plan there, as JSON.")
@click.option("--sheet", type=_FILE, help="Write the plan there as a page to print (.html).")
@click.option("--picture", type=_FILE, help="Draw the coverage of the starts as heat maps.")
@data_option
@json_option
def mine(
    data: Path, mode: str | None, demonstrations: int | None, most: int | None, novelty: str, active: Path | None,
    candidates: int | None, file: Path | None, sheet: Path | None, picture: Path | None, as_json: bool, **filters: Any,
) -> None:  # fmt: skip
    """Say what to collect next: which failure, from which starts, and why.

    Failures of one policy at one task (the newest policy, unless --policy says otherwise) are grouped by mode, inside a
    mode by what they are like, and ranked by the lower bound of their frequency × severity. TASK may be a TaskSpec's
    YAML file, to describe attempts by that.

    With --active no failure is needed: the plan is made of starts at which the policy's detectors score highest.
    """
    if active is None and candidates is not None:
        raise click.UsageError("--candidates is for --active MODEL.")
    if active is not None and (mode or picture):
        raise click.UsageError("--mode and --picture are about failures: leave them out, or leave out --active.")
    for path in (file, sheet, picture):
        if path is not None:
            check_writable(path, "the file")
    if active is not None:
        from xrollout_ros.ui.active import plan_starts

        plan = plan_starts(active, data, filters, candidates=candidates, demonstrations=demonstrations, most=most)
        _show_plan(plan, as_json)
        _write_plan(plan, None, file, sheet)
        return
    from xrollout_ros.mining.attempts import MOST
    from xrollout_ros.mining.mine import mine as mined_of
    from xrollout_ros.ui import mine_output
    from xrollout_ros.ui.progress import Bar

    task = None
    if len(filters["task"]) == 1 and filters["task"][0].endswith((".yaml", ".yml")):
        from xrollout_ros.core.resources import load_task

        task = load_task(filters["task"][0])
        filters["task"] = ()
    with caught_up(data) as catalog, Bar("reading bags") as bar:
        found = mined_of(
            catalog,
            conditions_of(filters),
            mode=mode,
            demonstrations=demonstrations,
            task=task,
            novelty=None if novelty == "none" else cast("Kind", novelty),
            most=most or MOST,
            progress=bar.show,
        )
    if as_json:
        print_json(mine_output.as_json(found))
    else:
        mine_output.show(output(), found)
    if found.plan is None:
        for path in (file, sheet):
            if path is not None:
                click.echo(f"wrote no {path}: {found.why_no_plan}", err=True)
    elif file is not None or sheet is not None:
        _write_plan(found.plan, found.coverage, file, sheet)
    # Last, since it may be refused: few attempts make no map.
    if picture is not None:
        if found.coverage is None:
            raise DataError("there is no picture of the starts", found.why_no_coverage)
        from xrollout_ros.ui.coverage_picture import draw_coverage

        draw_coverage(found.coverage, picture)
        click.echo(f"wrote {picture}", err=True)


def _show_plan(plan: CollectionPlan, as_json: bool) -> None:
    from xrollout_ros.ui import mine_output

    if as_json:
        print_json({"plan": plan.model_dump(mode="json")})
    else:
        mine_output.show_plan(output(), plan)


def _write_plan(plan: CollectionPlan, coverage: Coverage | None, file: Path | None, sheet: Path | None) -> None:
    if file is not None:
        from xrollout_ros.mining.plan import write_plan

        write_plan(plan, file)
        click.echo(f"wrote the plan to {file}; collect it: xrollout collect --plan {file}", err=True)
    if sheet is not None:
        from xrollout_ros.ui.collection_sheet import write_sheet

        write_sheet(sheet, plan, coverage)
        click.echo(f"wrote the sheet to {sheet}", err=True)
