"""Where the values of a CDR message lie: by its definition, and one message as an example."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

# The parser that mcap_ros2 decodes with, so that both read a definition alike. It is no public name of theirs: the
# version is bounded in setup.cfg and requirements.in.
from mcap_ros2._vendor.rosidl_adapter.parser import parse_message_string

from xrollout_ros.core.errors import SpecError

_DTYPES = {
    "bool": "u1",
    "byte": "u1",
    "char": "i1",
    "float32": "f4",
    "float64": "f8",
    **{f"{sign}int{bits}": f"{sign or 'i'}{bits // 8}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
_ENCAPSULATION = 4
"""Bytes before the first value; alignment counts from behind them."""
_COMPONENTS = ("x", "y", "z", "w")
_SEPARATOR = re.compile(r"^={3,}$", flags=re.MULTILINE)
_NAME = re.compile(r"^MSG:\s+(\S+)$", flags=re.MULTILINE)


class LayoutError(Exception):
    """Offsets do not describe this message or definition: its messages are decoded one by one."""


class FieldType(NamedTuple):
    """What a field holds, whatever the message."""

    dtype: np.dtype[Any] | None
    """Of its numbers, in native byte order; None: text."""
    paths: tuple[tuple[str, ...], ...]
    """Of its parts: one, or the components of a Point, Vector3 or Quaternion."""
    array: bool
    """Whether there are several values in a message."""


class Span(NamedTuple):
    """Some bytes of a message."""

    offset: int
    size: int


@dataclass(frozen=True)
class Numbers:
    """A number, or an array of numbers."""

    offset: int
    dtype: np.dtype[Any]
    """As on the wire."""
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all its values."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Texts:
    """A string, or an array of strings."""

    value: str | tuple[str, ...]
    spans: tuple[Span, ...]
    """Of their letters."""


Node = Numbers | Texts | dict[str, "Node"] | None
"""A part of a message; None: an array of messages, whose values are no columns."""


@dataclass
class Layout:
    """Where everything lies in all messages that have these lengths of strings and sequences."""

    size: int
    """Bytes of such a message."""
    root: dict[str, Any] = field(default_factory=dict)
    """The message's :data:`Node` by field name."""
    lengths: list[Span] = field(default_factory=list)
    """The bytes that say how long strings and sequences are, and the byte order."""
    letters: list[Span] = field(default_factory=list)
    """The letters of all strings."""
    filler: list[Span] = field(default_factory=list)
    """Padding, and what ends strings: bytes that mean nothing."""

    def find(self, path: Sequence[str]) -> Any:
        """The :data:`Node` at a path; the path must be one of :class:`FieldType`."""
        node: Any = self.root
        for part in path:
            node = node[part]
        return node


class Definition:
    """A message type, and all that it is made of.

    Args:
        type_name: ``pkg/msg/Type``.
        text: full concatenated ``ros2msg`` definition.

    Raises:
        LayoutError: the text is no such definition.
    """

    def __init__(self, type_name: str, text: str) -> None:
        self.type_name = type_name
        self._types: dict[str, Any] = {}
        name = type_name
        try:
            for part in _SEPARATOR.split("\n".join(line for line in text.splitlines() if line.strip())):
                body = part.strip()
                named = _NAME.search(body)
                if named:
                    name, body = named.group(1), _NAME.sub("", body)
                package, short = _package_and_name(name)
                self._types[f"{package}/{short}"] = parse_message_string(package, short, body)
            self._root = self._types["/".join(_package_and_name(type_name))]
        except Exception as error:  # the parser raises classes of its own
            raise LayoutError(f"the definition of {type_name} cannot be parsed: {error}") from error

    def _fields(self, owner: Any) -> dict[str, Any]:
        return {item.name: item.type for item in owner.fields}

    def _nested(self, kind: Any) -> Any:
        try:
            return self._types[f"{kind.pkg_name}/{kind.type}"]
        except KeyError as error:
            raise LayoutError(f"{self.type_name} is made of {kind.pkg_name}/{kind.type}, which is missing") from error

    def has(self, name: str) -> bool:
        """Whether messages have a field of this name."""
        return name in self._fields(self._root)

    def field(self, path: str) -> FieldType:
        """What a field holds.

        Args:
            path: names, joined by dots; ends at a number, a text, an array of either, a Point, Vector3 or Quaternion.

        Raises:
            SpecError: there is no such field, or it is none that can be a column.
            LayoutError: the definition lacks a part.
        """
        owner, parts = self._root, tuple(path.split("."))
        for depth, part in enumerate(parts):
            known = self._fields(owner)
            if part not in known:
                raise SpecError(
                    f"{self.type_name} has no field {path!r} (stopped at {part!r})",
                    f"There it has {', '.join(known) or 'no fields'}.",
                )
            kind = known[part]
            if kind.is_primitive_type():
                if depth < len(parts) - 1:
                    raise SpecError(
                        f"{self.type_name} has no field {path!r}: {part!r} is a {kind.type}", "End the path there."
                    )
                return _field_type(kind, (parts,))
            owner = self._nested(kind)
            if kind.is_array:
                raise SpecError(
                    f"the field {path!r} of {self.type_name} lies in an array of {kind.type}",
                    "Its messages must be read one by one: `Bag.messages`.",
                )
        known = self._fields(owner)
        found = [name for name in _COMPONENTS if name in known]
        kinds = {known[name].type for name in found}
        if "x" not in found or len(kinds) != 1 or any(known[name].is_array for name in found):
            raise SpecError(
                f"the field {path!r} of {self.type_name} is a {owner.base_type}", f"Name one of {', '.join(known)}."
            )
        return _field_type(known["x"], tuple((*parts, name) for name in found))._replace(array=True)

    def trace(self, data: bytes) -> Layout:
        """The layout of one message.

        Args:
            data: the message, CDR.

        Raises:
            LayoutError: the message is cut short, or holds what has no layout here (wide strings).
        """
        return _Tracer(self, data).layout


