"""The report of a cycle: one self-contained page, and the same as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from xrollout_ros.core.files import write_texts
from xrollout_ros.cycle.comparing.result import FILE as COMPARED
from xrollout_ros.cycle.comparing.result import Rate, read_result
from xrollout_ros.cycle.jobs import COMPARISON
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import CycleRecord
from xrollout_ros.cycle.reporting import report_of
from xrollout_ros.ui.compare_output import PAGE as COMPARISON_PAGE
from xrollout_ros.ui.compare_output import page as comparison_page
from xrollout_ros.ui.pages import render
from xrollout_ros.ui.pictures import success_by_cycle

PAGE, FACTS = "report.html", "report.json"


def write_reports(place: Place) -> list[Path]:
    """Write the reports of all cycles, and the pages of their comparisons; gives the pages.

    Raises:
        DataError: a record is damaged, or the disk refuses.
    """
    records, pages = place.records(), []
    for number, record in enumerate(records):
        folder = place.folder(record)
        compared = folder / COMPARISON
        if (compared / COMPARED).is_file() and not (compared / COMPARISON_PAGE).is_file():
            text = comparison_page(read_result(compared))
            write_texts({compared / COMPARISON_PAGE: text})
        facts = report_of(record, records[:number])
        facts_text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_texts({folder / FACTS: facts_text, folder / PAGE: page(record, facts)})
        pages.append(folder / PAGE)
    return pages


def page(record: CycleRecord, facts: dict[str, Any]) -> str:
    """The page; it loads nothing from elsewhere."""
    rates = [(each["cycle"], Rate.model_validate({k: v for k, v in each.items() if k != "cycle"}))
             for each in facts["convergence"]["deployed"]]  # fmt: skip
    held_out = facts["held_out"]
    pairs = []
    if held_out is not None:
        rows = {**held_out["by_start"], **({"all": held_out} if len(held_out["by_start"]) > 1 else {})}
        pairs = [
            (start, Rate.model_validate(each["before"]), Rate.model_validate(each["after"]))
            for start, each in rows.items()
        ]
    return render(
        "cycle.html.j2",
        record=record,
        facts=facts,
        pairs=pairs,
        deployed=[
            (start, Rate.model_validate(each))
            for start, each in (facts["deployed"]["by_start"] if facts["deployed"] else {}).items()
        ],
        picture=Markup(success_by_cycle(rates)) if len(rates) > 1 else "",
        comparison=f"{COMPARISON}/{COMPARISON_PAGE}" if record.validated and record.validated.comparison else "",
    )
