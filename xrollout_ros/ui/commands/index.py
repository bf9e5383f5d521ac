"""`xrollout index`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.ui import text
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import data_option, json_option
from xrollout_ros.ui.progress import Bar

_SHOWN = 20


@click.command(epilog=epilog("xrollout index", "xrollout index --data raw_rollouts --anew"))
@click.option("--anew", is_flag=True, help="Throw the catalog away first, and read every bag again.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Processes that read bags.  [default: cores]")
@data_option
@json_option
def index(data: Path, anew: bool, workers: int, as_json: bool) -> None:
    """Bring the catalog in line with the bags and the journal.

    Looks at every bag: new and changed ones are read, those that are gone are taken out. The whole journal is read
    again. What an interrupted run has done is kept, and the next one goes on. Nothing is lost by `--anew`: bags and
    journal hold everything.
    """
    if anew:
        _throw_away(data)
    with Catalog(data) as catalog, Bar("reading bags") as bar:
        report = catalog.update(every=True, workers=workers, progress=bar.show)
    if as_json:
        print_json(
            {
                "data": str(data),
                "episodes": report.episodes,
                "read": report.read,
                "removed": report.removed,
                "entries": report.entries,
                "open": list(report.open),
                "unreadable": [{"path": path, "problem": problem} for path, problem in report.problems],
                "journal_problems": list(report.journal_problems),
            }
        )
        return
    from rich.text import Text

    console = output()
    gone = f", {report.removed} taken out" if report.removed else ""
    console.print(
        f"{text.plural(report.episodes, 'episode')} in the catalog of {data}: {text.plural(report.read, 'bag')} read"
        f"{gone}, {report.entries} new journal entries",
        soft_wrap=True,
    )
    for path in report.open:
        console.print(f"being recorded: {path}", soft_wrap=True)
    problems = [f"{path}: {problem}" for path, problem in report.problems] + list(report.journal_problems)
    for problem in problems[:_SHOWN]:
        console.print(Text(f"not read: {problem}", style="yellow"), soft_wrap=True)
    if len(problems) > _SHOWN:
        console.print(f"… and {len(problems) - _SHOWN} more; `--json` has all")


def _throw_away(data: Path) -> None:
    if not data.is_dir():
        return
    try:
        shutil.rmtree(data / FOLDER)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"the catalog {data / FOLDER} cannot be removed ({error})", "Mend its rights.") from error
