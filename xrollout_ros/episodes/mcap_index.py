"""The message index of an MCAP: finds the newest message of a topic before a moment, and reads only its chunk."""

from __future__ import annotations

import struct
from collections import defaultdict
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from mcap.data_stream import ReadDataStream
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, Message
from mcap.stream_reader import get_chunk_data_stream
from mcap.summary import Summary

_HEAD = struct.Struct("<BQ")
"""Opcode and length before each record."""
_INDEX = struct.Struct("<HI")
"""Channel and size of the entries, which are pairs of log time and offset in the chunk."""
_CHUNKS_KEPT = 8


class IndexedChannel(NamedTuple):
    """A channel of the file."""

    id: int
    topic: str
    type_name: str
    """Empty: it has no schema."""


class _Entries(NamedTuple):
    """Where a channel's messages lie."""

    log_time_ns: npt.NDArray[np.uint64]
    """(N,)"""
    offset: npt.NDArray[np.uint64]
    """(N,) in the chunk."""
    chunk: npt.NDArray[np.int64]
    """(N,) which chunk."""


class McapIndex:
    """The index of one file; its chunks are read when they are asked for.

    Args:
        file: an MCAP with a summary. One without chunks has no index: then nothing is found.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read: dict[int, bytes] = {}
        parts: dict[int, list[_Entries]] = defaultdict(list)
        with file.open("rb") as stream:
            summary = make_reader(stream).get_summary()
            self._chunks = [] if summary is None else summary.chunk_indexes
            for number, chunk in enumerate(self._chunks):
                for channel_id, at in chunk.message_index_offsets.items():
                    stream.seek(at)
                    _, length = _HEAD.unpack(stream.read(_HEAD.size))
                    content = stream.read(length)
                    _, size = _INDEX.unpack_from(content)
                    pairs = np.frombuffer(content, "<u8", size // 8, _INDEX.size).reshape(-1, 2)
                    parts[channel_id].append(_Entries(pairs[:, 0], pairs[:, 1], np.full(len(pairs), number)))
        self.channels = [] if summary is None else [_named(channel, summary) for channel in summary.channels.values()]
        self._entries = {
            channel_id: _Entries(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
            for channel_id, found in parts.items()
        }

    @property
    def complete(self) -> bool:
        """Whether the file has chunks with an index; without, its messages must be read in order."""
        return bool(self._entries)

    def newest(self, channel_id: int, before_ns: int) -> Message | None:
        """The channel's newest message that is older than ``before_ns``."""
        entries = self._entries.get(channel_id)
        if entries is None or before_ns <= 0:
            return None
        older = np.flatnonzero(entries.log_time_ns < np.uint64(before_ns))
        if not len(older):
            return None
        # Of several of the same time the one that was written last.
        at = older[len(older) - 1 - int(np.argmax(entries.log_time_ns[older][::-1]))]
        data = self._chunk(int(entries.chunk[at]))
        begin = int(entries.offset[at])
        _, length = _HEAD.unpack_from(data, begin)
        record = data[begin + _HEAD.size : begin + _HEAD.size + length]
        message: Message = Message.read(ReadDataStream(BytesIO(record)), length)
        return message

    def _chunk(self, number: int) -> bytes:
        if number not in self._read:
            with self._file.open("rb") as stream:
                stream.seek(self._chunks[number].chunk_start_offset + _HEAD.size)
                content, size = get_chunk_data_stream(Chunk.read(ReadDataStream(stream)))
                while len(self._read) >= _CHUNKS_KEPT:
                    del self._read[next(iter(self._read))]
                self._read[number] = content.read(size)
        return self._read[number]


def _named(channel: Channel, summary: Summary) -> IndexedChannel:
    schema = summary.schemas.get(channel.schema_id)
    return IndexedChannel(channel.id, channel.topic, schema.name if schema is not None else "")
