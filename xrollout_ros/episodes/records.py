"""Episodes as the lists and reports show them: the bag's own word, overridden by the journal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xrollout_ros.core.episode import EpisodeMeta, Result
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.journal import Effective
from xrollout_ros.episodes.journal_entry import JournalEntry
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.episodes.store import EpisodeEntry, Progress, entry_of, find_episodes

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
"""How the folders of a data folder are called."""


@dataclass(frozen=True)
class Record:
    """One readable episode, with what holds for it now."""

    path: Path
    bytes: int
    meta: EpisodeMeta
    effective: Effective

    @property
    def result(self) -> Result:
        """What counts of it, later judgements applied."""
        return self.meta.result(self.effective.outcome)

    @property
    def lost(self) -> int:
        """Messages known to be missing from the bag."""
        return sum(topic.lost for topic in self.meta.topics.values())


@dataclass(frozen=True)
class Records:
    """A data folder's episodes, oldest first, and what could not be read in it."""

    records: tuple[Record, ...]
    unreadable: tuple[EpisodeEntry, ...]
    journal_problems: tuple[str, ...]


def read_records(data: Path, progress: Progress = lambda done, total: None) -> Records:
    """Every episode under ``data``, judged by bag and journal together.

    Args:
        data: the data folder.
        progress: told how many of how many bags are read.

    Raises:
        DataError: the folder is not there, or its journal cannot be read.
    """
    entries = find_episodes(data, progress)
    judged = journal.read(data / JOURNAL)
    unreadable = tuple(entry for entry in entries if entry.meta is None)
    return Records(tuple(_records(entries, judged.entries)), unreadable, judged.problems)


def records_of(data: Path, entries: Iterable[EpisodeEntry]) -> list[Record]:
    """Those of a data folder's bags that can be read, with what its journal says of them.

    Raises:
        DataError: the journal cannot be read.
    """
    return _records(entries, journal.read(data / JOURNAL).entries)


def records_at(data: Path, folders: Sequence[Path]) -> list[Record]:
    """The episodes in these folders of a data folder; those that are gone or damaged meanwhile are left out.

    Raises:
        DataError: the journal cannot be read.
    """
    return records_of(data, [entry_of(folder) for folder in folders if folder.is_dir()])


def _records(entries: Iterable[EpisodeEntry], said: Iterable[JournalEntry]) -> list[Record]:
    by_episode: dict[str, list[JournalEntry]] = {}
    for each in said:
        by_episode.setdefault(each.episode_id, []).append(each)
    return [
        Record(entry.path, entry.bytes, meta, journal.effective(meta, by_episode.get(meta.episode_id, ())))
        for entry in entries
        if (meta := entry.meta) is not None
    ]


def is_day(folder: Path) -> bool:
    """Whether a folder is one of a data folder's, for the bags of a day."""
    return _DAY.fullmatch(folder.name) is not None


def journal_of(path: Path) -> Path:
    """The journal of the data folder that a bag lies in; one that isn't there reads as empty."""
    folders = path.absolute().parents[:3]
    own = folders[1] if is_day(folders[0]) else folders[0]
    return next((folder / JOURNAL for folder in folders if (folder / JOURNAL).is_file()), own / JOURNAL)


def record_json(record: Record) -> dict[str, Any]:
    """An episode as JSON: its metadata with the outcome that holds, and the judgements."""
    effective = record.effective
    return {
        **record.meta.model_dump(mode="json"),
        "outcome": effective.outcome.value,
        "outcome_source": effective.source.value,
        "outcome_reason": effective.reason,
        "helped": record.result.helped,
        "tags": list(effective.tags),
        "judgements": [judgement.model_dump(mode="json") for judgement in effective.judgements],
        "path": str(record.path),
        "bytes": record.bytes,
        "lost": record.lost,
    }