def _package_and_name(type_name: str) -> tuple[str, str]:
    parts = type_name.split("/")
    return parts[0], parts[-1]


def _field_type(kind: Any, paths: tuple[tuple[str, ...], ...]) -> FieldType:
    if kind.type == "bool":
        return FieldType(np.dtype(np.bool_), paths, kind.is_array)
    if kind.type in _DTYPES:
        return FieldType(np.dtype(_DTYPES[kind.type]), paths, kind.is_array)
    if kind.type == "string":
        return FieldType(None, paths, kind.is_array)
    raise LayoutError(f"values of type {kind.type} are not known")


@lru_cache(maxsize=256)  # many bags, few types
def definition(type_name: str, text: str) -> Definition:
    """As :class:`Definition`, made once for each type."""
    return Definition(type_name, text)


class _Tracer:
    """Walks through one message as a decoder would, and notes places instead of making values."""

    def __init__(self, owner: Definition, data: bytes) -> None:
        self._owner = owner
        self._data = data
        self._at = _ENCAPSULATION
        self.layout = Layout(len(data))
        if len(data) < _ENCAPSULATION:
            raise LayoutError(f"a message of {len(data)} bytes is too short")
        self._order: Literal["<", ">"] = "<" if data[1] & 1 else ">"
        self._count = struct.Struct(f"{self._order}I")
        self.layout.lengths.append(Span(0, _ENCAPSULATION))
        self.layout.root = self._message(owner._root)

    def _take(self, size: int, align: int = 1) -> int:
        """Where ``size`` bytes begin, and step over them."""
        padding = -(self._at - _ENCAPSULATION) % align
        if padding:
            self.layout.filler.append(Span(self._at, padding))
        begin = self._at + padding
        self._at = begin + size
        if self._at > self.layout.size:
            raise LayoutError(f"the message ends at byte {self.layout.size}, before its fields do")
        return begin

    def _length(self) -> int:
        begin = self._take(4, 4)
        self.layout.lengths.append(Span(begin, 4))
        return int(self._count.unpack_from(self._data, begin)[0])

    def _message(self, specification: Any) -> dict[str, Any]:
        if not specification.fields:
            self._take(1)  # IDL has no empty types: rosidl adds a byte
        return {item.name: self._field(item.type) for item in specification.fields}

    def _field(self, kind: Any) -> Any:
        count = None
        if kind.is_array:
            count = kind.array_size if kind.is_fixed_size_array() else self._length()
        if not kind.is_primitive_type():
            nested = self._owner._nested(kind)
            if count is None:
                return self._message(nested)
            for _ in range(count):
                self._message(nested)
            return None
        if kind.type == "string":
            found = list(self._strings(1 if count is None else count))
            spans = tuple(span for span in found if span.size)
            self.layout.letters.extend(spans)
            texts = tuple(self._text(span) for span in found)
            return Texts(texts[0] if count is None else texts, spans)
        if kind.type not in _DTYPES:
            raise LayoutError(f"values of type {kind.type} have no layout here")
        dtype = np.dtype(_DTYPES[kind.type]).newbyteorder(self._order)
        size = dtype.itemsize * (1 if count is None else count)
        begin = self._take(size, dtype.itemsize if size else 1)
        return Numbers(begin, dtype, () if count is None else (count,))

    def _strings(self, count: int) -> Iterator[Span]:
        for _ in range(count):
            length = self._length()  # with the closing NUL; some write 0 for an empty string
            begin = self._take(length)
            if length:
                self.layout.filler.append(Span(begin + length - 1, 1))
            yield Span(begin, max(0, length - 1))

    def _text(self, span: Span) -> str:
        try:
            return str(self._data[span.offset : span.offset + span.size], "utf-8")
        except UnicodeDecodeError as error:
            raise LayoutError(f"a string is not UTF-8: {error}") from error
