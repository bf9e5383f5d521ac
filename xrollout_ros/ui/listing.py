"""What `xrollout episodes list` shows: from the catalog where there is one, else from all bags; the same either way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrollout_ros.core.episode import EpisodeKind, Outcome, Result
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.episodes.catalog.filters import TAG, Condition, Operator
from xrollout_ros.episodes.catalog.live import FILE
from xrollout_ros.ui.following import caught_up, warn
from xrollout_ros.ui.progress import Bar

if TYPE_CHECKING:
    from xrollout_ros.episodes.records import Record


@dataclass(frozen=True)
class Wanted:
    """Which episodes; None: any."""

    task: str | None = None
    outcome: str | None = None
    kind: str | None = None
    tag: str | None = None
    limit: int | None = None
    """Only the newest so many."""


@dataclass(frozen=True)
class Listed:
    """One line of the list."""

    path: Path
    episode_id: str
    started_at: str
    task: str
    kind: EpisodeKind
    result: Result
    failure_mode: str
    tags: Sequence[str]
    duration_s: float
    bytes: int
    lost: int


@dataclass(frozen=True)
class Listing:
    """The episodes that were wanted, oldest first, and what could not be read."""

    episodes: Sequence[Listed]
    matching: int
    """How many there are without the limit."""
    looked_at: int
    unreadable: Sequence[tuple[Path, str]]
    """Bags, each with why."""
    journal_problems: Sequence[str]
    records: Callable[[], Sequence[Record]]
    """The same episodes with all that their bags say of themselves."""


def list_episodes_of(data: Path, wanted: Wanted) -> Listing:
    """The episodes of a data folder, with outcomes and tags as they hold now.

    Raises:
        DataError: the folder is not there, or its journal cannot be read.
    """
    if (data / FOLDER / FILE).is_file():
        try:
            with caught_up(data) as catalog:
                return _from_catalog(catalog, wanted)
        except DataError as error:
            warn(f"every bag is read, since {error}")
    return _from_bags(data, wanted)


def _from_catalog(catalog: Catalog, wanted: Wanted) -> Listing:
    given = {"task": wanted.task, "outcome": wanted.outcome, "kind": wanted.kind, TAG: wanted.tag}
    where = [Condition(name, Operator.EQUAL, (value,)) for name, value in given.items() if value is not None]
    known = catalog.known()
    unreadable = list(known.problems)
    if known.open:
        from xrollout_ros.episodes.store import RECORDED

        unreadable += [(path, RECORDED) for path in known.open]
    rows = catalog.listing(where, limit=wanted.limit)[::-1]
    episodes = [_of_row(catalog.data, row) for row in rows]
    return Listing(
        episodes,
        len(rows) if wanted.limit is None or len(rows) < wanted.limit else catalog.count(where),
        known.episodes,
        [(catalog.data / path, problem) for path, problem in sorted(unreadable)],
        known.journal_problems,
        lambda: _records_at(catalog.data, episodes),
    )


def _records_at(data: Path, episodes: Sequence[Listed]) -> Sequence[Record]:
    from xrollout_ros.episodes.records import records_at

    return records_at(data, [each.path for each in episodes])


def _of_row(data: Path, row: Mapping[str, Any]) -> Listed:
    return Listed(
        path=data / row["path"],
        episode_id=row["episode_id"],
        started_at=row["started_at"],
        task=row["task"],
        kind=EpisodeKind(row["kind"]),
        result=Result(Outcome(row["outcome"]), row["helped"]),
        failure_mode=row["failure_mode"],
        tags=row["tags"],
        duration_s=row["duration_s"],
        bytes=row["bytes"],
        lost=row["lost"],
    )


def _from_bags(data: Path, wanted: Wanted) -> Listing:
    from xrollout_ros.episodes.records import read_records  # and with it what reads bags

    with Bar("reading bags") as bar:
        found = read_records(data, bar.show)
    chosen = [
        record
        for record in found.records
        if wanted.task in (None, record.meta.task)
        and wanted.outcome in (None, record.effective.outcome.value)
        and wanted.kind in (None, record.meta.kind.value)
        and (wanted.tag is None or wanted.tag in record.effective.tags)
    ]
    shown = chosen if wanted.limit is None else chosen[-wanted.limit :]
    return Listing(
        [_of_record(record) for record in shown],
        len(chosen),
        len(found.records),
        [(entry.path, entry.problem) for entry in found.unreadable],
        found.journal_problems,
        lambda: shown,
    )


def _of_record(record: Record) -> Listed:
    meta, effective = record.meta, record.effective
    return Listed(
        path=record.path,
        episode_id=meta.episode_id,
        started_at=meta.started_at,
        task=meta.task,
        kind=meta.kind,
        result=record.result,
        failure_mode=effective.failure_mode,
        tags=list(effective.tags),
        duration_s=meta.duration_s,
        bytes=record.bytes,
        lost=record.lost,
    )
