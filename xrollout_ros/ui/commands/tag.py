"""`xrollout tag` and `xrollout untag`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

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
    check_text,
)
from xrollout_ros.episodes.records import is_day, journal_of
from xrollout_ros.episodes.store import entry_of
from xrollout_ros.ui import text
from xrollout_ros.ui.console import output
from xrollout_ros.ui.following import caught_up, warn
from xrollout_ros.ui.options import data_option
from xrollout_ros.ui.people import login

_SHOWN = 5
_TAG_EPILOG = """\b
Examples:
  xrollout tag 01M7X5 perturbation --reason "pushed by hand"
  xrollout tag 01M7X5 --set friction=0.3 --set surface=felt
  xrollout tag --where outcome=failure --where 'duration_s>10' slow --layer triage
"""
_UNTAG_EPILOG = """\b
Examples:
  xrollout untag 01M7X5 perturbation
  xrollout untag 01M7X5 --unset friction
  xrollout untag --undo 01M7X6      # take back what one entry of the journal said, or all of one go
"""


@dataclass(frozen=True)
class _Target:
    episodes: tuple[str, ...]
    names: tuple[str, ...]


def _one_line(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """What lists print must not move the cursor of a terminal."""
    return value and check_text(str(parameter.name), value)


def _shared(command: Any) -> Any:
    for option in (
        data_option,
        click.option("--author", callback=_one_line, help="Who says so.  [default: human:USER]"),
        click.option("--reason", default="", callback=_one_line, help="Why, for whoever reads it later."),
        click.option("--layer", default="", metavar="LAYER", help="Say it in this layer.  [default: default]"),
        click.option("-w", "--where", multiple=True, metavar="FILTER", help="All like this, in place of an ID."),
    ):
        command = option(command)
    return command


@click.command(epilog=_TAG_EPILOG)
@click.argument("words", metavar="[ID|PATH] [TAG]...", nargs=-1)
@click.option(
    "--set", "properties", multiple=True, metavar="NAME=VALUE", help="Set a property to a number, truth or text."
)
@_shared
def tag(
    words: tuple[str, ...], properties: tuple[str, ...], where: tuple[str, ...], layer: str, reason: str,
    author: str | None, data: Path,
) -> None:  # fmt: skip
    """Put tags and properties on an episode, or on all that fit.

    No bag is changed: the data folder's journal keeps who said what and why, and the last word holds. All of it is
    said, or nothing.
    """
    values = dict(map(_property, properties))
    with _target(words, where, data) as found:
        catalog, target = found
        what: list[Tagged | PropertySet] = [Tagged(tag=check_tag(name), reason=reason) for name in target.names]
        for name, value in values.items():
            catalog.check_type(name, value, target.episodes)
            what.append(PropertySet(name=name, value=value, reason=reason))
        _say(catalog, target, what, layer, author)


@click.command(epilog=_UNTAG_EPILOG)
@click.argument("words", metavar="[ID|PATH] [TAG]...", nargs=-1)
@click.option("--unset", multiple=True, metavar="NAME", help="Take a property away.")
@click.option("--undo", metavar="ENTRY", help="Take back what was said: an entry's id, or that of one go.")
@_shared
def untag(
    words: tuple[str, ...], unset: tuple[str, ...], undo: str | None, where: tuple[str, ...], layer: str, reason: str,
    author: str | None, data: Path,
) -> None:  # fmt: skip
    """Take tags and properties off, or take back what was said.

    What was said stays in the journal, and can be brought back: by `--undo` of the undoing.
    """
    if undo is not None:
        if words or unset or where:
            raise SpecError("--undo comes with an episode, tags or a filter", "Give --undo alone, with a --reason.")
        _undo(data, undo, reason, layer, author)
        return
    with _target(words, where, data) as found:
        catalog, target = found
        what: list[Tagged | PropertySet] = [Tagged(tag=check_tag(n), on=False, reason=reason) for n in target.names]
        what += [PropertySet(name=check_property(name), value=None, reason=reason) for name in unset]
        _say(catalog, target, what, layer, author)


@contextmanager
def _target(words: Sequence[str], where: Sequence[str], data: Path) -> Iterator[tuple[Catalog, _Target]]:
    """The catalog, the episodes that are meant, and the words that are left."""
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


def _say(
    catalog: Catalog, target: _Target, what: Sequence[Tagged | PropertySet], layer: str, author: str | None
) -> None:
    if not what:
        raise SpecError("nothing is to be said", "Name tags, or properties with --set or --unset.")
    by = author or f"human:{login()}"
    entries = catalog.say([Said(by, each, said, layer) for each in target.episodes for said in what])
    _tell(entries)
    for episode_id, tags, properties in catalog.said_of(target.episodes[:_SHOWN]):
        shown = ", ".join([*tags, *(f"{name}={value}" for name, value in properties.items())])
        output().print(f"{episode_id}: {shown or 'no tags'}", soft_wrap=True)
    if len(target.episodes) > _SHOWN:
        output().print(f"… and {text.plural(len(target.episodes) - _SHOWN, 'episode')} more")


def _tell(entries: Sequence[JournalEntry]) -> None:
    name = entries[0].batch or entries[0].id
    said = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
    click.echo(f"wrote {said} to the journal; take back with: xrollout untag --undo {name}", err=True)


def _undo(data: Path, name: str, reason: str, layer: str, author: str | None) -> None:
    with caught_up(data) as catalog:
        entries = catalog.entries(name)
        by = author or f"human:{login()}"
        said = [Said(by, each.episode_id, Retracted(entry=each.id, reason=reason), layer) for each in entries]
        _tell(catalog.say(said))
        output().print(f"took back {len(entries)} of the journal's entries")


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
