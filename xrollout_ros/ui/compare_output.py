"""A comparison in the terminal, and as one self-contained page."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.cycle.comparing.result import ComparisonResult, result_of, write_result
from xrollout_ros.cycle.comparing.run import Comparison
from xrollout_ros.cycle.comparing.trials import ComparisonPlan
from xrollout_ros.sim.faults import parse_faults
from xrollout_ros.ui.cycle_pictures import PairOutcome, evidence_course, paired_outcomes
from xrollout_ros.ui.pages import render

PAGE = "report.html"
ALL = "all"
"""What the row of all starts is called."""


def keep(made: Comparison, folder: Path) -> ComparisonResult:
    """Write the result of a comparison that is through, and its page.

    Raises:
        DataError: the disk refuses.
    """
    found = result_of(made, SystemClock())
    write_result(found, folder, [(folder / PAGE, page(found))])
    return found


def page(found: ComparisonResult) -> str:
    """The page; it loads nothing from elsewhere."""
    pairs: dict[int, dict[str, Any]] = {}
    for each in found.trials:
        own = pairs.setdefault(each.pair, {"pair": each.pair, "start": each.start, "seed": each.seed})
        own[each.arm] = each
    rows = list(pairs.values())
    outcomes = [PairOutcome(each["pair"], each["A"].outcome, each["B"].outcome, each["A"].counted) for each in rows]
    several = len(found.strata) > 1
    return render(
        "comparison.html.j2",
        found=found,
        rows=(*found.strata, found.overall) if several else found.strata,
        course=Markup(evidence_course(found.course, found.bound, found.decided_after)),
        outcomes=Markup(paired_outcomes(outcomes)) if outcomes else "",
        faults=fault_words(found.plan.faults),
        pairs=rows,
        recorded=any(each.episode_id for each in found.trials),
        counts=_counts(outcomes),
        differing=_differing(rows),
        again=again(found.plan, next((each.seed for each in found.trials if each.seed is not None), None)),
    )


def _counts(pairs: Sequence[PairOutcome]) -> dict[str, int]:
    """Of the pairs that count: both succeeded, B alone, A alone, neither."""
    found = Counter((each.a == "success", each.b == "success") for each in pairs if each.counted)
    return {"both": found[True, True], "b": found[False, True], "a": found[True, False], "none": found[False, False]}


def _differing(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[int]]]:
    """The pairs behind won and lost, by start; those of all starts too."""
    found: dict[str, dict[str, list[int]]] = {}
    for each in rows:
        a, b = each["A"].outcome == "success", each["B"].outcome == "success"
        if a != b and each["A"].counted:
            for start in (each["start"], ALL):
                found.setdefault(start, {}).setdefault("won" if b else "lost", []).append(each["pair"])
    return found


def fault_words(faults: str) -> str:
    """What goes wrong in a simulated robot, and how often; for people."""
    return ", ".join(f"{each.kind.replace('_', ' ')} ({each.probability:.0%})" for each in parse_faults(faults))


def again(plan: ComparisonPlan, seed: int | None) -> str:
    """The command that makes a trial of B again, as an episode."""
    start = f"{next(iter(plan.starts))}:{plan.first_seed if seed is None else seed}"
    faults = f" faults:={shlex.quote(plan.faults)}" if plan.faults else ""
    return f"xrollout up deploy model:={shlex.quote(plan.b.checkpoint)} starts:={start} kind:=evaluation{faults}"


def show(console: Console, found: ComparisonResult, folder: Path) -> None:
    """For people."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("starts", "A", "B", "won", "lost", "B less A, 95 %", "no worse, p"):
        table.add_column(name, justify="left" if name in ("starts", "A", "B") else "right")
    for each in (*found.strata, found.overall) if len(found.strata) > 1 else found.strata:
        difference = f"{100 * each.low:+.0f} to {100 * each.high:+.0f}"
        values = (each.start, each.a, each.b, each.won, each.lost, difference, f"{each.p_not_worse:.3f}")
        table.add_row(*(Text(str(value)) for value in values))
    console.print(table)
    left_out = len(found.quarantined) + len(found.unknown)
    if left_out:
        console.print(
            f"left out: {len(found.quarantined)} pairs that were a success at once, {len(found.unknown)} with an "
            "unknown outcome"
        )
    console.print(Text.assemble("verdict: ", (found.verdict.value, "bold"), f"; {found.reason}"), soft_wrap=True)
    console.print(f"  → {found.next_step}", soft_wrap=True)
    console.print(f"report: {folder / PAGE}", soft_wrap=True)
