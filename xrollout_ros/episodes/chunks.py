"""Chunks of an MCAP as plain bytes, and where in them each message lies: no Python object for a message."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile, McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, ChunkIndex, Schema
from mcap.stream_reader import get_chunk_data_stream
from mcap.summary import Summary

Ints = npt.NDArray[np.int64]

_HEAD = struct.Struct("<BQ")
"""Of every record: opcode and length of what follows."""
_INDEX_HEAD = struct.Struct("<HI")
_LENGTH, _CHANNEL, _TIME, PAYLOAD = 1, 9, 15, 31
"""Where in a message record its length, channel, receive time and payload begin."""


@dataclass(frozen=True, eq=False)
class ChunkMessages:
    """The messages of one chunk, in the order of the file."""

    data: bytes
    """The chunk, decompressed, its CRC checked."""
    channel: npt.NDArray[np.uint16]
    """(N,) the channel's id."""
    log_time_ns: Ints
    """(N,) when it was received, ns since the epoch."""
    start: Ints
    """(N,) where its payload begins in ``data``."""
    length: Ints
    """(N,) bytes of its payload."""

    def gather(self, rows: Ints, offset: int, size: int) -> npt.NDArray[np.uint8]:
        """Bytes ``[offset, offset + size)`` of the payloads of some messages, ``(len(rows), size)``."""
        return gather(self.data, self.start[rows] + offset, size)


def gather(data: bytes, places: Ints, size: int) -> npt.NDArray[np.uint8]:
    """``size`` bytes from each place, ``(len(places), size)``.

    Every byte of ``data`` begins an item of a view whose items overlap, so one index operation copies them all.

    Raises:
        IndexError: a place lies outside.
    """
    if not len(places) or not size:
        return np.empty((len(places), size), dtype=np.uint8)
    items: npt.NDArray[np.void] = np.ndarray((len(data) - size + 1,), dtype=f"V{size}", buffer=data, strides=(1,))
    return items[places].view(np.uint8).reshape(len(places), size)


def _numbers(data: bytes, places: Ints, dtype: str) -> npt.NDArray[np.generic]:
    return gather(data, places, np.dtype(dtype).itemsize).view(dtype).reshape(-1)


class ChunkFile:
    """An MCAP with an index, read by ranges: one chunk is in memory.

    Its file is opened for each use, so that an object may be copied to another process.
    """

    def __init__(self, file: Path, summary: Summary | None) -> None:
        self.file = file
        self.channels: dict[int, Channel] = summary.channels if summary else {}
        self.schemas: dict[int, Schema] = summary.schemas if summary else {}
        self.chunks: list[ChunkIndex] = (
            sorted(summary.chunk_indexes, key=lambda item: item.chunk_start_offset) if summary else []
        )
        self.counts: dict[int, int] = (
            summary.statistics.channel_message_counts if summary and summary.statistics else {}
        )

    def with_topics(self, topics: Collection[str]) -> list[ChunkIndex]:
        """The chunks that hold, or may hold, messages of these topics, in the order of the file."""
        wanted = {number for number, channel in self.channels.items() if channel.topic in topics}
        return [
            index
            for index in self.chunks
            if not index.message_index_offsets or not wanted.isdisjoint(index.message_index_offsets)
        ]

    def entries(self, index: ChunkIndex, channels: Collection[int]) -> tuple[Ints, Ints] | None:
        """What a chunk's message indexes say of some channels, without reading the chunk.

        Returns:
            (N,) receive times in ns, and (N,) where in the chunk the records begin; None where there are no indexes.

        Raises:
            struct.error, ValueError, OSError: they are damaged or cannot be read.
        """
        if not index.message_index_offsets:
            return None
        handle = os.open(self.file, os.O_RDONLY)
        try:
            begin = index.chunk_start_offset + index.chunk_length
            raw = os.pread(handle, index.message_index_length, begin)
        finally:
            os.close(handle)
        found = [entries for channel, entries in _entries(raw) if channel in channels]
        table = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
        return table[:, 0], table[:, 1]

    def load(self, index: ChunkIndex) -> ChunkMessages:
        """One chunk.

        Raises:
            McapError, ValueError, struct.error, OSError: it is damaged or cannot be read.
        """
        handle = os.open(self.file, os.O_RDONLY)
        try:
            return _load(handle, index)
        finally:
            os.close(handle)

    def iterate(self, topics: Collection[str]) -> Iterator[ChunkMessages]:
        """The chunks that hold these topics, in the order of the file.

        Threads that read ahead were tried: on two cores they gained nothing.

        Raises:
            McapError, ValueError, struct.error, OSError: the file is damaged or cannot be read.
        """
        handle = os.open(self.file, os.O_RDONLY)
        try:
            for index in self.with_topics(topics):
                yield _load(handle, index)
        finally:
            os.close(handle)


