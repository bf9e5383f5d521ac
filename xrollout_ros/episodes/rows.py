"""Takes the wanted fields of many messages out of a chunk at once, by offsets; what differs is decoded one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xrollout_ros.episodes.chunks import ChunkMessages, Ints
from xrollout_ros.episodes.layout import Definition, FieldType, Layout, LayoutError, Numbers, Span, Texts

Text = str | tuple[str, ...]
Mask = npt.NDArray[np.bool_]
_LAYOUTS = 16
"""Layouts kept for a channel. One that has more is no fixed-layout topic: the rest is decoded one by one."""
_NEAR = 64
"""Values with no more bytes than this between them are taken together: one copy costs less than two."""
_WORTH = 16
"""A channel with fewer messages than this is decoded one by one: a layout costs about as much as a few of them."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some messages whose fields have the same shapes."""

    number: Ints
    """(N,) place among all messages of the file's chunks that were looked at."""
    log_time_ns: Ints
    """(N,) when received, ns since the epoch."""
    values: dict[str, npt.NDArray[Any]]
    """(N, …) by field."""
    texts: dict[str, npt.NDArray[np.int32]]
    """(N,) code of the text, by field."""


class _Piece(NamedTuple):
    """Bytes that must be as in the example, compared by words."""

    offset: int
    expected: npt.NDArray[Any]


