"""Brings a catalog in line with the bags and the journal of its data folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xrollout_ros.core.clock import Clock
from xrollout_ros.episodes.catalog.live import LiveStore, Reading
from xrollout_ros.episodes.paths import JOURNAL

JOURNAL_END = "journal_end"
"""The store's note of how much of the journal it has read, bytes."""
CAUGHT_UP = "caught_up"
"""The store's note that it has seen the whole data folder once."""
BATCH = 500
"""Bags in one write: what a kill makes the next run do again."""
Progress = Callable[[int, int], None]
"""Told how many bags of how many are done."""


@dataclass(frozen=True)
class Report:
    """What an indexing has done."""

    read: int
    """Bags that were new or changed."""
    removed: int
    """Episodes whose bags are gone."""
    entries: int
    """Journal entries that were new."""
    problems: tuple[tuple[str, str], ...]
    """All bags that cannot be read, each with why."""
    open: tuple[str, ...]
    """Bags that are being recorded."""
    journal_problems: tuple[str, ...]
    episodes: int
    """In the catalog now."""


def bring_up_to_date(
    store: LiveStore,
    data: Path,
    clock: Clock,
    *,
    every: bool = False,
    workers: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Read what is new or changed, take out what is gone, apply what the journal says.

    What was done before an interruption is kept; the next run goes on from there.

    Args:
        store: the catalog's.
        data: the data folder.
        clock: the machine's.
        every: look at every bag and the whole journal; else only into folders that were changed, and at what was added.
        workers: processes that read bags; 0: as many as fit.
        progress: told how far it is.

    Raises:
        DataError: the store or the journal cannot be used.
    """
    with store.read() as reading:
        dirty = _dirty(reading, data)
        if not every and not dirty and not behind_journal(reading, data / JOURNAL):
            return report(reading)
    # With what reads bags and journal come many libraries, which questions to a catalog that is up to date do without.
    from xrollout_ros.episodes.catalog import bags
    from xrollout_ros.episodes.catalog.walk import Changes, Known, changes

    found = Changes()
    if every or dirty:
        with store.read() as reading:
            found = changes(data, Known(reading), clock.wall_ns(), every=every)
    read = _read(store, data, found.look, workers, progress)
    removed = 0
    double: list[str] = []
    if found.gone or found.folders or found.forget:
        with store.write() as writing:
            removed = bags.remove_paths(writing, data, found.gone)
            writing.run("DELETE FROM folders WHERE path = ?", [(path,) for path in found.forget])
            writing.run("INSERT OR REPLACE INTO folders VALUES (?, ?)", found.folders.items())
            writing.remember(CAUGHT_UP, 1)
            double = bags.no_longer_double(writing, data)
    read += _read(store, data, double, workers, progress)
    entries = bags.follow_journal(store, data / JOURNAL, anew=every)
    with store.read() as reading:
        return report(reading, read, removed, entries, found.open)


def behind_journal(reading: Reading, path: Path) -> int:
    """Bytes of the journal that a store has not read."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    found = reading.rows("SELECT value FROM state WHERE name = ?", (JOURNAL_END,))
    return abs(size - (int(found[0][0]) if found else 0))


def _dirty(reading: Reading, data: Path) -> list[str]:
    """Folders of bags that were changed or are gone; quick, since it is asked before each question."""
    folders = {"": 0, **dict(reading.rows("SELECT path, mtime_ns FROM folders"))}
    return [path for path, mtime_ns in folders.items() if _mtime_ns(data / path) != mtime_ns]


def _mtime_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return -1


def _read(store: LiveStore, data: Path, look: Sequence[str], workers: int, progress: Progress | None) -> int:
    from xrollout_ros.episodes.catalog.bags import put_bag
    from xrollout_ros.episodes.catalog.workers import look_at

    batch: list[dict[str, Any]] = []
    done, total = 0, len(look)
    for row in look_at(data, look, workers):
        batch.append(row)
        if len(batch) == BATCH or done + len(batch) == total:
            with store.write() as writing:
                for each in batch:
                    put_bag(writing, data, each)
            done += len(batch)
            batch.clear()
            if progress is not None:
                progress(done, total)
    return done


def report(
    reading: Reading, read: int = 0, removed: int = 0, entries: int = 0, being_recorded: Sequence[str] = ()
) -> Report:
    """What a catalog holds now, with what an indexing has done."""
    problems = reading.rows("SELECT path, problem FROM problems ORDER BY path")
    said = reading.rows("SELECT value FROM state WHERE name = 'journal_problems'")
    ((episodes,),) = reading.rows("SELECT coalesce(sum(episodes), 0) FROM rollup")
    journal_problems = tuple(str(said[0][0]).splitlines()) if said else ()
    return Report(read, removed, entries, tuple(problems), tuple(being_recorded), journal_problems, int(episodes))
