"""Fields of a topic as arrays: one row for each message, without a Python object for each.

Messages of a topic mostly have one layout, so the values lie at the same offsets in all of them; see
:mod:`xrollout_ros.episodes.rows` for what makes that sure. Messages that differ are decoded one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.bag_reader import Bag, message_decoder, reading
from xrollout_ros.episodes.chunks import ChunkFile, ChunkMessages, Ints
from xrollout_ros.episodes.layout import Definition, FieldType, LayoutError, definition
from xrollout_ros.episodes.rows import ChannelRows, Part, Text


class IrregularError(BagError):
    """Messages that are whole, but make no array: shapes differ, or the bag has no index."""


@dataclass(frozen=True, eq=False)
class TextColumn:
    """Texts of a topic's messages; each different one is kept once."""

    values: tuple[Text, ...]
    """The different texts; a tuple of texts for a field that is an array."""
    codes: npt.NDArray[np.int32]
    """(N,) index into ``values``."""

    def array(self) -> npt.NDArray[np.object_]:
        """(N,) the text of each message."""
        table = np.empty(len(self.values), dtype=object)
        table[:] = self.values
        return table[self.codes]


@dataclass(frozen=True, eq=False)
class Columns:
    """Fields of N messages of one topic."""

    log_time_ns: Ints
    """(N,) when each was received, ns since the epoch."""
    values: Mapping[str, npt.NDArray[Any]]
    """(N,) for a number, (N, K) for an array or a Point, Vector3 or Quaternion, by field; the message's own type."""
    texts: Mapping[str, TextColumn]
    """By field that is text."""

    def __len__(self) -> int:
        """N."""
        return len(self.log_time_ns)

    def __getitem__(self, field: str) -> npt.NDArray[Any]:
        """A field of all messages; texts as objects."""
        return self.texts[field].array() if field in self.texts else self.values[field]

    def time_ns(self, field: str) -> Ints:
        """(N,) a ``builtin_interfaces/Time`` whose :func:`time_fields` were read, ns."""
        second, nanosecond = time_fields(field)
        times: Ints = self.values[second].astype(np.int64) * NS + self.values[nanosecond]
        return times


def time_fields(*fields: str) -> tuple[str, ...]:
    """What to read of fields that are ``builtin_interfaces/Time``."""
    return tuple(f"{field}.{part}" for field in fields for part in ("sec", "nanosec"))


def read_columns(bag: Bag, topic: str, fields: Sequence[str]) -> Columns:
    """Fields of all messages of a topic, in the order received. CRCs are checked.

    Args:
        bag: from :func:`xrollout_ros.episodes.bag_reader.open_bag`.
        topic: its full name.
        fields: paths like ``position`` or ``pose.position.x``; each ends at a number, a text, an array of either, a
            Point, a Vector3 or a Quaternion.

    Raises:
        SpecError: the messages have no such field, or it cannot be a column.
        BagError: the bag is damaged, has no such topic, or the field's lengths differ from message to message.
    """
    return BagColumns(bag).read({topic: fields})[topic]


def iter_columns(bag: Bag, topic: str, fields: Sequence[str]) -> Iterator[Columns]:
    """As :func:`read_columns`, but block by block, so that a bag of any size fits into memory.

    Blocks come in the order of the file; within one, all arrays have the same shapes, and rows are in the order
    received. Where the lengths of a field differ, there are more blocks.

    Raises:
        SpecError, BagError: as for :func:`read_columns`.
    """
    yield from BagColumns(bag).iterate(topic, fields)


class BagColumns:
    """Reads fields of several topics in one pass."""

    def __init__(self, bag: Bag) -> None:
        self._bag = bag
        self._file = ChunkFile(bag.file, bag.summary)
        self._messages = sum(self._file.counts.values())

    @property
    def topics(self) -> dict[str, int]:
        """Messages by topic."""
        found: dict[str, int] = {}
        for number, channel in self._file.channels.items():
            found[channel.topic] = found.get(channel.topic, 0) + self._file.counts.get(number, 0)
        return found

    def has(self, topic: str, name: str) -> bool:
        """Whether all messages of a topic have a field of this name at their top.

        Raises:
            IrregularError: its definition cannot be read.
        """
        return all(self._definition(number).has(name) for number in self._channels(topic))

    def read(self, requests: Mapping[str, Sequence[str]]) -> dict[str, Columns]:
        """The named fields of some topics, see :func:`read_columns`.

        Raises:
            SpecError, BagError: as there.
        """
        tables = {topic: _Table(self, topic, fields) for topic, fields in requests.items()}
        parts: dict[str, list[Part]] = {topic: [] for topic in tables}
        for topic, found in self._pass(tables):
            parts[topic].extend(found)
        return {topic: tables[topic].columns(found) for topic, found in parts.items()}

    def iterate(self, topic: str, fields: Sequence[str]) -> Iterator[Columns]:
        """Blocks of one topic, see :func:`iter_columns`.

        Raises:
            SpecError, BagError: as there.
        """
        table = _Table(self, topic, fields)
        for _, found in self._pass({topic: table}):
            for group in _by_shape(found):
                yield table.columns(group)

    def _pass(self, tables: Mapping[str, _Table]) -> Iterator[tuple[str, list[Part]]]:
        if not self._file.chunks and self._messages:
            raise IrregularError(
                f"the bag {self._bag.file} has no index of its chunks", "Read its messages one by one: `Bag.messages`."
            )
        with reading(self._bag.file):
            number = 0
            for messages in self._file.iterate(set(tables)):
                for topic, table in tables.items():
                    found = table.read(messages, number)
                    if found:
                        yield topic, found
                number += len(messages.start)

    def _channels(self, topic: str) -> list[int]:
        return [number for number, channel in self._file.channels.items() if channel.topic == topic]

    def _definition(self, channel: int) -> Definition:
        schema = self._file.schemas.get(self._file.channels[channel].schema_id)
        if schema is None:
            raise IrregularError(f"the bag {self._bag.file} lacks a definition", "It cannot be decoded.")
        try:
            return definition(schema.name, schema.data.decode())
        except (LayoutError, UnicodeDecodeError) as error:
            raise IrregularError(f"in {self._bag.file}: {error}", "Read it one by one: `Bag.messages`.") from error


