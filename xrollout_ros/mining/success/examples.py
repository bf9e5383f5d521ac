"""Which episodes a success classifier learns from, and which it may label: by who vouches for their outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.columns import EPISODES, RATED_KINDS, names
from xrollout_ros.episodes.catalog.filters import Condition, Dialect, conjunction, equal
from xrollout_ros.episodes.catalog.rows import said_by
from xrollout_ros.episodes.journal_entry import JournalEntry
from xrollout_ros.mining.success.label import AUTHOR, label_in
from xrollout_ros.mining.success.stops import Stop, StoppedError
from xrollout_ros.mining.verification import Basis, BasisKind, outcome_basis

Progress = Callable[[int, int], None]
"""Told how many of how many are read."""
MOST = 2000
"""So many bags are read, the newest."""
OTHER_INTERFACE = "its robot sensed or acted otherwise than that of the others"
_IN_ONE_QUESTION = 500


class Source(str, Enum):
    """Who vouches for an outcome, so that it may be learned from."""

    PERSON = "person"
    """An operator's mark, a review, or a person's tag ``human-verified``."""
    ROBOT = "robot"
    """The robot's own success signal."""
    SILENCE = "silence"
    """The time was up without that signal, from a robot that is known to give it."""


EVERY_SOURCE = tuple(Source)


class Example(NamedTuple):
    """An episode of which something is known or wanted."""

    episode_id: str
    path: str
    """Below the data folder."""
    group: str
    """Attempts of one start and seed, which must not stand on both sides of a test."""
    basis: Basis
    """Without what our own classifiers said, unless a person has vouched for it."""
    source: Source | None
    """None: nobody who can know vouches for it."""
    labelled_by: str
    """Classifier whose label, or whose word that it is unsure, is in force; empty: none."""
    entries: tuple[JournalEntry, ...]
    """The journal's about it."""

    @property
    def success(self) -> bool:
        """Of a verified one."""
        return self.basis.outcome is Outcome.SUCCESS

    @property
    def wanted(self) -> bool:
        """Whether a label of it is wanted: nobody who can know has said how it ended, and nothing stopped it."""
        return (
            self.source is None
            and not self.basis.verified
            and self.basis.kind in (BasisKind.NONE, BasisKind.TIME_LIMIT)
        )


@dataclass(frozen=True)
class Episodes:
    """Episodes of one task and robot."""

    task: str
    robot: str
    examples: tuple[Example, ...]
    """The newest first."""
    signal_heard: bool
    """Whether this robot's success signal is known to work at this task."""

    def verified(self, sources: Sequence[Source] = EVERY_SOURCE) -> list[Example]:
        """Those that may be learned from."""
        return [each for each in self.examples if each.source in sources]

    def wanted(self) -> list[Example]:
        """Those that may be labelled."""
        return [each for each in self.examples if each.wanted]


def counts_of(examples: Iterable[Example]) -> dict[str, dict[str, int]]:
    """How many of each outcome each source vouches for."""
    found = Counter((each.source.value, each.basis.outcome.value) for each in examples if each.source is not None)
    return {
        source.value: {outcome: count for (who, outcome), count in sorted(found.items()) if who == source.value}
        for source in Source
        if any(who == source.value for who, _ in found)
    }


def episodes_of(catalog: Catalog, where: Sequence[Condition] = ()) -> Episodes:
    """Attempts and evaluations of one task and robot, demonstrations too where they are asked for; never clips.

    Args:
        catalog: caught up.
        where: conditions that all hold.

    Raises:
        StoppedError: nothing fits, or it is of several tasks or robots.
        DataError: the catalog cannot be read.
    """
    rows = _rows(catalog, where)
    task, robot = _one(catalog, rows)
    heard = bool(
        catalog.count([equal("task", task), equal("robot", robot), equal("outcome_source", "robot"),
                       equal("outcome", Outcome.SUCCESS.value)])
    )  # fmt: skip
    said = _said(catalog, [row["episode_id"] for row in rows])
    examples = tuple(_example(row, said.get(row["episode_id"], []), heard) for row in rows)
    return Episodes(task, robot, examples, heard)


def _example(row: Mapping[str, Any], entries: Sequence[JournalEntry], heard: bool) -> Example:
    bag = said_by(dict(row))
    basis = outcome_basis(bag, entries)
    if not basis.verified:
        basis = outcome_basis(bag, [entry for entry in entries if entry.author != AUTHOR])
    seed = row["seed"]
    group = row["episode_id"] if seed is None else f"{row['scene']}/{row['start']}/{seed}"
    label = label_in(entries)
    return Example(
        row["episode_id"], row["path"], group, basis, source_of(basis, heard=heard),
        label.classifier if label else "", tuple(entries),
    )  # fmt: skip


