"""Which bags one run of a graph has made: each of its episodes names the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from xrollout_ros.core.episode import RUN
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import check_id, is_id
from xrollout_ros.episodes.records import Record, records_of
from xrollout_ros.episodes.store import EpisodeEntry, Progress, bags_below, check_data, entry_of

_ID_LENGTH, _TIME = 26, 10
"""Characters of an id, and how many of them are its time; ids of the same millisecond are in no order."""


@dataclass(frozen=True)
class RunBags:
    """A run's episodes, oldest first."""

    run: str
    """Its id; empty: they are of several."""
    records: tuple[Record, ...]
    unreadable: tuple[EpisodeEntry, ...]
    """Bags that may be of this run: none of a later or earlier one, and none that says what it is."""


def begun_at(run: str) -> datetime:
    """When a run began, UTC: its id tells.

    Raises:
        SpecError: it is no id.
    """
    from ulid import ULID

    return ULID.from_str(check_id(run, "run")).datetime


def newest_run(data: Path) -> str:
    """The run that made the newest episode.

    Raises:
        DataError: the folder is not there, or no episode in it names a run.
    """
    for _, folder in sorted(_by_id(data), reverse=True):
        meta = entry_of(folder).meta
        if meta is not None and RUN in meta.parameters:
            return str(meta.parameters[RUN])
    raise DataError(
        f"no episode of {data} names the run that made it",
        "Choose episodes by filters, e.g. `xrollout report --policy ID --output report`.",
    )


def bags_of_run(data: Path, run: str, progress: Progress = lambda done, total: None) -> RunBags:
    """What a run has made. Only bags that are younger than it are looked at: their folders' names tell.

    Args:
        data: the data folder.
        run: its id.
        progress: told how many of how many bags are looked at.

    Raises:
        DataError: the folder is not there, or its journal cannot be read.
        SpecError: ``run`` is no id.
    """
    run = check_id(run.upper(), "run")
    own: list[EpisodeEntry] = []
    unreadable: list[tuple[str, EpisodeEntry]] = []
    next_run = ""
    younger = [each for each in sorted(_by_id(data)) if each[0][:_TIME] >= run[:_TIME]]
    for number, (episode_id, folder) in enumerate(younger):
        progress(number, len(younger))
        entry = entry_of(folder)
        if entry.meta is None:
            unreadable.append((episode_id, entry))
            continue
        of = str(entry.meta.parameters.get(RUN, ""))
        if of == run:
            own.append(entry)
        elif of > run:
            next_run = min(next_run, of) if next_run else of
    # A graph that began later records into the same folder only once this one has ended, or beside it: then one cannot
    # tell whose a damaged bag is.
    return RunBags(
        run,
        tuple(records_of(data, own)),
        tuple(entry for episode_id, entry in unreadable if not next_run or episode_id[:_TIME] < next_run[:_TIME]),
    )


def bags_of(data: Path, episodes: Iterable[str]) -> RunBags:
    """Bags of these episodes, of whichever runs; those that are gone are left out.

    Raises:
        DataError: the folder is not there, or its journal cannot be read.
    """
    wanted = set(episodes)
    entries = [entry_of(folder) for name, folder in sorted(_by_id(data)) if name in wanted]
    return RunBags("", tuple(records_of(data, entries)), tuple(entry for entry in entries if entry.meta is None))


def _by_id(data: Path) -> list[tuple[str, Path]]:
    """Folders of bags by the id that their names end in; others are not of a graph."""
    check_data(data)
    found = ((folder.name[-_ID_LENGTH:], folder) for folder in bags_below(data))
    return [(name, folder) for name, folder in found if is_id(name)]
