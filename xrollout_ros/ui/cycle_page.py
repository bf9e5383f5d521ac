"""The reports of a flywheel: each cycle's, its comparison's, and that of what was deployed in it."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from xrollout_ros.core.files import write_texts
from xrollout_ros.cycle.comparing.result import FILE as COMPARED
from xrollout_ros.cycle.comparing.result import read_result
from xrollout_ros.cycle.cycle_report import CycleReport
from xrollout_ros.cycle.jobs import COMPARISON
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import CycleRecord
from xrollout_ros.cycle.reporting import report_of
from xrollout_ros.episodes.runs import bags_of
from xrollout_ros.ui.compare_output import PAGE as COMPARISON_PAGE
from xrollout_ros.ui.compare_output import fault_words
from xrollout_ros.ui.compare_output import page as comparison_page
from xrollout_ros.ui.cycle_pictures import success_by_cycle
from xrollout_ros.ui.deployment import Attempt, DeploymentReport
from xrollout_ros.ui.pages import render
from xrollout_ros.ui.report import FACTS, PAGE, read_report, write_report
from xrollout_ros.ui.run_report import report_bags

__all__ = ["DEPLOYMENT", "FACTS", "PAGE", "deployment", "page", "write_reports"]
DEPLOYMENT = "deployment"
"""Folder of the report of what was deployed, beside the cycle's own."""


def write_reports(place: Place, *, anew: bool = False) -> list[Path]:
    """Write the reports of all cycles, and of their deployments and comparisons; gives the pages.

    Args:
        place: the flywheel.
        anew: those of deployments and comparisons too that are there: attempts may have been judged otherwise since.

    Raises:
        DataError: a record is damaged, or the disk refuses.
    """
    records, pages = place.records(), []
    for number, record in enumerate(records):
        folder = place.folder(record)
        compared = folder / COMPARISON
        if (compared / COMPARED).is_file() and (anew or not (compared / COMPARISON_PAGE).is_file()):
            text = comparison_page(read_result(compared))
            write_texts({compared / COMPARISON_PAGE: text})
        report = report_of(record, records[:number])
        own = page(record, report, deployment(record, folder / DEPLOYMENT, anew=anew))
        write_texts({folder / FACTS: report.model_dump_json(indent=2) + "\n", folder / PAGE: own})
        pages.append(folder / PAGE)
    return pages


def deployment(record: CycleRecord, folder: Path, *, anew: bool = False) -> DeploymentReport | None:
    """What the deployed policy did in a cycle, attempt by attempt; its report is written if it is not there, or anew.

    Returns:
        None: nothing was deployed in it, or the bags are gone.

    Raises:
        DataError: the report or the data folder's journal cannot be read, or the disk refuses.
    """
    there = read_report(folder) if (folder / FACTS).is_file() else None
    data = Path(record.data)
    if (there is not None and not anew) or record.deployed is None or not data.is_dir():
        return there
    bags = bags_of(data, record.deployed.episodes)
    if not bags.records:
        return there
    made = report_bags(data, bags)
    write_report(folder, made)
    return made.report


def page(record: CycleRecord, report: CycleReport, deployed: DeploymentReport | None) -> str:
    """The page; it loads nothing from elsewhere."""
    held_out = report.held_out
    pairs = []
    if held_out is not None:
        pairs = [(start, each.before, each.after) for start, each in held_out.by_start.items()]
        pairs += [("all", held_out.before, held_out.after)] if len(pairs) > 1 else []
    rates = [(each.cycle, each) for each in report.convergence.deployed]
    attempts = deployed.attempts if deployed is not None else ()
    return render(
        "cycle.html.j2",
        report=report,
        began_at=record.began_at,
        faults=fault_words(record.faults),
        how=(report.ending or (report.stop.name if report.stop is not None else record.state)).value,
        pairs=pairs,
        behind={start: _by_success(attempts, start) for start in report.deployed.by_start} if report.deployed else {},
        failed={
            mode.mode: [each for each in attempts if each.failure_mode == mode.mode] for mode in report.failures.modes
        },
        picture=Markup(success_by_cycle(rates)) if rates else "",
        rates=rates,
        comparison=f"{COMPARISON}/{COMPARISON_PAGE}" if record.validated and record.validated.comparison else "",
        deployment=f"{DEPLOYMENT}/{PAGE}" if deployed is not None else "",
    )


def _by_success(attempts: tuple[Attempt, ...], start: str) -> list[tuple[str, list[Attempt]]]:
    """The attempts from one kind of starts: those that succeeded, and the others."""
    own = [each for each in attempts if each.start == start]
    groups = [
        ("succeeded", [each for each in own if each.result.success]),
        ("did not", [each for each in own if not each.result.success]),
    ]
    return [(name, found) for name, found in groups if found]
