"""What mining found, for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.mining.coverage import Cell, Coverage, Near, Region, View
from xrollout_ros.mining.failures import FailureGroup
from xrollout_ros.mining.mine import Mined
from xrollout_ros.mining.plan import CollectionPlan
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.mining.trend import Course
from xrollout_ros.ui import text

_SHOWN = 3
"""Cells of a kind, and bags that cannot be read, that are named."""
_RANKED = 20
"""Groups that are listed."""
_WHOLE, _SHORT, _WIDE = 26, 10, 110
"""Letters of an id, the last ones, where the terminal is this wide and where it is not."""


def show(console: Console, mined: Mined) -> None:
    """Ranked failures, coverage, and the plan."""
    _head(console, mined)
    ids = _WHOLE if console.width >= _WIDE else _SHORT
    if mined.groups:
        console.print()
        console.print(_table(mined, ids))
        if len(mined.groups) > _RANKED:
            console.print(f"and {len(mined.groups) - _RANKED} more; --json has them all")
        first = mined.plan.target.medoid if mined.plan else mined.groups[0].medoid
        console.print(f"\nthe one to look at: xrollout episodes open {first} --in foxglove", soft_wrap=True)
    console.print()
    for line in coverage_words(mined):
        console.print(line, soft_wrap=True, highlight=False)
    target = mined.plan.target.mode if mined.plan else ""
    for mode, trend in mined.trends.items():
        # Of the others only what is certain.
        if mode == target or trend.course in (Course.FALLING, Course.PLATEAUED):
            console.print(f"{mode}: {trend.words}", soft_wrap=True, highlight=False)
    console.print()
    if mined.plan is None:
        console.print(f"no plan: {mined.why_no_plan}", soft_wrap=True)
        return
    show_plan(console, mined.plan)


def show_plan(console: Console, plan: CollectionPlan) -> None:
    """What to collect, from which starts, and what speaks against it."""
    for line in plan_words(plan):
        console.print(Text.from_markup(line), soft_wrap=True)
    console.print(_starts(plan, _WHOLE if console.width >= _WIDE else _SHORT))
    for warning in plan.warnings:
        console.print(Text.assemble(("warning: ", "yellow"), warning.text), soft_wrap=True)


def _head(console: Console, mined: Mined) -> None:
    found = mined.population
    policies = ", ".join(found.policies)
    newest = " (the newest of several; --policy chooses)" if found.newest_policy else ""
    starts = ", ".join(sorted({row.start for row in found.attempts}))
    console.print(f"{found.task} on {found.robot}, policy {policies}{newest}, starts {starts}", soft_wrap=True)
    console.print(f"success: {success_rate(mined.successes, mined.attempts, unknown=found.unknown)}", highlight=False)
    if found.older:
        console.print(f"{found.older} older attempts are left out (--most reads more)")
    for name, why in list(mined.unreadable.items())[:_SHOWN]:
        console.print(Text.assemble((f"left out {name}: ", "yellow"), why), soft_wrap=True)
    if len(mined.unreadable) > _SHOWN:
        console.print(f"and {len(mined.unreadable) - _SHOWN} more; --json names them all", style="yellow")


def _table(mined: Mined, ids: int) -> Table:
    clustered = any(group.stability is not None for group in mined.groups)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "failure", "attempts", "share", "severity", "score", *(["stability"] * clustered), "look at"):
        left = name in ("failure", "look at")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "failure", overflow="fold")
    for number, group in enumerate(mined.groups[:_RANKED], 1):
        stability = "–" if group.stability is None else f"{group.stability:.2f}"
        table.add_row(
            str(number),
            group.name,
            str(len(group.members)),
            f"{group.frequency:.0%} ({100 * group.low:.0f}–{group.high:.0%})",
            f"{group.severity:.2g}",
            f"{group.score:.3f}",
            *([stability] * clustered),
            group.medoid[-ids:],
        )
    return table


def coverage_words(mined: Mined) -> list[str]:
    """What is known of the starts."""
    coverage = mined.coverage
    if coverage is None:
        return [f"nothing can be said of starts: {mined.why_no_coverage}"]
    lines = []
    demonstrations = len(coverage.demonstrations)
    if coverage.reach is None:
        lines.append(f"starts: {text.plural(demonstrations, 'demonstration')}, too few to say what is near them")
    else:
        which = " that it was trained from" if mined.population.learned_known else ""
        near, far = _near_words(coverage.near), _near_words(coverage.far)
        lines.append(f"success from starts near one of {demonstrations} demonstrations{which}: {near}; others: {far}")
    if not coverage.views:
        lines.append(f"{text.plural(coverage.n_attempts, 'attempt')}: too few for places")
    for region in Region:
        cells = coverage.cells(region)
        if cells:
            named = "; ".join(place(coverage, view, cell) for view, cell in cells[:_SHOWN])
            more = f"; and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
            lines.append(f"{region.value}: {named}{more}")
    return lines


def _near_words(near: Near) -> str:
    low, high = near.interval
    return f"{near.successes}/{near.attempts} ({low:.0%} to {high:.0%})" if near.attempts else "0/0"


def place(coverage: Coverage, view: View, cell: Cell) -> str:
    """A cell in words."""
    sides = []
    for index, low, high in zip(view.axes, cell.low, cell.high, strict=True):
        axis = coverage.axes[index]
        sides.append(f"{axis.label} {low:.3f} to {high:.3f} {axis.unit}".strip())
    shown = text.plural(cell.demonstrations, "demonstration")
    return f"{', '.join(sides)} ({cell.successes}/{cell.attempts} succeeded, {shown})"


def plan_words(plan: CollectionPlan) -> list[str]:
    """The plan in a few lines of markup."""
    frequency = plan.evidence.frequency
    cluster = f" #{plan.target.cluster}" if plan.target.cluster is not None else ""
    count = text.plural(plan.demonstrations, "demonstration")
    meaning = f" ({plan.target.meaning})" if plan.target.meaning else ""
    lines = [f"[bold]collect next: {count} for {plan.target.mode}{cluster}[/bold]{meaning}"]
    if not plan.target.members:
        return [*lines, f"why: {plan.evidence.course}; {plan.rule}"]
    why = f"why: {frequency.count} of {frequency.attempts} attempts, severity {plan.evidence.severity:.2g}"
    gain = f"{frequency.low:.0%} to {frequency.high:.0%}"
    lines.append(f"{why}; if all of these succeeded, success would rise by {gain}: that is the most there is to gain")
    return lines


def _starts(plan: CollectionPlan, ids: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    if not plan.target.members:
        return _unsure(table, plan, ids)
    for name in ("", "failed attempt", "start", "seed", "failed at", "from demos", "unlike them since"):
        left = name in ("failed attempt", "start")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for start in plan.starts:
        table.add_row(
            str(start.number),
            start.episode_id[-ids:],
            start.start,
            "–" if start.seed is None else str(start.seed),
            _seconds(start.failed_at_s),
            "–" if start.from_demonstrations is None else f"{start.from_demonstrations:.2f}",
            _seconds(start.novel_since_s),
        )
    return table


def _unsure(table: Table, plan: CollectionPlan, ids: int) -> Table:
    for name in ("", "attempt", "start", "seed", "less sure than", "scores"):
        table.add_column(name, justify="left" if name in ("attempt", "start", "scores") else "right", overflow="fold")
    for start in plan.starts:
        table.add_row(
            str(start.number),
            start.episode_id[-ids:] or "–",
            start.start,
            "–" if start.seed is None else str(start.seed),
            "–" if start.unsure is None else f"{start.unsure:.0%}",
            start.evidence,
        )
    return table


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def as_json(mined: Mined) -> dict[str, Any]:
    """All of it."""
    found, coverage = mined.population, mined.coverage
    rate = success_rate(mined.successes, mined.attempts)
    return {
        "task": found.task,
        "robot": found.robot,
        "policies": list(found.policies),
        "attempts": mined.attempts,
        "successes": mined.successes,
        "interval": [rate.low, rate.high],
        "unknown": found.unknown,
        "older": found.older,
        "unreadable": dict(mined.unreadable),
        "groups": [_group_json(group) for group in mined.groups],
        "places": {name: [round(value, 4) for value in place] for name, place in mined.places.items()},
        "coverage": None if coverage is None else _coverage_json(coverage),
        "why_no_coverage": mined.why_no_coverage,
        "trends": {
            mode: {"course": each.course.value, "words": each.words, "start": each.start}
            for mode, each in mined.trends.items()
        },
        "plan": None if mined.plan is None else mined.plan.model_dump(mode="json"),
        "why_no_plan": mined.why_no_plan,
    }


def _group_json(group: FailureGroup) -> dict[str, Any]:
    return {
        "mode": group.mode,
        "cluster": group.number,
        "members": list(group.members),
        "medoid": group.medoid,
        "stability": group.stability,
        "severity": group.severity,
        "frequency": group.frequency,
        "low": group.low,
        "high": group.high,
        "score": group.score,
    }


def _coverage_json(coverage: Coverage) -> dict[str, Any]:
    views = []
    for view in coverage.views:
        cells = [
            {
                "low": cell.low,
                "high": cell.high,
                "attempts": cell.attempts,
                "successes": cell.successes,
                "demonstrations": cell.demonstrations,
                "region": cell.region.value if cell.region else None,
            }
            for cell in view.cells
        ]
        views.append({"axes": [coverage.axes[index].label for index in view.axes], "cells": cells})
    return {
        "axes": [{"label": axis.label, "unit": axis.unit} for axis in coverage.axes],
        "near_demonstrations": {"successes": coverage.near.successes, "attempts": coverage.near.attempts},
        "far_from_demonstrations": {"successes": coverage.far.successes, "attempts": coverage.far.attempts},
        "near_is": coverage.reach,
        "views": views,
    }
