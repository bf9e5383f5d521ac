"""The flywheel in the terminal, and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import DataError
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import CycleRecord, State
from xrollout_ros.cycle.reporting import report_of
from xrollout_ros.ui.cycle_page import PAGE


def opened(folder: Path) -> Place:
    """The flywheel in a folder.

    Raises:
        DataError: there is none.
    """
    place = Place(folder.resolve(), SystemClock())
    if place.newest() is None and place.deployed() is None:
        raise DataError(
            f"there is no flywheel in {folder}", "`xrollout flywheel run` begins one; --folder names another."
        )
    return place


def as_json(place: Place) -> dict[str, Any]:
    """All there is to know."""
    records, deployed = place.records(), place.deployed()
    return {
        "folder": str(place.root),
        "process": place.owner(),
        "deployed": deployed.model_dump(mode="json") if deployed is not None else None,
        "cycles": [
            report_of(record, records[:number]).model_dump(mode="json") for number, record in enumerate(records)
        ],
        "state": records[-1].state.value if records else None,
    }


def show_status(console: Console, place: Place) -> None:
    """For people."""
    records, deployed, owner = place.records(), place.deployed(), place.owner()
    if deployed is not None:
        console.print(
            f"deployed: policy {deployed.policy.policy_id} since {deployed.since} ({deployed.why})", soft_wrap=True
        )
        console.print(f"  {deployed.policy.checkpoint}", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("cycle", "state", "for", "live before", "demonstrations", "new against deployed", "report"):
        table.add_column(name, overflow="fold")
    for record in records:
        report = place.folder(record) / PAGE
        table.add_row(
            str(record.number), Text(ending(record), style="bold"), record.target or "", live_rate(record),
            str(record.collected.demonstrations) if record.collected is not None else "", compared(record),
            str(report) if report.is_file() else "",
        )  # fmt: skip
    console.print(table)
    newest = records[-1] if records else None
    if newest is not None and newest.stop is not None:
        show_stop(console, newest)
    elif newest is not None and newest.state is not State.DONE:
        who = f"process {owner} is at it" if owner is not None else "nobody is at it: `xrollout flywheel run` goes on"
        console.print(f"cycle {newest.number} is in {newest.state.value}: {who}")


def ending(record: CycleRecord) -> str:
    """How a cycle ended, or where it is."""
    state = record.ending.value.replace("_", " ") if record.ending is not None else record.state.value
    return state if record.stop is None else f"{state} ({record.stop.name.value})"


def live_rate(record: CycleRecord) -> str:
    """Success of the deployed policy in its DEPLOY; empty: not known yet."""
    found = record.deployed
    return "" if found is None else str(found.all.rate)


def compared(record: CycleRecord) -> str:
    """Successes of the new policy and of the deployed one, and the interval of their difference; empty: none."""
    found = record.validated
    if found is None or not found.b.attempts:
        return ""
    return (
        f"{found.b.successes}/{found.b.attempts} against {found.a.successes}/{found.a.attempts}, "
        f"{100 * found.low:+.0f} to {100 * found.high:+.0f} points"
    )


def show_ended(console: Console, place: Place, record: CycleRecord) -> None:
    """What a cycle came to."""
    assert record.ending is not None
    aim = f" for {record.target}" if record.target else ""
    console.print(
        Text.assemble(
            f"cycle {record.number}{aim}: ", (record.ending.value.replace("_", " "), "bold"), f"; {record.reason}"
        ),
        soft_wrap=True,
    )
    found = record.validated
    if found is not None and found.b.attempts:
        console.print(f"  before {found.a.rate}, after {found.b.rate}, from starts that neither was trained from")
    console.print(f"  → {record.next_step}", soft_wrap=True)
    console.print(f"  report: {place.folder(record) / PAGE}", soft_wrap=True)


def show_stop(console: Console, record: CycleRecord) -> None:
    """Why it does not go on by itself."""
    stop = record.stop
    assert stop is not None
    console.print(
        Text.assemble(
            f"cycle {record.number} in {record.state.value}: ", (stop.name.value, "bold yellow"), f"; {stop.reason}"
        ),
        soft_wrap=True,
    )
    console.print(f"  → {stop.next_step}", soft_wrap=True)
