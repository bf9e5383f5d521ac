"""`xrollout report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.options import data_option, json_option

if TYPE_CHECKING:
    from xrollout_ros.episodes.catalog.filters import Condition
    from xrollout_ros.ui.report import Made


@click.command(
    epilog=epilog(
        "xrollout report # of the run that made the newest episode",
        "xrollout report 01M8Q9VYTDZS8E721GSQK36PX4 # of another run",
        "xrollout report --policy 01M8Q9VH1RABBA1Z23P48331E7 --output report # of all that a policy has tried",
        "xrollout query --by property.run,policy # which runs there are",
    )
)
@click.argument("run", metavar="[RUN]", required=False)
@filter_options()
@click.option(
    "--output", "folder", type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the report.  [default: of a run reports/TIME_RUN in the data folder]",
)  # fmt: skip
@data_option
@json_option
def report(run: str | None, folder: Path | None, data: Path, as_json: bool, **filters: Any) -> None:
    """Write the report of a run, or of chosen episodes: a page with pictures, and its figures as JSON.

    The page loads nothing from elsewhere. `xrollout up` and `xrollout record` leave one by themselves. This makes it at
    any later time from the bags, as they are judged by then; for a graph that was started by `ros2 launch` too. RUN is
    its id; without one it is the run that made the newest episode. Filters choose episodes of any runs instead, of one
    task on one robot.
    """
    from xrollout_ros.episodes.runs import newest_run
    from xrollout_ros.ui import run_report
    from xrollout_ros.ui.report import write_report

    conditions = conditions_of(filters)
    if conditions and (run is not None or folder is None):
        raise click.UsageError("Filters choose episodes of any runs: leave out RUN, and give --output FOLDER.")
    # As its own commands are copied from elsewhere.
    data = data.resolve()
    if conditions:
        made = _chosen(data, conditions)
    else:
        run = run or newest_run(data)
        made = run_report.report_run(data, run)
        folder = folder or run_report.folder_of(data, run)
    assert folder is not None
    path = write_report(folder, made)
    if as_json:
        print_json(made.report.model_dump(mode="json"))
        return
    console = output()
    for line in (*run_report.told(made.report), f"report: {path}"):
        console.print(line, soft_wrap=True)


def _chosen(data: Path, conditions: tuple[Condition, ...]) -> Made:
    from xrollout_ros.core.errors import DataError
    from xrollout_ros.episodes.runs import bags_of
    from xrollout_ros.ui.following import caught_up
    from xrollout_ros.ui.run_report import report_bags

    with caught_up(data) as catalog:
        bags = bags_of(data, catalog.ids(conditions))
    if not bags.records:
        raise DataError(f"no episode of {data} fits the filters", "`xrollout query --episodes` shows what there is.")
    return report_bags(data, bags)
