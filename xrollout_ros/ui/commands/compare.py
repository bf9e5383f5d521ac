"""`xrollout compare`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from xrollout_ros.core.errors import SpecError
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.exit_codes import INCONCLUSIVE, REJECTED
from xrollout_ros.ui.options import (
    data_option,
    engine_option,
    faults_option,
    json_option,
    operator_option,
    robot_option,
    task_spec_option,
)

_FILE = click.Path(path_type=Path, dir_okay=False)


def _starts(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in given:
        name, equals, share = each.partition("=")
        try:
            found[name] = float(share) if equals else 1.0
        except ValueError:
            raise click.BadParameter(f"{each!r}; allowed is NAME or NAME=SHARE, e.g. wide=2") from None
        if not 0 < found[name] < float("inf"):
            raise click.BadParameter(f"{each!r}; a share is a number above 0")
    return found


@click.command(
    epilog=epilog(
        "xrollout compare checkpoint.pt new_checkpoint.pt --task pick_and_place",
        "xrollout compare checkpoint.pt new_checkpoint.pt --start wide --trials 50",
        "xrollout compare checkpoint.pt new_checkpoint.pt --start nominal=1 --start wide=3 --faults object_bump",
        "xrollout compare checkpoint.pt new_checkpoint.pt --in graph # each trial is recorded as an episode",
        "xrollout compare checkpoint.pt new_checkpoint.pt && xrollout up deploy model:=new_checkpoint.pt",
        codes_of="compare",
    )
)
@click.argument("a", type=_FILE)
@click.argument("b", type=_FILE)
@task_spec_option("the checkpoints'")
@robot_option("the checkpoints'")
@click.option(
    "--start", "starts", multiple=True, callback=_starts, metavar="NAME[=SHARE]",
    help="From these starts, several with their shares.  [default: all of the task's alike]",
)  # fmt: skip
@click.option(
    "--sequential", is_flag=True, help="Judge after each pair, and stop as soon as it is clear (the default)."
)
@click.option("--trials", type=click.IntRange(min=1), help="Make so many pairs and judge once, at the end, instead.")
@click.option("--most", type=click.IntRange(min=1), help="Sequential: stop after so many pairs anyway.  [default: 120]")
@click.option("--alpha", type=float, help="Largest probability that an equal policy is promoted.  [default: 0.05]")
@click.option(
    "--margin", type=float, help="By how much less success is still no worse, for each kind of start.  [default: 0.1]"
)
@click.option("--unpaired", is_flag=True, help="The two trials of a pair do not begin at the same start.")
@click.option("--seed", type=click.IntRange(min=0), default=700_000, show_default=True, help="Of the first start.")
@faults_option("What happens in each trial, e.g. object_bump:0.05,gripper_slip.")
@engine_option("Inference engine.", default="rtc", show_default=True)
@click.option(
    "--in", "where", type=click.Choice(["process", "graph"]),
    help="Make trials in this process, or in the graph, each recorded.  [default: process, for a real robot graph]",
)  # fmt: skip
@operator_option("In the graph with a real robot: who may stop and mark, e.g. keyboard or joy,pedal.", default="")
@click.option(
    "--workers", type=click.IntRange(min=1), help="In process: how many at once.  [default: one for each core]"
)
@data_option
@click.option(
    "--output", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("comparison"),
    show_default=True, help="Folder of the log and the report; an interrupted comparison goes on there.",
)  # fmt: skip
@click.option("--anew", is_flag=True, help="Forget what is in that folder.")
@json_option
@click.pass_context
def compare(
    ctx: click.Context, a: Path, b: Path, task: str, robot: str, starts: dict[str, float], sequential: bool,
    trials: int | None, most: int | None, alpha: float | None, margin: float | None, unpaired: bool, seed: int,
    faults: str, engine: str, where: str | None, operator: str, workers: int | None, data: Path, folder: Path,
    anew: bool, as_json: bool,
) -> None:  # fmt: skip
    """Say whether policy B is better than policy A: promote, reject or inconclusive.

    Both are tried in pairs from the same starts, in an order drawn by chance; the log calls them X and Y. After each
    pair an e-value says how strong the evidence is, which may be looked at as often as one likes. B is promoted when it
    is better at ALPHA, and no worse than A by MARGIN from any kind of start. On a real robot each trial is asked for.
    """
    if trials is not None and (sequential or most is not None):
        raise click.UsageError("--trials is for a number of pairs that is fixed: leave out --sequential and --most.")
    from pydantic import ValidationError

    from xrollout_ros.core.clock import SystemClock
    from xrollout_ros.core.errors import from_validation
    from xrollout_ros.core.resources import load_robot
    from xrollout_ros.cycle.comparing.planning import plan_comparison
    from xrollout_ros.cycle.comparing.verdict import Kind, Rules
    from xrollout_ros.learning.metadata import read_meta
    from xrollout_ros.ui import compare_output, comparing

    given = {"alpha": alpha, "margin": margin, "most": most, "trials": trials}
    try:
        rules = Rules(
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
            design="unpaired" if unpaired else "paired",
        )
    except ValidationError as error:
        raise from_validation(error, "arguments of", "the comparison", "`xrollout compare --help` tells.") from error
    simulated = load_robot(robot or read_meta(a).robot).sim is not None
    if operator and simulated:
        raise SpecError(f"--operator {operator}: the robot is simulated, nobody has to judge it", "Leave it out.")
    chosen = where or ("process" if simulated else "graph")
    plan = plan_comparison(
        a, b, rules=rules, clock=SystemClock(), where="process" if chosen == "process" else "graph", task=task,
        robot=robot, starts=starts, first_seed=seed, faults=faults, engine=engine,
    )  # fmt: skip
    if anew and folder.exists():
        comparing.check_is_comparison(folder)
        shutil.rmtree(folder)
    made = comparing.run(plan, folder, data=data, operator=operator, workers=workers or 0)
    found = compare_output.keep(made, folder)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        compare_output.show(output(), found, folder)
    ctx.exit({Kind.PROMOTE: 0, Kind.REJECT: REJECTED, Kind.INCONCLUSIVE: INCONCLUSIVE}[found.verdict])
