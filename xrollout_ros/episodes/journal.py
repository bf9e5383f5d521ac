"""The tag journal: what was said of episodes after their bags were closed. Append-only; it overrides the bags."""

from __future__ import annotations

import fcntl
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from xrollout_ros.core.clock import NS, Clock
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import check_id, new_id
from xrollout_ros.episodes.journal_entry import (
    TAG_PATTERN,
    Effective,
    JournalEntry,
    Judged,
    PropertySet,
    Retracted,
    Reviewed,
    Tagged,
    What,
    effective,
)
from xrollout_ros.episodes.layers import check_layer
from xrollout_ros.episodes.lines import append_lines

__all__ = [
    "TAG_PATTERN",
    "Effective",
    "Journal",
    "JournalEntry",
    "Judged",
    "PropertySet",
    "Retracted",
    "Reviewed",
    "Said",
    "Tagged",
    "Tail",
    "append",
    "append_all",
    "effective",
    "read",
    "read_from",
]
_MARK_BYTES = 512


class Said(NamedTuple):
    """What is to be added to the journal."""

    author: str
    """E.g. ``human:ann``, ``rule:timeout``, ``model:clip``."""
    episode_id: str
    what: What
    layer: str = ""
    """Empty: the one that the author's kind writes to."""


@dataclass(frozen=True)
class Journal:
    """What the journal says, in the order written."""

    entries: tuple[JournalEntry, ...] = ()
    problems: tuple[str, ...] = ()
    """Lines that could not be read, each with its number and why."""


@dataclass(frozen=True)
class Tail:
    """What was written after some place of the journal."""

    entries: tuple[JournalEntry, ...]
    places: tuple[int, ...]
    """Of each entry: where its line begins, bytes."""
    problems: tuple[str, ...]
    end: int
    """Where the next reading goes on, bytes."""
    mark: str
    """Recognizes what lies before ``end``."""
    from_start: bool
    """Somebody has changed what lay before: this is the whole journal."""


def append(path: Path, author: str, episode_id: str, what: What, clock: Clock, layer: str = "") -> JournalEntry:
    """Add one entry, durably; safe among processes.

    Raises:
        DataError: the disk refuses; the journal is as it was.
        SpecError: the episode id is no ULID.
    """
    return append_all(path, [Said(author, episode_id, what, layer)], clock)[0]


def append_all(path: Path, said: Sequence[Said], clock: Clock) -> list[JournalEntry]:
    """Add entries, durably, all or none; safe among processes.

    Raises:
        DataError: the disk refuses, or a layer's name is not allowed; the journal is as it was.
        SpecError: an episode id is no ULID.
    """
    now = datetime.fromtimestamp(clock.wall_ns() / NS, tz=timezone.utc).isoformat()
    batch, size = (new_id(), len(said)) if len(said) > 1 else ("", 0)
    entries = [
        JournalEntry(
            id=new_id(),
            time=now,
            author=author,
            episode_id=check_id(episode_id),
            what=what,
            layer=check_layer(layer) if layer else "",
            batch=batch,
            batch_size=size,
        )
        for author, episode_id, what, layer in said
    ]
    if not entries:
        return []
    lines = b"".join(entry.model_dump_json().encode() + b"\n" for entry in entries)
    try:
        append_lines(path, lines)
    except OSError as error:
        raise DataError(
            f"the journal {path} cannot be written ({error})", "Free space or mend its rights; nothing was added to it."
        ) from error
    return entries


def read(path: Path) -> Journal:
    """The whole journal; empty where there is none. Torn or unknown lines are reported, not raised.

    Raises:
        DataError: the file cannot be read.
    """
    tail = _parse(path, _bytes(path, 0), 0, torn_end=True)
    return Journal(tail.entries, tail.problems)


def read_from(path: Path, begin: int, mark: str) -> Tail:
    """What was written since the last reading; the whole journal if what had been read is no longer there.

    Args:
        path: the journal.
        begin: ``end`` of the last reading, 0 at first.
        mark: that reading's ``mark``.

    Raises:
        DataError: the file cannot be read.
    """
    known = max(0, begin - _MARK_BYTES)
    content = _bytes(path, known)
    before = content[: begin - known]
    if begin and (len(before) < begin - known or _mark(before) != mark):
        return _parse(path, _bytes(path, 0), 0, from_start=True)
    tail = _parse(path, content[begin - known :], begin)
    whole = content[: tail.end - known]
    return Tail(tail.entries, tail.places, tail.problems, tail.end, _mark(whole[-_MARK_BYTES:]), from_start=False)


def _mark(before: bytes) -> str:
    return hashlib.sha256(before).hexdigest()[:16]


def _bytes(path: Path, begin: int) -> bytes:
    try:
        with path.open("rb") as file:
            # Whoever is writing several lines in one go is waited for.
            fcntl.flock(file, fcntl.LOCK_SH)
            file.seek(begin)
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise DataError(f"the journal {path} cannot be read ({error})", "Mend its rights.") from error


def _parse(path: Path, content: bytes, begin: int, *, torn_end: bool = False, from_start: bool = False) -> Tail:
    """Entries of whole lines; ``torn_end``: what follows the last newline is a torn line."""
    end = len(content) if torn_end else content.rfind(b"\n") + 1
    entries: list[JournalEntry] = []
    places: list[int] = []
    problems: list[str] = []
    place = begin
    for number, line in enumerate(content[:end].split(b"\n"), start=1):
        if line:
            try:
                entries.append(JournalEntry.model_validate_json(line))
                places.append(place)
            except ValidationError as error:
                reason = "it is torn" if not line.endswith(b"}") else error.errors()[0]["msg"]
                where = f"line {number}" if not begin else f"byte {place}"
                problems.append(f"{path} {where}: {reason}")
        place += len(line) + 1
    torn = _torn_batches(entries)
    problems += [f"{path}: batch {batch} is torn; nothing of it counts" for batch in sorted(torn)]
    kept = [(entry, at) for entry, at in zip(entries, places, strict=True) if entry.batch not in torn]
    whole = tuple(entry for entry, _ in kept)
    mark = _mark(content[:end][-_MARK_BYTES:])
    return Tail(whole, tuple(at for _, at in kept), tuple(problems), begin + end, mark, from_start)


def _torn_batches(entries: Sequence[JournalEntry]) -> frozenset[str]:
    found = Counter(entry.batch for entry in entries if entry.batch)
    sizes = {entry.batch: entry.batch_size for entry in entries if entry.batch}
    return frozenset(batch for batch, count in found.items() if count != sizes[batch])