class _Table:
    """The wanted fields of one topic, whichever channels carry it."""

    def __init__(self, owner: BagColumns, topic: str, fields: Sequence[str]) -> None:
        self._bag, self._topic = owner._bag, topic
        channels = owner._channels(topic)
        if not channels:
            known = ", ".join(sorted(owner.topics)) or "none"
            raise BagError(f"the bag {owner._bag.path} has no messages on {topic}", f"Its topics are: {known}.")
        self._fields: dict[str, FieldType] = {}
        self._codes: dict[str, dict[Text, int]] = {}
        self._readers: dict[int, ChannelRows] = {}
        for number in channels:
            described = owner._definition(number)
            try:
                kinds = {name: described.field(name) for name in fields}
            except LayoutError as error:
                raise IrregularError(f"{topic} in {owner._bag.file}: {error}", "Read `Bag.messages`.") from error
            if self._fields and kinds != self._fields:
                raise IrregularError(f"{topic} carries several types in {owner._bag.file}", "Read `Bag.messages`.")
            self._fields = kinds
            self._codes = self._codes or {name: {} for name, kind in kinds.items() if kind.dtype is None}
            self._readers[number] = ChannelRows(
                definition=described,
                decode=_decoder(owner._file, number),
                fields=kinds,
                codes=self._codes,
                count=owner._file.counts.get(number, 0),
            )

    def read(self, messages: ChunkMessages, first_number: int) -> list[Part]:
        parts: list[Part] = []
        for number, reader in self._readers.items():
            rows = np.flatnonzero(messages.channel == number)
            if len(rows):
                parts.extend(reader.read(messages, rows, first_number))
        return parts

    def columns(self, parts: Sequence[Part]) -> Columns:
        """The parts as one table in the order received.

        Raises:
            IrregularError: their shapes differ.
        """
        if len(_by_shape(parts)) > 1:
            for name in self._fields:
                shapes = sorted({part.values[name].shape[1:] for part in parts if name in part.values})
                if len(shapes) > 1:
                    shown = ", ".join(str(shape[0]) for shape in shapes[:8])
                    raise IrregularError(
                        f"`{name}` of the messages on {self._topic} in {self._bag.path} holds {shown} values in turn",
                        "It makes no one array: take it block by block (`iter_columns`).",
                    )
        if not parts:
            return self._nothing()
        number = np.concatenate([part.number for part in parts])
        times = np.concatenate([part.log_time_ns for part in parts])
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
        codes = {name: np.concatenate([part.texts[name] for part in parts]) for name in parts[0].texts}
        if (np.diff(times) < 0).any() or (np.diff(number) < 0).any():
            order = np.lexsort((number, times))  # received at once: as in the file
            times = times[order]
            values = {name: column[order] for name, column in values.items()}
            codes = {name: column[order] for name, column in codes.items()}
        return Columns(
            times, values, {name: TextColumn(tuple(self._codes[name]), column) for name, column in codes.items()}
        )

    def _nothing(self) -> Columns:
        values = {}
        for name, kind in self._fields.items():
            if kind.dtype is not None:
                components = len(kind.paths) if len(kind.paths) > 1 else 0
                values[name] = np.empty((0, components) if kind.array else 0, kind.dtype)
        texts = {name: TextColumn((), np.empty(0, dtype=np.int32)) for name in self._codes}
        return Columns(np.empty(0, dtype=np.int64), values, texts)


def _decoder(file: ChunkFile, number: int) -> Any:
    channel = file.channels[number]
    schema = file.schemas[channel.schema_id]
    decode = message_decoder(channel.message_encoding, schema.name, schema.encoding, schema.data)
    if decode is None:
        raise IrregularError(
            f"{channel.topic} is encoded as {channel.message_encoding} by {schema.encoding}",
            "Only CDR with `ros2msg` definitions can be decoded.",
        )
    return decode


def _by_shape(parts: Sequence[Part]) -> list[list[Part]]:
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        groups.setdefault(tuple(column.shape[1:] for column in part.values.values()), []).append(part)
    return list(groups.values())