def source_of(basis: Basis, *, heard: bool) -> Source | None:
    """Who vouches for an outcome so that it may be learned from; None: nobody.

    An attempt that a check or a person stopped says nothing of how it would have ended. A time limit alone is a guess:
    it counts as a failure only where the robot would have said success, which its first success proves.

    Args:
        basis: of the outcome, without auto-labels.
        heard: whether the robot is known to give its success signal.
    """
    if basis.outcome not in (Outcome.SUCCESS, Outcome.FAILURE):
        return None
    if basis.kind is BasisKind.ROBOT:
        return Source.ROBOT
    if basis.verified:
        return Source.PERSON
    silent = basis.kind is BasisKind.TIME_LIMIT and basis.outcome is Outcome.FAILURE
    return Source.SILENCE if silent and heard else None


def _rows(catalog: Catalog, where: Sequence[Condition]) -> list[dict[str, Any]]:
    kinds = [EpisodeKind.CLIP.value] if any(each.name == "kind" for each in where) else None
    test = conjunction(where, Dialect.SQLITE)
    which = "kind != 'clip'" if kinds else f"kind IN ({', '.join(repr(kind) for kind in RATED_KINDS)})"
    columns = names(EPISODES)
    with catalog.reading() as reading:
        sql = f"SELECT {', '.join(columns)} FROM episodes WHERE {which} AND {test.text}"
        found = reading.rows(f"{sql} ORDER BY started_at DESC, episode_id DESC", test.values)
    return [dict(zip(columns, row, strict=True)) for row in found]


def _one(catalog: Catalog, rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    found = sorted({(row["task"], row["robot"]) for row in rows})
    if not found:
        raise StoppedError(
            Stop.NO_EPISODES, f"no attempt in {catalog.data} fits", "`xrollout query --episodes` shows what there is."
        )
    for number, option in enumerate(("task", "robot")):
        several = sorted({each[number] for each in found})
        if len(several) > 1:
            raise StoppedError(
                Stop.SEVERAL,
                f"there are attempts of several {option}s: {', '.join(several)}",
                f"Choose with --{option}.",
            )
    return found[0]


def _said(catalog: Catalog, ids: Sequence[str]) -> dict[str, list[JournalEntry]]:
    found: dict[str, list[JournalEntry]] = {}
    with catalog.reading() as reading:
        for begin in range(0, len(ids), _IN_ONE_QUESTION):
            some = ids[begin : begin + _IN_ONE_QUESTION]
            marks = ", ".join("?" * len(some))
            sql = f"SELECT episode_id, entry FROM annotations WHERE episode_id IN ({marks}) ORDER BY place"
            for episode_id, entry in reading.rows(sql, tuple(some)):
                found.setdefault(episode_id, []).append(JournalEntry.model_validate_json(entry))
    return found


class Described(NamedTuple):
    """Features of those whose bags can be read."""

    rows: dict[str, dict[str, float]]
    """By episode id."""
    problems: dict[str, str]
    """Why the others can't be."""
    interface_hash: str
    """Of their robot; empty: none can be read."""


def describe(
    catalog: Catalog,
    examples: Sequence[Example],
    interface_hash: str | None = None,
    progress: Progress | None = None,
) -> Described:
    """Features of episodes; a bag that cannot be read, or is of a robot that has changed, is told and never raises.

    Args:
        catalog: of the data folder.
        examples: the episodes.
        interface_hash: the robot's; None: whatever most have.
        progress: told how far it is.
    """
    from xrollout_ros.episodes.reader import read_episode
    from xrollout_ros.mining.success.features import features
    from xrollout_ros.mining.tagging import task_today

    rows: dict[str, dict[str, float]] = {}
    problems: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for number, each in enumerate(examples, start=1):
        try:
            episode = read_episode(catalog.data / each.path, allow_empty=True)
            rows[each.episode_id] = features(replace(episode, task=task_today(episode.task)))
            hashes[each.episode_id] = episode.robot.interface_hash()
        except (XRolloutError, OSError) as error:
            problems[each.episode_id] = str(error)
        if progress is not None:
            progress(number, len(examples))
    usual = interface_hash or (Counter(hashes.values()).most_common(1)[0][0] if hashes else "")
    for name, found in hashes.items():
        if found != usual:
            del rows[name]
            problems[name] = OTHER_INTERFACE
    return Described(rows, problems, usual)
