"""The episodes of a data folder, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.mining.statistics import success_rate_of
from xrollout_ros.ui import text
from xrollout_ros.ui.listing import Listed, Listing

_STYLES = {Outcome.SUCCESS: "green", Outcome.FAILURE: "red", Outcome.ABORT: "magenta", Outcome.UNKNOWN: "yellow"}
_IMPLIED = ("bootstrap", "evaluation")
"""Tags that say no more than the kind."""
_SHORT_ID = 10
"""Last characters of a ULID: random ones, so they tell the episodes of a day apart, where the first do not."""


def show(console: Console, data: Path, found: Listing) -> None:
    """For people."""
    if found.episodes:
        console.print(_table(found.episodes))
        _summarize(console, found)
    else:
        console.print(f"{data} holds no such episode ({text.plural(found.looked_at, 'episode')} looked at)")
    _warn(console, found)


def as_json(data: Path, found: Listing) -> dict[str, Any]:
    """For programs."""
    from xrollout_ros.episodes.records import record_json  # and with it what reads bags

    return {
        "data": str(data),
        "episodes": [record_json(record) for record in found.records()],
        "unreadable": [{"path": str(path), "problem": problem} for path, problem in found.unreadable],
        "journal_problems": list(found.journal_problems),
    }


def _table(episodes: Sequence[Listed]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    tagged = any(map(_tags, episodes))
    for name in ("id", "started (UTC)", "task", "kind", "outcome", "failure", *(["tags"] if tagged else [])):
        table.add_column(name, no_wrap=name not in ("task", "failure", "tags"), overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("lost", justify="right", no_wrap=True)
    for each in episodes:
        table.add_row(
            Text("…" + each.episode_id[-_SHORT_ID:]),
            Text(text.moment(each.started_at)),
            Text(each.task),
            Text(each.kind.value),
            _outcome(each),
            Text(each.failure_mode),
            *([Text(" ".join(_tags(each)))] if tagged else []),
            text.duration(each.duration_s),
            text.size(each.bytes),
            Text(str(each.lost), style="red") if each.lost else Text("0", style="dim"),
        )
    return table


def _tags(each: Listed) -> list[str]:
    return [tag for tag in each.tags if tag not in _IMPLIED]


def _outcome(each: Listed) -> Text:
    outcome = each.result.outcome
    return Text(outcome.value + (", helped" if each.result.helped else ""), style=_STYLES[outcome])


def _summarize(console: Console, found: Listing) -> None:
    of = f" of {found.matching}" if found.matching > len(found.episodes) else ""
    parts = [f"{text.plural(len(found.episodes), 'episode')}{of}"]
    attempts = [each.result for each in found.episodes if each.kind.rated]
    demonstrations = [each.result for each in found.episodes if each.kind is EpisodeKind.DEMONSTRATION]
    if attempts:
        parts.append(f"success {success_rate_of(attempts)}")
    if demonstrations:
        good = sum(result.success for result in demonstrations)
        parts.append(f"{good} of {text.plural(len(demonstrations), 'demonstration')} succeeded")
    console.print("\n" + "; ".join(parts))


def _warn(console: Console, found: Listing) -> None:
    for path, problem in found.unreadable:
        console.print(Text(f"not read: {path}: {problem}", style="yellow"))
    for said in found.journal_problems:
        console.print(Text(f"not read: {said}", style="yellow"))
