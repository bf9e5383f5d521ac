"""What `xrollout tag` and `untag` say of episodes, and how it is taken back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.ids import is_id
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.episodes.catalog.filters import Condition, parse
from xrollout_ros.episodes.journal import Said
from xrollout_ros.episodes.journal_entry import (
    JournalEntry,
    PropertySet,
    Retracted,
    Tagged,
    Value,
    check_property,
    check_tag,
)
from xrollout_ros.episodes.records import is_day, journal_of
from xrollout_ros.episodes.store import entry_of
from xrollout_ros.ui import text
from xrollout_ros.ui.following import caught_up, warn
from xrollout_ros.ui.people import login

_SHOWN = 5


@dataclass(frozen=True)
class Statement:
    """Of which episodes, by whom, where and why something is said."""

    data: Path
    words: Sequence[str]
    """An episode and tags; tags alone where a filter chooses the episodes."""
    where: Sequence[str] = ()
    layer: str = ""
    reason: str = ""
    author: str | None = None
    """None: who is logged in."""

    @property
    def by(self) -> str:
        """The author, as the journal names one."""
        return self.author or f"human:{login()}"


@dataclass(frozen=True)
class Done:
    """What was written into the journal."""

    entries: Sequence[JournalEntry]
    episodes: Sequence[tuple[str, Sequence[str], dict[str, Any]]]
    """Of each episode id, tags and properties as they hold now."""

    @property
    def name(self) -> str:
        """By which it is taken back."""
        return self.entries[0].batch or self.entries[0].id


def put_on(statement: Statement, properties: Sequence[str]) -> Done:
    """Put tags on, and set properties (``NAME=VALUE``).

    Raises:
        XRolloutError: an episode, tag or property is not allowed or unknown; nothing is said then.
    """
    values = dict(map(_property, properties))
    with _target(statement) as (catalog, target):
        what: list[Tagged | PropertySet] = [
            Tagged(tag=check_tag(name), reason=statement.reason) for name in target.names
        ]
        for name, value in values.items():
            catalog.check_type(name, value, target.episodes)
            what.append(PropertySet(name=name, value=value, reason=statement.reason))
        return _say(catalog, target, what, statement)


def take_off(statement: Statement, properties: Iterable[str]) -> Done:
    """Take tags and properties off.

    Raises:
        XRolloutError: as :func:`put_on`.
    """
    with _target(statement) as (catalog, target):
        what: list[Tagged | PropertySet] = [
            Tagged(tag=check_tag(name), on=False, reason=statement.reason) for name in target.names
        ]
        what += [PropertySet(name=check_property(name), value=None, reason=statement.reason) for name in properties]
        return _say(catalog, target, what, statement)


def take_back(statement: Statement, name: str) -> Done:
    """Take back what an entry of the journal said, or all of one go.

    Raises:
        DataError: the journal has no such entry, or cannot be written.
    """
    with caught_up(statement.data) as catalog:
        said = [
            Said(statement.by, each.episode_id, Retracted(entry=each.id, reason=statement.reason), statement.layer)
            for each in catalog.entries(name)
        ]
        return Done(catalog.say(said), ())


def show(console: Console, done: Done) -> None:
    """For people."""
    said = "1 entry" if len(done.entries) == 1 else f"{len(done.entries)} entries"
    click.echo(f"wrote {said} to the journal; take back with: xrollout untag --undo {done.name}", err=True)
    for episode_id, tags, properties in done.episodes[:_SHOWN]:
        shown = ", ".join([*tags, *(f"{name}={value}" for name, value in properties.items())])
        console.print(f"{episode_id}: {shown or 'no tags'}", soft_wrap=True)
    if len(done.episodes) > _SHOWN:
        console.print(f"… and {text.plural(len(done.episodes) - _SHOWN, 'episode')} more")
    if not done.episodes:
        console.print(f"took back {len(done.entries)} of the journal's entries")


def as_json(done: Done) -> dict[str, Any]:
    """For programs."""
    return {
        "entries": len(done.entries),
        "undo": done.name,
        "episodes": [
            {"episode_id": episode_id, "tags": list(tags), "properties": properties}
            for episode_id, tags, properties in done.episodes
        ],
    }


@dataclass(frozen=True)
class _Target:
    episodes: tuple[str, ...]
    names: tuple[str, ...]


@contextmanager
def _target(statement: Statement) -> Iterator[tuple[Catalog, _Target]]:
    """The catalog, the episodes that are meant, and the words that are left."""
    words, where, data = statement.words, statement.where, statement.data
    if not where and not words:
        raise SpecError("no episode is named", "Give an ID or PATH first, or --where.")
    conditions = list(map(parse, where))
    bag = Path(words[0]) if not where and (Path(words[0]).exists() or "/" in words[0]) else None
    named = ""
    if bag is not None:
        bag = bag.parent if bag.is_file() else bag
        named = _id_of(bag)  # before its folder is taken for a data folder
        data = _data_of(bag, data)
    with caught_up(data) as catalog:
        if where:
            yield catalog, _Target(_fitting(catalog, conditions), tuple(words))
        else:
            yield catalog, _Target((named or catalog.find(words[0]),), tuple(words[1:]))


def _fitting(catalog: Catalog, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """The episodes that fit; those of other programs, with ids that the journal does not take, are told."""
    found = catalog.ids(conditions)
    kept = tuple(name for name in found if is_id(name))
    if len(kept) < len(found):
        left = text.plural(len(found) - len(kept), "episode")
        warn(f"{left} left out, whose ids are no ULIDs: nothing can be said of them")
    if not kept:
        raise DataError("no episode fits the filter", "`xrollout query --episodes` shows what there is.")
    return kept


def _data_of(bag: Path, data: Path) -> Path:
    """The data folder that a bag lies in; no other folder becomes one because a bag lies there."""
    journal = journal_of(bag)
    known = journal.is_file() or (journal.parent / FOLDER).is_dir() or is_day(bag.absolute().parent)
    if not known and journal.parent != data.absolute():
        raise DataError(
            f"{bag} lies in no data folder", f"Move it below {data}, or name its folder with `--data {journal.parent}`."
        )
    return journal.parent


def _id_of(bag: Path) -> str:
    if not bag.is_dir():
        raise DataError(f"there is no bag {bag}", "Name an episode by its id or the path of its bag, then the tags.")
    entry = entry_of(bag)
    if entry.meta is None:
        raise DataError(f"{bag} cannot be read: {entry.problem}", "Name a closed bag of XRollout.")
    return entry.meta.episode_id


def _say(catalog: Catalog, target: _Target, what: Sequence[Tagged | PropertySet], statement: Statement) -> Done:
    if not what:
        raise SpecError("nothing is to be said", "Name tags, or properties with --set or --unset.")
    said = [Said(statement.by, each, one, statement.layer) for each in target.episodes for one in what]
    entries = catalog.say(said)
    return Done(entries, list(catalog.said_of(target.episodes)))


def _property(word: str) -> tuple[str, Value]:
    name, equals, value = word.partition("=")
    if not equals:
        raise SpecError(f"the property {word!r} has no value", "Write NAME=VALUE, e.g. friction=0.3.")
    return check_property(name), _scalar(word, value)


def _scalar(word: str, value: str) -> Value:
    try:
        found = json.loads(value)
    except ValueError:  # no JSON, or a number of more digits than Python reads
        found = value
    if isinstance(found, float) and not abs(found) < float("inf"):
        raise SpecError(f"the property {word!r} is no finite number", "Nothing compares with it; put it in quotes.")
    if isinstance(found, (list, dict)) or found is None:
        raise SpecError(f"the property {word!r} is no number, truth or text", "Put it in quotes, or use `--unset`.")
    if isinstance(found, str) and (len(found) > 1000 or not found.isprintable()):
        raise SpecError(f"the property {word!r} has control characters or more than 1000", "Shorten it, on one line.")
    return found  # type: ignore[no-any-return]
