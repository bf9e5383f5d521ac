"""How well two reviewers agree, in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.mining.review.agreement import ENOUGH, Agreement, Kappa
from xrollout_ros.ui import text

_DIFFERING = 20


def show(console: Console, found: Sequence[Agreement]) -> None:
    """For people."""
    if not found:
        console.print("no episode has been judged by two reviewers yet; `xrollout review` shows some of them to both")
    for each in found:
        _show(console, each)


def as_json(found: Sequence[Agreement]) -> list[dict[str, Any]]:
    """For programs."""
    return [_json(each) for each in found]


def _json(each: Agreement) -> dict[str, Any]:
    return {
        "reviewers": [each.first, each.second],
        "episodes": each.modes.n,
        "enough": each.enough,
        "outcome": asdict(each.outcomes),
        "mode": asdict(each.modes),
        "confusion": [{each.first: a, each.second: b, "episodes": n} for (a, b), n in each.confusion.items()],
        "differing": [
            {"episode_id": name, each.first: one.label, each.second: other.label} for name, one, other in each.differing
        ],
    }


def _show(console: Console, each: Agreement) -> None:
    console.print(
        Text(f"{each.first} and {each.second}: {text.plural(each.modes.n, 'episode')} judged by both", "bold")
    )
    for label, kappa in (("how it ended", each.outcomes), ("why", each.modes)):
        console.print(f"  {label}: {_words(kappa)}", soft_wrap=True)
    if not each.enough:
        console.print(
            f"  too few to rely on: {ENOUGH} and more are wanted; with `--double 0.3` two reviewers see more",
            style="yellow",
        )
    _confusion(console, each)
    if each.differing:
        console.print("\n  they differ about")
        for name, one, other in each.differing[:_DIFFERING]:
            console.print(f"    {name}  {one.label} | {other.label}", soft_wrap=True)
        if len(each.differing) > _DIFFERING:
            console.print(f"    … and {len(each.differing) - _DIFFERING} more; --json has all")
    console.print()


def _words(kappa: Kappa) -> str:
    share, low, high = kappa.share
    agreed = f"the same of {kappa.agreed} of {kappa.n} ({share:.0%}, 95% interval {low:.0%} to {high:.0%})"
    if kappa.value is None:
        return f"kappa cannot be told, both said one and the same of all; {agreed}"
    if kappa.low is None or kappa.high is None:
        return f"kappa {kappa.value:.2f}, without an interval: there is no spread to take it from; {agreed}"
    return f"kappa {kappa.value:.2f} (95% interval {kappa.low:.2f} to {kappa.high:.2f}, asymptotic); {agreed}"


def _confusion(console: Console, each: Agreement) -> None:
    labels = sorted({label for pair in each.confusion for label in pair})
    if len(labels) < 2:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(f"  {each.first} ↓  {each.second} →")
    for label in labels:
        table.add_column(label, justify="right", overflow="fold")
    for row in labels:
        counts = [each.confusion.get((row, column), 0) for column in labels]
        if any(counts):
            table.add_row(f"  {row}", *(str(count) if count else "·" for count in counts))
    console.print()
    console.print(table)
