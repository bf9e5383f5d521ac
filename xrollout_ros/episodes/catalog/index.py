"""Brings a catalog in line with the bags and the journal of its data folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xrollout_ros.core.clock import Clock
from xrollout_ros.episodes.catalog import bags
from xrollout_ros.episodes.catalog.live import LiveStore, Reading
from xrollout_ros.episodes.catalog.walk import Changes, Known, State, changes
from xrollout_ros.episodes.catalog.workers import look_at
from xrollout_ros.episodes.paths import JOURNAL

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


def known(reading: Reading, folders: Sequence[str] | None = None) -> Known:
    """What a catalog knows of the disk.

    Args:
        reading: the store's.
        folders: the bags only of these, and of those below them; of the data folder itself (the empty path) only those
            that lie in it. None: all bags.
    """
    states: dict[str, State] = {}
    for folder in (None,) if folders is None else folders:
        for table, readable in (("episodes", True), ("problems", False)):
            where, values = _inside(folder, table)
            found = reading.rows(f"SELECT path, bytes, mtime_ns FROM {table} WHERE {where}", values)
            states.update((path, State(size, mtime_ns, readable)) for path, size, mtime_ns in found)
    return Known(states, dict(reading.rows("SELECT path, mtime_ns FROM folders")))


def _inside(folder: str | None, table: str) -> tuple[str, tuple[str, ...]]:
    """Which bags lie in a folder, through the index of paths."""
    if folder is None:
        return "true", ()
    if not folder:
        return f"path IN (SELECT path FROM {table} WHERE instr(path, '/') = 0)", ()
    # '0' comes after '/'.
    return "path > ? AND path < ?", (f"{folder}/", f"{folder}0")


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
        folders = None if every else _changed(reading, data)
        before = known(reading, folders)
    found = Changes() if folders == [] else changes(data, before, clock.wall_ns(), every=every)
    read = _read(store, data, found, workers, progress)
    removed = 0
    if found.gone or found.folders or found.forget:
        with store.write() as writing:
            removed = bags.remove_paths(writing, data, found.gone)
            writing.run("DELETE FROM folders WHERE path = ?", [(path,) for path in found.forget])
            writing.run("INSERT OR REPLACE INTO folders VALUES (?, ?)", found.folders.items())
    entries = bags.follow_journal(store, data / JOURNAL, anew=every)
    return _report(store, read, removed, entries, found)


def _changed(reading: Reading, data: Path) -> list[str] | None:
    """Folders of bags that were changed or are gone; None: none has been looked at yet. It is asked before each
    question, so it is quick.
    """
    folders = dict(reading.rows("SELECT path, mtime_ns FROM folders"))
    return None if "" not in folders else [path for path, at_ns in folders.items() if _time_of(data / path) != at_ns]


def _time_of(folder: Path) -> int:
    """When it was changed, ns; -1: it is gone."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return -1


def _read(store: LiveStore, data: Path, found: Changes, workers: int, progress: Progress | None) -> int:
    batch: list[dict[str, Any]] = []
    done, total = 0, len(found.look)
    for row in look_at(data, found.look, workers):
        batch.append(row)
        if len(batch) == BATCH or done + len(batch) == total:
            with store.write() as writing:
                for each in batch:
                    bags.put_bag(writing, data, each)
            done += len(batch)
            batch.clear()
            if progress is not None:
                progress(done, total)
    return done


def _report(store: LiveStore, read: int, removed: int, entries: int, found: Changes) -> Report:
    with store.read() as reading:
        problems = reading.rows("SELECT path, problem FROM problems ORDER BY path")
        said = reading.rows("SELECT value FROM state WHERE name = 'journal_problems'")
        ((episodes,),) = reading.rows("SELECT coalesce(sum(episodes), 0) FROM rollup")
    journal_problems = tuple(str(said[0][0]).splitlines()) if said else ()
    return Report(read, removed, entries, tuple(problems), tuple(found.open), journal_problems, int(episodes))
