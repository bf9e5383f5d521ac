"""Answers of the catalog as a table, JSON, CSV or Parquet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.columns import ALIASES, BY_NAME, PUBLIC
from xrollout_ros.episodes.catalog.query import Group, Question
from xrollout_ros.ui import text
from xrollout_ros.ui.console import json_text, output, print_json

if TYPE_CHECKING:
    import pyarrow as pa

EPISODE_COLUMNS = (
    "episode_id", "started_at", "task", "policy_id", "start", "kind", "outcome", "failure_mode", "duration_s", "tags",
)  # fmt: skip
_TITLES = ("column", "also", "type", "what")
_EXTENSIONS = {".json": "json", ".csv": "csv", ".parquet": "parquet", ".txt": "table"}


@dataclass(frozen=True)
class Rows:
    """An answer."""

    columns: Sequence[str]
    rows: Sequence[dict[str, Any]]
    arrow: Callable[[], pa.Table]
    """Made only where it is needed: Arrow takes a while to import."""


def form_of(file: Path | None, form: str | None, *, as_json: bool) -> str:
    """The format that is meant.

    Raises:
        DataError: the file's extension tells none, the formats contradict, or Parquet is to go to the terminal.
    """
    if as_json and form not in (None, "json"):
        raise DataError(f"--json and --format {form} contradict", "Give one of them.")
    form = "json" if as_json else form
    if file is not None and form is None:
        form = _EXTENSIONS.get(file.suffix.lower())
        if form is None:
            raise DataError(
                f"the extension of {str(file)!r} names no format", f"Use {', '.join(_EXTENSIONS)}, or give --format."
            )
    if form == "parquet" and file is None:
        raise DataError("Parquet is not for a terminal", "Name a file with --output.")
    return form or "table"


def group_rows(groups: Sequence[Group], question: Question) -> Rows:
    """Groups as an answer."""
    rows = [_group_row(group, question) for group in groups]
    numbers = ["attempts", "successes", "rate", "low", "high", "helped", "unknown"]
    columns = [*question.labels, *numbers, *(["episodes", "failed"] if question.ids else [])]

    def arrow() -> pa.Table:
        from xrollout_ros.episodes.catalog.answers import grouped

        return grouped(groups, question)

    return Rows(columns, rows, arrow)


def _group_row(group: Group, question: Question) -> dict[str, Any]:
    low, high = group.interval
    counts = {"attempts": group.attempts, "successes": group.successes, "rate": group.rate, "low": low, "high": high}
    more = {"helped": group.helped, "unknown": group.unknown}
    ids = {"episodes": list(group.episodes), "failed": list(group.failed)} if question.ids else {}
    return {**group.group, **counts, **more, **ids}


def write_groups_json(data: Path, question: Question, groups: Sequence[Group], file: Path | None) -> None:
    """Groups as a JSON document that says what was asked."""
    asked = {
        "by": list(question.labels),
        "where": [f"{each.name}{each.operator.value}{','.join(map(_said, each.values))}" for each in question.where],
        "success_rate_lt": question.rate_lt,
        "success_rate_gt": question.rate_gt,
        "min_attempts": question.min_attempts,
        "max_attempts": question.max_attempts,
        "layers": None if question.layers.only is None else sorted(question.layers.only),
        "without_layers": sorted(question.layers.without),
        "confidence": question.confidence,
    }
    rows = [_group_row(group, question) for group in groups]
    shown = [
        {"group": group.group, **{k: row[k] for k in row if k not in group.group}}
        for group, row in zip(groups, rows, strict=True)
    ]
    document = {"data": str(data), "asked": asked, "groups": shown}
    _put_json(document, file, text.plural(len(groups), "group"))


def _said(value: object) -> str:
    return "none" if value is None else str(value)


def tell(answer: Rows, file: Path | None, form: str, shown: Sequence[str] | None, noun: str) -> None:
    """Print an answer, or write it to a file.

    Args:
        answer: the answer.
        file: where to; None: standard output.
        form: ``table``, ``json``, ``csv`` or ``parquet``.
        shown: columns of the table; None: all but ids.
        noun: what a row is.

    Raises:
        DataError: the file cannot be written.
    """
    count = text.plural(len(answer.rows), noun)
    if form == "json":
        _put_json(list(answer.rows), file, count)
    elif form == "csv":
        _put(_csv(answer), file, count)
    elif form == "parquet":
        assert file is not None
        _put_parquet(answer.arrow(), file, count)
    elif file is not None:
        console = Console(file=io.StringIO(), width=240, markup=False, highlight=False)
        console.print(_table(answer, shown))
        _put(console.file.getvalue(), file, count)  # type: ignore[attr-defined]
    elif answer.rows:
        console = output()
        console.print(_table(answer, shown))
        console.print(f"\n{count}", style="dim")


def _csv(answer: Rows) -> str:
    made = io.StringIO()
    writer = csv.DictWriter(made, answer.columns, lineterminator="\n")
    writer.writeheader()
    for row in answer.rows:
        writer.writerow({key: " ".join(map(str, v)) if isinstance(v, list) else v for key, v in row.items()})
    return made.getvalue()


def _put_json(document: Any, file: Path | None, count: str) -> None:
    if file is None:
        print_json(document)
    else:
        _put(json_text(document) + "\n", file, count)


def _put(content: str, file: Path | None, count: str) -> None:
    if file is None:
        click.echo(content, nl=False)
        return
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_text(content, encoding="utf-8")
        os.replace(fresh, file)
    except OSError as error:
        raise _refused(fresh, file, error) from error
    click.echo(f"wrote {count} to {file}", err=True)


def _put_parquet(found: pa.Table, file: Path, count: str) -> None:
    import pyarrow.parquet as pq

    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        pq.write_table(found, fresh)
        os.replace(fresh, file)
    except OSError as error:
        raise _refused(fresh, file, error) from error
    click.echo(f"wrote {count} to {file}", err=True)


def _refused(fresh: Path, file: Path, error: OSError) -> DataError:
    if fresh.parent.is_dir():
        fresh.unlink(missing_ok=True)
    return DataError(
        f"the answer cannot be written to {file} ({error})", "Name a file in a folder that can be written."
    )


def _table(answer: Rows, shown: Sequence[str] | None) -> Table:
    columns = [name for name in (shown or answer.columns) if name not in ("episodes", "failed", "low", "high") or shown]
    if "low" in answer.columns and "rate" in columns:
        columns.insert(columns.index("rate") + 1, "interval")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        numeric = any(isinstance(row.get(name), (int, float)) for row in answer.rows) or name in ("rate", "interval")
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(Text(_cell(name, row)) for name in columns))
    return table


def _cell(name: str, row: dict[str, Any]) -> str:
    if name == "interval":
        return f"{row['low']:.0%} to {row['high']:.0%}"
    value = row[name]
    if value is None:
        return "–"
    if name == "rate":
        return f"{value:.0%}"
    if name == "started_at":
        return text.moment(str(value))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def why_nothing(catalog: Catalog, question: Question) -> str:
    """A word to whoever gets no group: is it the filter, or the groups."""
    everything = Question(where=question.where, by=(), min_attempts=0, layers=question.layers, ids=False)
    found = catalog.groups(everything)
    attempts = found[0].attempts if found else 0
    if attempts:
        return f"no group is like that among {text.plural(attempts, 'attempt')} that fit the filters"
    return f"no attempt in {catalog.data} fits the filters; `xrollout query` without any shows what there is"


def columns_json() -> list[dict[str, str]]:
    """What can be asked for."""
    also = {full: short for short, full in ALIASES.items()}
    known = [
        ("tag" if name == "tags" else name, also.get(name, ""), BY_NAME[name].kind.value, BY_NAME[name].about)
        for name in PUBLIC
        if name != "properties"
    ]
    known.append(("property.NAME", "", "any", BY_NAME["properties"].about))
    known.append(("day", "", "text", "of the start, UTC; for --by"))
    return [dict(zip(_TITLES, row, strict=True)) for row in known]


def show_columns(console: Console) -> None:
    """The same for people."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in _TITLES:
        table.add_column(title)
    for row in columns_json():
        table.add_row(*row.values())
    console.print(table)
