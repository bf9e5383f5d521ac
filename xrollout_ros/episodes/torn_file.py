"""Reads an MCAP whose end is missing as far as it goes: also the whole messages of a chunk that was never ended."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk

_HEAD = struct.Struct("<BQ")
"""Of every record: opcode and length of what follows."""
_CHUNK_HEAD = struct.Struct("<QQQII")
"""Of a chunk: times, uncompressed size and CRC, which mean nothing before it is ended, and the length of a name."""
_SIZE = 8
"""Bytes of the length of a chunk's records."""
_LONGEST = 1 << 30
"""No message is as long; a length beyond this is none."""
_BLOCK = 4096
_KINDS: dict[int, Callable[[ReadDataStream, int], McapRecord]] = {
    Opcode.SCHEMA: lambda stream, _: Schema.read(stream),
    Opcode.CHANNEL: lambda stream, _: Channel.read(stream),
    Opcode.MESSAGE: Message.read,
}
"""Records that chunks have."""


class TornFile:
    """One MCAP, of which only the beginning may be there.

    What it gives is always a beginning of what was written: it ends at the first damage.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.schemas: dict[int, Schema] = {}
        """Those among the records given so far."""
        self.channels: dict[int, Channel] = {}
        self.unread_bytes = 0
        """After :meth:`records`: bytes at the end that make no whole record, or cannot be unpacked."""

    def records(self) -> Iterator[McapRecord]:
        """The records up to the damage, those inside chunks included. CRCs are checked where there are any."""
        size, at = self.path.stat().st_size, 0
        with self.path.open("rb") as stream:
            # An open chunk claims 2^64 - 1 bytes; no record is longer than the file.
            reader = StreamReader(stream, emit_chunks=True, validate_crcs=True, record_size_limit=size)
            whole = iter(reader.records)
            while True:
                try:
                    record = next(whole)
                    found = breakup_chunk(record, validate_crc=True) if isinstance(record, Chunk) else [record]
                except StopIteration:
                    self.unread_bytes = 0
                    return
                except Exception:  # a parser fed with damaged bytes raises anything, and there the whole part ends
                    break
                at = stream.tell()
                for each in found:
                    self._know(each)
                    yield each
            self.unread_bytes = size - at
            stream.seek(at)
            if _at_open_chunk(stream, size):
                yield from self._open_chunk(stream, size)

    def _know(self, record: McapRecord) -> None:
        if isinstance(record, Schema):
            self.schemas[record.id] = record
        elif isinstance(record, Channel):
            self.channels[record.id] = record

    def _open_chunk(self, stream: BinaryIO, size: int) -> Iterator[McapRecord]:
        """The whole records of the chunk that was open at the end."""
        read = _unpacked(stream, size)
        while read is not None and (record := _whole(read)) is not None:
            if isinstance(record, Message) and record.channel_id not in self.channels:
                return
            self.unread_bytes = size - stream.tell()
            self._know(record)
            yield record


def _at_open_chunk(stream: BinaryIO, size: int) -> bool:
    """Whether a chunk begins here that was never ended; if so, the stream is left behind its length.

    A chunk that is all there and does not fit its CRC is damaged, not open: nothing in it can be trusted.
    """
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return False
    opcode, length = _HEAD.unpack(head)
    return bool(opcode == Opcode.CHUNK and length > size - stream.tell())


def _unpacked(stream: BinaryIO, size: int) -> Callable[[int], bytes] | None:
    """Reads what an open chunk holds; None: its own head is cut off, or its compression is not one of ours."""
    head = stream.read(_CHUNK_HEAD.size)
    if len(head) < _CHUNK_HEAD.size:
        return None
    name = stream.read(min(_CHUNK_HEAD.unpack(head)[-1], size))
    if len(stream.read(_SIZE)) < _SIZE:
        return None
    written = _Written(stream, size)
    if name == b"zstd":
        return zstandard.ZstdDecompressor().stream_reader(cast(BinaryIO, written)).read
    return None if name else written.read


class _Written:
    """A file from here on, without blocks of zeros at its end, which a power cut may leave in place of data."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._end = _written_end(stream, size)

    def read(self, count: int) -> bytes:
        return self._stream.read(max(0, min(count, self._end - self._stream.tell())))


def _written_end(stream: BinaryIO, size: int) -> int:
    at, end = stream.tell(), size
    while end > at:
        begin = max(at, (end - 1) // _BLOCK * _BLOCK)
        stream.seek(begin)
        if stream.read(end - begin).strip(b"\0"):
            break
        end = begin
    stream.seek(at)
    return end if size - end >= _BLOCK else size


def _whole(read: Callable[[int], bytes]) -> McapRecord | None:
    """The next record of a chunk; None: it is cut off, or none that chunks have."""
    try:
        opcode, length = _HEAD.unpack(read(_HEAD.size))
        kind = _KINDS.get(opcode)
        if kind is None or length > _LONGEST:
            return None
        body = read(length)
        return kind(ReadDataStream(io.BytesIO(body)), length) if len(body) == length else None
    except Exception:  # of the unpacker or the parser, on bytes that are none of theirs
        return None
