"""`xrollout review status` and `agreement`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.mining.review.agreement import ENOUGH, Agreement, Kappa
from xrollout_ros.mining.review.api import Reviews
from xrollout_ros.mining.review.queue import Why
from xrollout_ros.ui import text
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, json_option
from xrollout_ros.ui.people import reviewer_option
from xrollout_ros.ui.review_options import criteria_of, criteria_options
from xrollout_ros.ui.standing import show_standing, standing_json

_DIFFERING = 20


@click.command("status")
@reviewer_option
@criteria_options
@filter_options()
@data_option
@json_option
def status(reviewer: str, data: Path, sample: float, double: float, salt: str, as_json: bool, **filters: Any) -> None:
    """Say how many episodes wait for you, who has decided how much, and how far auto-labels are relied on.

    Of each success classifier: what people say of a random sample of its labels, and the state that follows from it
    by the 5/10-point rule: gathering, widen, hold or retrain.
    """
    conditions, criteria = conditions_of(filters), criteria_of(sample, double, salt)
    with caught_up(data) as catalog:
        found = Reviews(catalog, reviewer, criteria).status(conditions)
    waiting = {why.value: found.waiting.get(why, 0) for why in Why if found.waiting.get(why)}
    total = sum(waiting.values())
    if as_json:
        decided = {"by": found.decided, "episodes": found.episodes, "twice": found.twice}
        labels = [standing_json(each) for each in found.labels]
        waits = {"total": total, **waiting}
        print_json({"reviewer": reviewer, "waiting": waits, "decided": decided, "auto_labels": labels})
        return
    console = output()
    each = ", ".join(f"{count} {why}" for why, count in waiting.items())
    console.print(f"waiting for {reviewer}: {total}" + (f" ({each})" if each else ""))
    by = ", ".join(f"{count} by {author}" for author, count in found.decided.items())
    console.print(f"decided: {text.plural(found.episodes, 'episode')}" + (f" ({by})" if by else ""))
    console.print(f"seen by two: {found.twice}")
    for standing in found.labels:
        show_standing(console, standing)


@click.command("agreement")
@filter_options()
@data_option
@json_option
def agreement(data: Path, as_json: bool, **filters: Any) -> None:
    """Say how well two reviewers agree about the episodes that both have judged.

    Cohen's kappa: 1 is agreement about everything, 0 what chance would make of it. Each one's own last word counts.
    """
    conditions = conditions_of(filters)
    with caught_up(data) as catalog:
        found = Reviews(catalog, "nobody").agreement(conditions)
    if as_json:
        print_json([_json(each) for each in found])
        return
    console = output()
    if not found:
        console.print("no episode has been judged by two reviewers yet; `xrollout review` shows some of them to both")
    for each in found:
        _show(console, each)


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
