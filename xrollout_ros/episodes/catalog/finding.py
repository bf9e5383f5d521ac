"""Finds in a live store what a person means: an episode by a part of its id, an entry of the journal, a property."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.filters import PROPERTY, property_path
from xrollout_ros.episodes.catalog.live import Reading
from xrollout_ros.episodes.journal_entry import JournalEntry, Value

_SHOWN = 8
_ALPHABET = frozenset("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
"""Of ULIDs."""


def episode_id(reading: Reading, id_or_part: str) -> str:
    """The one episode whose id is, begins or ends with this.

    Raises:
        DataError: there is none, or several.
    """
    wanted = id_or_part.upper()
    found: list[tuple[Any, ...]] = []
    if wanted and _ALPHABET.issuperset(wanted):
        begin = "SELECT episode_id FROM episodes WHERE episode_id BETWEEN ? AND ? LIMIT ?"
        found = reading.rows(begin, (wanted, f"{wanted}~", _SHOWN + 1))
        end = "SELECT episode_id FROM episodes WHERE episode_id GLOB ? LIMIT ?"
        found = found or reading.rows(end, (f"*{wanted}", _SHOWN + 1))
    names = [name for (name,) in found]
    if not names:
        raise DataError(f"no episode has an id like {id_or_part!r}", "`xrollout episodes list` shows those there are.")
    if len(names) > 1:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        raise DataError(f"{id_or_part!r} fits several episodes: {shown}", "Give more of the id.")
    return str(names[0])


def entries(reading: Reading, name: str) -> list[JournalEntry]:
    """The journal's entry with this id, or all of the batch with it.

    Raises:
        DataError: there is none.
    """
    found = reading.rows("SELECT entry FROM annotations WHERE entry_id = ?", (name.upper(),))
    if not found:
        batch = "SELECT entry FROM annotations WHERE json_extract(entry, '$.batch') = ? ORDER BY place"
        found = reading.rows(batch, (name.upper(),)) if name else []
    if not found:
        raise DataError(
            f"the journal has no entry {name!r}",
            "`xrollout query --sql 'SELECT entry_id, kind, name, author FROM annotations'` shows them.",
        )
    return [JournalEntry.model_validate_json(entry) for (entry,) in found]


def check_type(reading: Reading, name: str, value: Value, episodes: Sequence[str]) -> None:
    """Refuse a value of another type than the property has elsewhere, or has had in these episodes.

    Raises:
        DataError: it has one.
    """
    said = "SELECT value FROM annotations WHERE kind = 'property' AND name = ? AND NOT retracted AND value IS NOT NULL"
    known = [json.loads(text) for (text,) in reading.rows(f"{said} LIMIT 1", (name,))]
    path = property_path(PROPERTY + name)
    for each in episodes:
        own = reading.rows(
            "SELECT json_quote(json_extract(properties, ?)) FROM episodes WHERE episode_id = ? "
            "AND json_type(properties, ?) IN ('integer', 'real', 'text')",
            (path, each, path),
        )
        known += [json.loads(text) for (text,) in own]
    for other in known:
        if _type(other) != _type(value):
            raise DataError(
                f"property {name!r} is to be {value!r}, {_type(value)}, but it is {_type(other)} elsewhere ({other!r})",
                "Give a value of that type, or use another name.",
            )


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, (int, float)) else "text"


def said_of(reading: Reading, name: str) -> tuple[str, list[str], dict[str, Any]]:
    """An episode's tags and properties as they hold now; none for one that is not in the catalog."""
    found = reading.rows("SELECT tags, properties FROM episodes WHERE episode_id = ?", (name,))
    tags, properties = found[0] if found else ("[]", "{}")
    return name, json.loads(tags), json.loads(properties)