def _load(handle: int, index: ChunkIndex) -> ChunkMessages:
    # Read, not mapped: a file that is cut short while it is read must be an error, not a signal.
    raw = os.pread(handle, index.chunk_length + index.message_index_length, index.chunk_start_offset)
    opcode, length = _HEAD.unpack_from(raw)
    if opcode != Opcode.CHUNK:
        raise McapError(f"there is no chunk at byte {index.chunk_start_offset}, where the index says one is")
    chunk = Chunk.read(ReadDataStream(io.BytesIO(raw[_HEAD.size : _HEAD.size + length])))
    stream, size = get_chunk_data_stream(chunk, validate_crc=True)
    data = stream.read(size)
    places = _indexed(data, raw[_HEAD.size + length :])
    if places is None:
        places = _scanned(data, 0, len(data))
    start = places + PAYLOAD
    times = _numbers(data, places + _TIME, "<i8").astype(np.int64, copy=False)
    if (times < 0).any():
        raise ValueError("a receive time is beyond 2^63 - 1 ns")
    return ChunkMessages(
        data=data,
        channel=_numbers(data, places + _CHANNEL, "<u2").astype(np.uint16, copy=False),
        log_time_ns=times,
        start=start,
        length=places + _HEAD.size + _numbers(data, places + _LENGTH, "<i8").astype(np.int64, copy=False) - start,
    )


def _indexed(data: bytes, indexes: bytes) -> Ints | None:
    """Where the message records begin, by the message indexes that follow the chunk.

    No CRC covers those, so they are believed only where the records they name fill the chunk without gap or overlap,
    but for records of schemas and channels.

    Returns:
        (N,) ascending; None where there are no indexes, or false ones.
    """
    try:
        found = [entries[:, 1] for _, entries in _entries(indexes)]
    except ValueError:
        return None
    if not found:
        return None
    places = np.sort(np.concatenate(found))
    if not len(places) or places[0] < 0 or places[-1] > len(data) - PAYLOAD:
        return None
    lengths = _numbers(data, places + _LENGTH, "<i8").astype(np.int64, copy=False)
    opcodes = gather(data, places, 1)
    if (opcodes != Opcode.MESSAGE).any() or (lengths < PAYLOAD - _HEAD.size).any() or (lengths > len(data)).any():
        return None
    ends = places + _HEAD.size + lengths
    before = np.concatenate([[0], ends])
    after = np.concatenate([places, [len(data)]])
    for gap in np.flatnonzero(before != after):
        begin, end = int(before[gap]), int(after[gap])
        try:
            if begin > end or len(_scanned(data, begin, end)):
                return None
        except EndOfFile:
            return None
    return places


def _entries(indexes: bytes) -> Iterator[tuple[int, Ints]]:
    """Of each message index its channel, and ``(N, 2)`` receive times in ns and places in the chunk.

    Raises:
        ValueError: an index is cut short.
    """
    at = 0
    while at + _HEAD.size + _INDEX_HEAD.size <= len(indexes):
        opcode, length = _HEAD.unpack_from(indexes, at)
        begin = at + _HEAD.size
        if opcode == Opcode.MESSAGE_INDEX:
            channel, size = _INDEX_HEAD.unpack_from(indexes, begin)
            begin_entries = begin + _INDEX_HEAD.size
            if size % 16 or begin_entries + size > len(indexes):
                raise ValueError(f"the message index of channel {channel} is cut short")
            entries = np.frombuffer(indexes, dtype="<i8", count=size // 8, offset=begin_entries)
            yield channel, entries.astype(np.int64, copy=False).reshape(-1, 2)
        at = begin + length


def _scanned(data: bytes, begin: int, end: int) -> Ints:
    """Where message records begin in a part of a chunk, record by record.

    Raises:
        EndOfFile: the part ends within a record.
    """
    places: list[int] = []
    at = begin
    while at < end:
        if at + _HEAD.size > end:
            raise EndOfFile
        opcode, length = _HEAD.unpack_from(data, at)
        if at + _HEAD.size + length > end or (opcode == Opcode.MESSAGE and length < PAYLOAD - _HEAD.size):
            raise EndOfFile
        if opcode == Opcode.MESSAGE:
            places.append(at)
        at += _HEAD.size + length
    return np.array(places, dtype=np.int64)
