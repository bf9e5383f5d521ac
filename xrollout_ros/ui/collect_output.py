"""What a collecting session says: before, and at its end."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.episode import PERTURBATION, Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.records import Record, record_json
from xrollout_ros.episodes.store import find_episode
from xrollout_ros.mining.collection import FAILED, began_alike
from xrollout_ros.runtime.start_list import NUMBER
from xrollout_ros.ui import text
from xrollout_ros.ui.collecting import Session

_SHORT_ID = 10
"""Last characters of a ULID: they tell the episodes of a day apart."""
_PEOPLE = (
    "the policy drives; when the robot asks, or when you see it go wrong: take over, bring it back to where it is at "
    "home, do the rest, and mark the end (keys and buttons: docs/operators.md)"
)


def show_begin(console: Console, session: Session, left: int) -> None:
    """What is going to be made."""
    plan, options = session.plan, session.options
    if plan is not None:
        what = f"{plan.target.mode} ({plan.target.meaning})" if plan.target.meaning else plan.target.mode
        console.print(
            f"plan {plan.plan_id}: {text.plural(plan.demonstrations, 'demonstration')} for {what}", soft_wrap=True
        )
        for number in session.left_out:
            console.print(f"start {number} is left out: it has no seed", style="yellow")
    where = f"{left} of {len(session.starts)}" if left < len(session.starts) else str(left)
    how = f"{options.operator} demonstrates" if options.model is None else f"{options.model.name} drives first"
    disturbed = f", disturbed by {options.perturb}" if options.perturb else ""
    console.print(f"making {where}: {how}{disturbed}; bags go to {options.data}", soft_wrap=True)
    if options.model is not None and session.people:
        console.print(_PEOPLE, soft_wrap=True)


def show_nothing_left(console: Console, session: Session) -> None:
    """All of it is there."""
    console.print(f"nothing is left to collect: {_all(session)} are there", style="green")
    _show_next(console, session)


def _all(session: Session) -> str:
    what = "demonstration" if session.plan is not None else "attempt"
    return f"{len(session.starts)} of {text.plural(len(session.starts), what)}"


def show_end(console: Console, session: Session, records: Sequence[Record], lacking: Sequence[int]) -> None:
    """What came of a run.

    Args:
        console: where.
        session: the session.
        records: what was made in this run, tagged.
        lacking: numbers that are still to be made.
    """
    if records:
        console.print()
        console.print(_table(records))
        succeeded = sum(record.effective.outcome is Outcome.SUCCESS for record in records)
        console.print(f"made {text.plural(len(records), 'attempt')}: {succeeded} succeeded")
        _show_help(console, session, records)
        _show_starts(console, session, records)
    total = len(session.starts)
    if lacking:
        numbers = ", ".join(map(str, lacking))
        console.print(f"still lacking: {numbers} of {total}; the same command with --resume makes them", style="yellow")
    elif records:
        console.print(f"complete: {_all(session)} are there", style="green")
    _show_next(console, session)


def as_json(session: Session, records: Sequence[Record], lacking: Sequence[int]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "data": str(session.options.data),
        "plan_id": None if session.plan is None else session.plan.plan_id,
        "wanted": len(session.starts),
        "left_out": list(session.left_out),
        "lacking": list(lacking),
        "made": [{"number": each.meta.parameters[NUMBER], **record_json(each)} for each in records],
    }


def _table(records: Sequence[Record]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "episode", "start", "seed", "outcome", "taken over at", "duration", "tags"):
        table.add_column(name, justify="right" if name in ("", "seed", "taken over at", "duration") else "left")
    for record in records:
        meta = record.meta
        begins = [span.begin_s for span in meta.interventions]
        table.add_row(
            str(meta.parameters[NUMBER]),
            meta.episode_id[-_SHORT_ID:],
            Text(meta.start),
            "–" if meta.seed is None else str(meta.seed),
            record.effective.outcome.value,
            f"{begins[0]:.2f} s" if begins and meta.policy_id else "–",
            text.duration(meta.duration_s),
            Text(", ".join(record.effective.tags)),
        )
    return table


def _show_help(console: Console, session: Session, records: Sequence[Record]) -> None:
    options = session.options
    if options.model is None:
        return
    helped = sum(record.result.helped for record in records)
    alone = sum(record.result.success for record in records)
    alone_too = f"; {alone} succeeded without, which shows no recovery" if alone else ""
    console.print(f"taken over: {helped} of {len(records)}{alone_too}")
    if options.perturb:
        disturbed = sum(PERTURBATION in record.effective.tags for record in records)
        others = "; in the others nothing came about" if disturbed < len(records) else ""
        console.print(f"disturbed: {disturbed} of {len(records)}{others}")


def _show_starts(console: Console, session: Session, records: Sequence[Record]) -> None:
    """Whether they began where the attempts had failed that they are for."""
    data = session.options.data
    found = {}
    for record in records if session.plan is not None else ():
        if FAILED not in record.meta.parameters:
            continue  # nobody has tried from there
        try:
            failed = find_episode(data, record.meta.parameters[FAILED])
        except DataError:
            continue  # its bag is gone, which takes nothing from the demonstration
        alike = began_alike(failed.path, record.path)
        if alike is not None:
            found[int(record.meta.parameters[NUMBER])] = alike
    if not found:
        return
    console.print(f"begun exactly where the attempts had failed: {sum(found.values())} of {len(found)}")
    if others := [str(number) for number, alike in found.items() if not alike]:
        console.print(
            f"start {', '.join(others)}: another first state than that of the failed attempt, from the same seed; "
            "another version of the simulator, or a fault that shows from the first moment on",
            style="yellow",
        )


def _show_next(console: Console, session: Session) -> None:
    data = shlex.quote(str(session.options.data))
    output = shlex.quote(str(session.options.data.parent / "pyramid"))
    console.print("next:")
    console.print(f"  xrollout pyramid build --raw-data {data} --output {output} --levels 4", soft_wrap=True)
    console.print(f"  xrollout train --data {output}/level4 --output better.pt", soft_wrap=True)
