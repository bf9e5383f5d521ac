"""The report of one run of a graph: which bags, where it goes, and that it never harms the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.cycle.place import Place
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.records import Record
from xrollout_ros.episodes.runs import RunBags, bags_of_run, begun_at
from xrollout_ros.graph.description import GraphDescription
from xrollout_ros.ui.console import json_wanted, output, print_json
from xrollout_ros.ui.deployment import DeploymentReport, Story
from xrollout_ros.ui.following import warn
from xrollout_ros.ui.progress import Bar
from xrollout_ros.ui.report import Made, make_report, write_report
from xrollout_ros.ui.summary import Chosen

FOLDER = "reports"
"""In the data folder."""


def folder_of(data: Path, run: str) -> Path:
    """Where a run's report lies: named by when it began, UTC, and its id, so that none lies in another's place."""
    return data / FOLDER / f"{begun_at(run):%Y%m%d-%H%M%S}_{run}"


def task_of(records: Sequence[Record]) -> TaskSpec | None:
    """The task as the newest of these bags has it that can be opened."""
    for record in reversed(records):
        try:
            return open_bag(record.path).task
        except XRolloutError:
            continue
    return None


def report_run(data: Path, run: str, description: GraphDescription | None = None, story: Story | None = None) -> Made:
    """Make the report of a run from its bags.

    Args:
        data: the data folder.
        run: its id.
        description: the graph that has run, where that is known: then nothing need have been made.
        story: how it came about.

    Raises:
        DataError: the data folder or its journal cannot be read.
        SpecError: ``run`` is no id.
    """
    with Bar("looking at bags") as bar:
        bags = bags_of_run(data, run, bar.show)
    return report_bags(data, bags, description, story)


def report_bags(
    data: Path, bags: RunBags, description: GraphDescription | None = None, story: Story | None = None
) -> Made:
    """Make the report of these bags, as :func:`report_run` does of a run's, showing how far it is.

    Raises:
        DataError: the journal cannot be read, or they are of several tasks or robots.
    """
    task, robot, checkpoints = task_of(bags.records), bags.records[0].meta.robot if bags.records else "", {}
    if description is not None:
        task, robot = task or description.task, description.robot.id
        checkpoints = _checkpoints(description)
    chosen = Chosen(data, task, robot, bags.records, bags.unreadable, bags.run, checkpoints)
    with Bar("reading bags for the report") as bar:
        return make_report(chosen, story, bar.show)


@contextmanager
def leaving_report(description: GraphDescription, command: str) -> Iterator[None]:
    """While a graph runs: however it ends, leave its report beside its bags, and say where.

    Nothing that goes wrong with the report is raised. Where the graph has failed, an empty report is none.

    Args:
        description: the graph.
        command: that starts it.
    """
    failed = True
    try:
        yield
        failed = False
    except KeyboardInterrupt:
        failed = False
        raise
    finally:
        try:
            _leave(description, command, failed=failed)
        except KeyboardInterrupt:
            _no_report(description, "interrupted")
        except XRolloutError as error:
            _no_report(description, str(error))
        except Exception as error:  # a report that cannot be made must not make a run fail that has succeeded
            _no_report(description, f"{type(error).__name__}: {error}")


def _leave(description: GraphDescription, command: str, *, failed: bool) -> None:
    data, run = description.data, description.run
    if description.graph == "flywheel":
        from xrollout_ros.ui.cycle_page import write_reports
        from xrollout_ros.ui.flywheel_output import as_json

        place = Place(Path(str(description.processes[-1].parameters["flywheel"])), SystemClock())
        pages, report, lines = write_reports(place), as_json(place), []
    else:
        made = report_run(data, run, description, Story(command=command))
        if failed and not (made.report.attempts or made.report.not_read):
            return
        pages, report = [write_report(folder_of(data, run), made)], made.report.model_dump(mode="json")
        lines = told(made.report)
    console = output()
    for line in (*lines, *(f"report: {page}" for page in pages)):
        console.print(line, soft_wrap=True)
    if json_wanted():
        print_json({"graph": description.graph, "run": run, "data": data, "pages": pages, "report": report})


def _no_report(description: GraphDescription, why: str) -> None:
    warn(f"no report: {why}; `xrollout report {description.run} --data {description.data}` makes it later")


def told(report: DeploymentReport) -> list[str]:
    """Its result in a few lines."""
    what = "success" if report.made == "attempts" else "demonstrated"
    lines = [f"{what} from {group.name} starts: {group.rate}" for group in report.by_start]
    if not report.attempts:
        lines = ["no attempt could be read" if report.not_read else "nothing was recorded"]
    if report.failures:
        worst = report.failures[0]
        lines.append(f"costs most: {worst.mode}, {worst.count} of {len(report.attempts)} attempts")
    return lines + [f"note: {note}" for note in report.notes]


def _checkpoints(description: GraphDescription) -> dict[str, Path]:
    """SHA-256 and file of the policies that the graph was given."""
    found = {}
    for process in description.processes:
        model, digest = process.parameters.get("model"), process.parameters.get("model_hash")
        if model and digest:
            found[str(digest)] = Path(str(model))
    return found
