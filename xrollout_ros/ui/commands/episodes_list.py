"""`xrollout episodes list`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.mining.statistics import success_rate_of
from xrollout_ros.ui import text
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.options import data_option, json_option, task_option
from xrollout_ros.ui.records import Record, Records, read_records, record_json

_STYLES = {Outcome.SUCCESS: "green", Outcome.FAILURE: "red", Outcome.ABORT: "magenta", Outcome.UNKNOWN: "yellow"}
_IMPLIED = ("bootstrap", "evaluation")
"""Tags that say no more than the kind."""
_SHORT_ID = 10
"""Last characters of a ULID: random ones, so they tell the episodes of a day apart, where the first do not."""


@click.command("list")
@data_option
@task_option("Only this task.")
@click.option("--outcome", type=click.Choice([each.value for each in Outcome]), help="Only this outcome.")
@click.option("--kind", type=click.Choice([each.value for each in EpisodeKind]), help="Only this kind of episode.")
@click.option("--tag", help="Only those with this tag, e.g. failure-recovery.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@json_option
def list_episodes(
    data: Path, task: str | None, outcome: str | None, kind: str | None, tag: str | None, limit: int | None,
    as_json: bool,
) -> None:  # fmt: skip
    """List the episodes of a data folder.

    Outcome and tags are those that hold: a later judgement of the journal overrides the bag.
    """
    found = read_records(data)
    chosen = [
        record
        for record in found.records
        if (task is None or record.meta.task == task)
        and (outcome is None or record.effective.outcome.value == outcome)
        and (kind is None or record.meta.kind.value == kind)
        and (tag is None or tag in record.effective.tags)
    ]
    shown = chosen if limit is None else chosen[-limit:]
    if as_json:
        print_json(
            {
                "data": str(data),
                "episodes": [record_json(record) for record in shown],
                "unreadable": [{"path": str(entry.path), "problem": entry.problem} for entry in found.unreadable],
                "journal_problems": list(found.journal_problems),
            }
        )
        return
    console = output()
    if shown:
        console.print(_table(shown))
        _summarize(console, shown, len(chosen))
    else:
        console.print(f"{data} holds no such episode ({text.plural(len(found.records), 'episode')} looked at)")
    _warn(console, found)


def _table(records: list[Record]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    tagged = any(map(_tags, records))
    for name in ("id", "started (UTC)", "task", "kind", "outcome", "failure", *(["tags"] if tagged else [])):
        table.add_column(name, no_wrap=name not in ("task", "failure", "tags"), overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("lost", justify="right", no_wrap=True)
    for record in records:
        meta, effective = record.meta, record.effective
        table.add_row(
            Text("…" + meta.episode_id[-_SHORT_ID:]),
            Text(meta.started_at[:19].replace("T", " ")),
            Text(meta.task),
            Text(meta.kind.value),
            _outcome(record),
            Text(effective.failure_mode),
            *([Text(" ".join(_tags(record)))] if tagged else []),
            text.duration(meta.duration_s),
            text.size(record.bytes),
            Text(str(record.lost), style="red") if record.lost else Text("0", style="dim"),
        )
    return table


def _tags(record: Record) -> list[str]:
    return [tag for tag in record.effective.tags if tag not in _IMPLIED]


def _outcome(record: Record) -> Text:
    outcome = record.effective.outcome
    return Text(outcome.value + (", helped" if record.result.helped else ""), style=_STYLES[outcome])


def _summarize(console: Console, shown: list[Record], matching: int) -> None:
    of = f" of {matching}" if matching > len(shown) else ""
    parts = [f"{text.plural(len(shown), 'episode')}{of}"]
    # What people demonstrated says nothing of a policy.
    counted = [record for record in shown if record.meta.kind.counts]
    demonstrations = [record.result for record in counted if record.meta.kind is EpisodeKind.DEMONSTRATION]
    attempts = [record.result for record in counted if record.meta.kind is not EpisodeKind.DEMONSTRATION]
    if attempts:
        parts.append(f"success {success_rate_of(attempts)}")
    if demonstrations:
        good = sum(result.success for result in demonstrations)
        parts.append(f"{good} of {text.plural(len(demonstrations), 'demonstration')} succeeded")
    console.print("\n" + "; ".join(parts))


def _warn(console: Console, found: Records) -> None:
    for entry in found.unreadable:
        console.print(Text(f"not read: {entry.path}: {entry.problem}", style="yellow"))
    for problem in found.journal_problems:
        console.print(Text(f"not read: {problem}", style="yellow"))