def _pieces(spans: Sequence[Span], example: bytes) -> list[_Piece]:
    """Neighbouring spans joined, then cut into whole words of 8 bytes; a last one may overlap."""
    runs: list[Span] = []
    for span in sorted(spans):
        if runs and runs[-1].offset + runs[-1].size == span.offset:
            runs[-1] = Span(runs[-1].offset, runs[-1].size + span.size)
        else:
            runs.append(span)
    cut: list[tuple[int, int, str]] = []
    for offset, size in runs:
        if size >= 8:
            cut.append((offset, size // 8 * 8, "u8"))
            if size % 8:
                cut.append((offset + size - 8, 8, "u8"))
        else:
            cut.append((offset, size, "u4" if size == 4 else "u1"))
    return [
        _Piece(offset, np.frombuffer(example[offset : offset + size], dtype)) for offset, size, dtype in cut if size
    ]


def _alike(messages: ChunkMessages, rows: Ints, pieces: Sequence[_Piece]) -> Mask:
    alike: Mask = np.ones(len(rows), dtype=bool)
    for piece in pieces:
        words = messages.gather(rows, piece.offset, piece.expected.nbytes).view(piece.expected.dtype)
        alike &= words[:, 0] == piece.expected[0] if words.shape[1] == 1 else (words == piece.expected).all(axis=1)
    return alike


class _Plan:
    """One layout, prepared for the wanted fields."""

    def __init__(self, layout: Layout, example: bytes, fields: Mapping[str, FieldType]) -> None:
        self.layout = layout
        self.numbers: dict[str, list[Numbers]] = {}
        self._truths = {name for name, kind in fields.items() if kind.dtype == np.bool_}
        self.texts: dict[str, Text] = {}
        wanted: list[Span] = []
        for name, kind in fields.items():
            nodes = [layout.find(path) for path in kind.paths]
            if kind.dtype is None:
                text: Texts = nodes[0]
                self.texts[name] = text.value
                wanted.extend(text.spans)
            else:
                self.numbers[name] = nodes
        self._others = sorted(set(layout.letters) - set(wanted))
        self._clusters = _clusters(node for nodes in self.numbers.values() for node in nodes)
        # Mostly all texts are the same in all messages, and then one comparison of long runs is all it takes.
        self._same = _pieces([*layout.lengths, *layout.letters, *layout.filler], example)
        self._needed = _pieces([*layout.lengths, *wanted], example)

    def fits(self, messages: ChunkMessages, rows: Ints) -> Mask:
        """Which messages have this layout and these texts in the wanted fields."""
        long: Mask = messages.length[rows] == self.layout.size
        fits = long.copy()
        fits[long] = _alike(messages, rows[long], self._same)
        unsure = np.flatnonzero(long & ~fits)
        if len(unsure):
            rows = rows[unsure]
            good = _alike(messages, rows, self._needed)
            for span in self._others:
                # Letters beyond ASCII might not be UTF-8; the decoder of single messages shall say so.
                good[good] = (messages.gather(rows[good], *span) < 0x80).all(axis=1)
            fits[unsure] = good
        return fits

    def take(self, messages: ChunkMessages, rows: Ints) -> dict[str, npt.NDArray[Any]]:
        """The wanted numbers of messages that fit."""
        columns: dict[int, npt.NDArray[Any]] = {}
        for offset, record in self._clusters:
            block = messages.gather(rows, offset, record.itemsize).view(record)[:, 0]
            columns.update((int(name), block[name]) for name in record.names or ())
        found = {}
        for name, nodes in self.numbers.items():
            parts = [columns[node.offset] if node.nbytes else np.empty((len(rows), *node.shape)) for node in nodes]
            column = parts[0] if len(nodes) == 1 else np.stack(parts, axis=1)
            dtype = nodes[0].dtype.newbyteorder("=")
            found[name] = column != 0 if name in self._truths else column.astype(dtype, copy=False)
        return found


def _clusters(nodes: Iterable[Numbers]) -> list[tuple[int, np.dtype[Any]]]:
    """Offsets and record types whose fields, named by offset, hold the nodes; those that lie close share one."""
    clusters: list[list[Numbers]] = []
    for node in sorted({node.offset: node for node in nodes if node.nbytes}.values(), key=lambda node: node.offset):
        if clusters and node.offset - clusters[-1][-1].offset - clusters[-1][-1].nbytes <= _NEAR:
            clusters[-1].append(node)
        else:
            clusters.append([node])
    return [
        (
            cluster[0].offset,
            np.dtype(
                {
                    "names": [str(node.offset) for node in cluster],
                    "formats": [(node.dtype, node.shape) for node in cluster],
                    "offsets": [node.offset - cluster[0].offset for node in cluster],
                    "itemsize": cluster[-1].offset + cluster[-1].nbytes - cluster[0].offset,
                }
            ),
        )
        for cluster in clusters
    ]


@dataclass
class ChannelRows:
    """Reads the wanted fields of one channel, chunk after chunk."""

    definition: Definition
    decode: Callable[[bytes], Any]
    """The decoder of single messages, whose word is law."""
    fields: Mapping[str, FieldType]
    codes: dict[str, dict[Text, int]]
    """By text field: a number for each different text; grows."""
    count: int
    """Messages of the channel in the whole file."""
    _plans: list[_Plan] = field(default_factory=list)
    _tried: int = 0

    def read(self, messages: ChunkMessages, rows: Ints, first_number: int) -> list[Part]:
        """The fields of some messages of a chunk, in parts of one shape each.

        Args:
            messages: the chunk.
            rows: (N,) which of its messages.
            first_number: number of the chunk's first message.

        Raises:
            Exception: a message cannot be decoded; as the decoder says.
        """
        parts: list[Part] = []
        for plan in list(self._plans):
            if not len(rows):
                return parts
            rows = self._apply(plan, messages, rows, first_number, parts)
        while len(rows) and self.count >= _WORTH and self._tried < _LAYOUTS:
            self._tried += 1
            plan_or_none = self._learn(messages, int(rows[0]))
            if plan_or_none is None:
                break
            self._plans.append(plan_or_none)
            rows = self._apply(plan_or_none, messages, rows, first_number, parts)
        parts.extend(self._one_by_one(messages, rows, first_number))
        return parts

    def _apply(self, plan: _Plan, messages: ChunkMessages, rows: Ints, first_number: int, parts: list[Part]) -> Ints:
        """Read the messages that fit; the others are given back."""
        fits = plan.fits(messages, rows)
        chosen = rows if fits.all() else rows[fits]
        if len(chosen):
            parts.append(
                Part(
                    number=chosen + first_number,
                    log_time_ns=messages.log_time_ns[chosen],
                    values=plan.take(messages, chosen),
                    texts={
                        name: np.full(len(chosen), self._code(name, text), dtype=np.int32)
                        for name, text in plan.texts.items()
                    },
                )
            )
        return rows[~fits]

    def _code(self, name: str, text: Text) -> int:
        known = self.codes[name]
        return known.setdefault(text, len(known))

    def _learn(self, messages: ChunkMessages, row: int) -> _Plan | None:
        """A plan by the example of one message; None where it does not give what decoding the message gives."""
        example = self._payload(messages, row)
        try:
            plan = _Plan(self.definition.trace(example), example, self.fields)
        except LayoutError:
            return None
        rows = np.array([row])
        decoded = self.decode(example)
        taken = plan.take(messages, rows)
        for name, kind in self.fields.items():
            said = _said(decoded, kind)
            known = plan.texts[name] if kind.dtype is None else taken[name][0]
            if not _identical(said, known):
                return None
        return plan

    def _payload(self, messages: ChunkMessages, row: int) -> bytes:
        begin = int(messages.start[row])
        return messages.data[begin : begin + int(messages.length[row])]

    def _one_by_one(self, messages: ChunkMessages, rows: Ints, first_number: int) -> list[Part]:
        groups: dict[tuple[Any, ...], tuple[list[int], list[dict[str, Any]], list[dict[str, int]]]] = {}
        for row in rows.tolist():
            decoded = self.decode(self._payload(messages, row))
            said = {name: _said(decoded, kind) for name, kind in self.fields.items()}
            values = {name: value for name, value in said.items() if self.fields[name].dtype is not None}
            texts = {name: self._code(name, said[name]) for name in said if name not in values}
            found = groups.setdefault(tuple(value.shape for value in values.values()), ([], [], []))
            found[0].append(row)
            found[1].append(values)
            found[2].append(texts)
        return [
            Part(
                number=np.array(chosen, dtype=np.int64) + first_number,
                log_time_ns=messages.log_time_ns[chosen],
                values={name: np.stack([item[name] for item in values]) for name in values[0]},
                texts={name: np.array([item[name] for item in texts], dtype=np.int32) for name in texts[0]},
            )
            for chosen, values, texts in groups.values()
        ]


def _said(decoded: Any, kind: FieldType) -> Any:
    """A field of a decoded message: an array, or text."""
    found = []
    for path in kind.paths:
        value = decoded
        for part in path:
            value = getattr(value, part)
        found.append(value)
    value = found[0] if len(found) == 1 else found
    if kind.dtype is None:
        return tuple(value) if kind.array else value
    if isinstance(value, bytes):
        value = list(value)
    return np.array(value, dtype=kind.dtype)


def _identical(one: Any, other: Any) -> bool:
    """Whether two texts, or two arrays, are the same; arrays in shape and type too, and bit for bit."""
    if not isinstance(one, np.ndarray):
        return bool(one == other)
    return bool(one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes())
