"""The tag journal: what was judged after a bag was closed. Append-only; it overrides the bag."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xrollout_ros.core.clock import NS, Clock
from xrollout_ros.core.episode import EpisodeMeta, FailureJudgement, Outcome, OutcomeSource
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import check_id, new_id
from xrollout_ros.episodes.rosbag2 import sync_folder

TAG_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""Tags: lower-case letters, digits, dots, hyphens and underscores."""


class Judged(BaseModel):
    """Somebody said why the attempt failed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["failure"] = "failure"
    judgement: FailureJudgement


class Reviewed(BaseModel):
    """Somebody said how the attempt ended, against the bag."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["outcome"] = "outcome"
    outcome: Outcome
    source: OutcomeSource
    reason: str = ""


class Tagged(BaseModel):
    """Somebody put a tag on the episode, or took one off it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["tag"] = "tag"
    tag: Annotated[str, Field(pattern=TAG_PATTERN)]
    on: bool = True
    reason: str = ""


What = Judged | Reviewed | Tagged


class JournalEntry(BaseModel):
    """One line of the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    time: str = Field(description="ISO 8601, UTC")
    author: str
    episode_id: str
    what: Annotated[What, Field(discriminator="kind")]


@dataclass(frozen=True)
class Journal:
    """What the journal says, in the order written."""

    entries: tuple[JournalEntry, ...] = ()
    problems: tuple[str, ...] = ()
    """Lines that could not be read, each with its number and why."""


def append(path: Path, author: str, episode_id: str, what: What, clock: Clock) -> JournalEntry:
    """Add one entry, durably; safe among processes.

    Raises:
        DataError: the disk refuses; the journal is as it was.
        SpecError: the episode id is no ULID.
    """
    now = datetime.fromtimestamp(clock.wall_ns() / NS, tz=timezone.utc).isoformat()
    entry = JournalEntry(id=new_id(), time=now, author=author, episode_id=check_id(episode_id), what=what)
    line = entry.model_dump_json().encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _append_line(handle, line)
        finally:
            os.close(handle)
        sync_folder(path.parent)
    except OSError as error:
        raise DataError(
            f"the journal {path} cannot be written ({error})", "Free space or mend its rights; nothing was added to it."
        ) from error
    return entry


def _append_line(handle: int, line: bytes) -> None:
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        line = b"\n" + line  # a writer was killed in the middle of a line: that line stays, ours begins anew
    try:
        if os.write(handle, line) != len(line):
            raise OSError("the disk took only a part of the line")
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


def read(path: Path) -> Journal:
    """The whole journal; empty where there is none. Torn or unknown lines are reported, not raised.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Journal()
    except OSError as error:
        raise DataError(f"the journal {path} cannot be read ({error})", "Mend its rights.") from error
    entries, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            entries.append(JournalEntry.model_validate_json(line))
        except ValidationError as error:
            reason = "it is torn" if not line.endswith(b"}") else error.errors()[0]["msg"]
            problems.append(f"{path} line {number}: {reason}")
    return Journal(tuple(entries), tuple(problems))


@dataclass(frozen=True)
class Effective:
    """What holds for an episode, the bag and the journal together."""

    outcome: Outcome
    source: OutcomeSource
    reason: str
    judgements: tuple[FailureJudgement, ...] = ()
    """The latest of each author, people before rules and models; none for a success."""
    tags: dict[str, str] = field(default_factory=dict)
    """Who put each of the episode's tags on it, and why; empty: it was made with it."""

    @property
    def failure_mode(self) -> str:
        """The mode that counts; empty: none."""
        return self.judgements[0].mode if self.judgements else ""


def effective(meta: EpisodeMeta, entries: Sequence[JournalEntry]) -> Effective:
    """What holds for an episode: the journal's latest word on outcome and tags, else the bag's; and who says why."""
    outcome, source, reason = meta.outcome, meta.outcome_source, meta.outcome_reason
    latest: dict[str, FailureJudgement] = {}
    tags = dict.fromkeys(meta.tags, "")
    for entry in entries:
        if entry.episode_id != meta.episode_id:
            continue
        if isinstance(entry.what, Reviewed):
            outcome, source, reason = entry.what.outcome, entry.what.source, entry.what.reason
        elif isinstance(entry.what, Tagged):
            if entry.what.on:
                tags[entry.what.tag] = ": ".join(part for part in (entry.author, entry.what.reason) if part)
            else:
                tags.pop(entry.what.tag, None)
        else:
            latest[entry.what.judgement.author] = entry.what.judgement
    judgements = sorted(latest.values(), key=lambda judgement: not judgement.author.startswith("human:"))
    return Effective(outcome, source, reason, () if outcome is Outcome.SUCCESS else tuple(judgements), tags)
