"""The file behind a bag: one MCAP written by foxglove-sdk, whose every failure is seen."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import foxglove
from foxglove import Context, Schema
from foxglove._foxglove_py import BaseChannel
from foxglove.mcap import MCAPCompression, MCAPWriteOptions

from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.sinks import DirectSink, FileSink, Sink

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def disk_error(path: Path, error: BaseException) -> BagError:
    """What the disk says about ``path``, for a person."""
    code = error.errno if isinstance(error, OSError) else None
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or repr(error)
    if code in _NO_SPACE:
        remedy = "Free space there, or choose another data folder (XROLLOUT_DATA)."
    elif code in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = "Give this user the right to write there, or choose another data folder (XROLLOUT_DATA)."
    else:
        remedy = "Check the disk, or choose another data folder (XROLLOUT_DATA)."
    return BagError(f"the bag {path} cannot be written: {reason}", remedy)


class McapChannel:
    """One topic of the file."""

    def __init__(self, channel: BaseChannel, sink: Sink) -> None:
        self._channel = channel
        self._sink = sink

    def log(self, cdr: bytes, log_time_ns: int) -> None:
        """Write one message.

        Raises:
            OSError: the disk refuses, now or earlier.
        """
        self._channel.log(cdr, log_time_ns)
        if self._sink.error is not None:
            raise self._sink.error


class McapFile:
    """An MCAP of profile ``ros2`` with CRCs. Not thread-safe.

    Raises:
        OSError: the file exists or cannot be made.
    """

    def __init__(self, path: Path, *, compress: bool = True, at_once: bool = False) -> None:
        """Begin the file.

        Args:
            path: where; nothing may be there yet.
            compress: zstd chunks, else plain ones. A camera's raw images shrink by a sixth for 5 times the work.
            at_once: all of it is written as fast as the disk takes it, and is of no use before :meth:`finish`.
        """
        self._sink: Sink = DirectSink(path) if at_once else FileSink(path)
        self._context = Context()  # of its own, or two files open at once would get each other's messages
        # Threads of the compressor would compete with the control path; one is fast enough. Level 1 is four times as
        # fast on images as the default and makes states and images as small within 2 %.
        options = MCAPWriteOptions(
            profile="ros2",
            compression=MCAPCompression.Zstd if compress else None,
            compression_level=1,
            compression_threads=0,
            disable_seeking=self._sink.appends,
        )
        self._writer = foxglove.open_mcap(self._sink, context=self._context, writer_options=options)

    def channel(self, topic: str, type_name: str, definition: str, metadata: dict[str, str]) -> McapChannel:
        """A topic of CDR messages."""
        schema = Schema(name=type_name, encoding="ros2msg", data=definition.encode())
        # Not foxglove.Channel: it keeps every channel ever made in a global table.
        channel = self._context._create_channel(topic, message_encoding="cdr", schema=schema, metadata=metadata)
        return McapChannel(channel, self._sink)

    def write_metadata(self, name: str, values: dict[str, str]) -> None:
        """Add a metadata record; readers take the last of a name."""
        self._writer.write_metadata(name, values)
        self._check()

    def attach(self, name: str, text: str, time_ns: int) -> None:
        """Add an attachment of JSON."""
        self._writer.attach(
            log_time=time_ns, create_time=time_ns, name=name, media_type="application/json", data=text.encode()
        )
        self._check()

    def flush(self) -> None:
        """End the open chunk, so that all written so far can be read after a crash of this process."""
        self._writer.flush()
        self._check()

    def sync(self) -> None:
        """Bring all that was flushed to the disk, so that it survives a power cut."""
        self._sink.sync()

    def finish(self) -> None:
        """Write summary and footer, bring all to the disk."""
        self._writer.close()
        self._check()
        self._sink.sync()

    def close(self) -> None:
        """Let go of the file and its lock, after :meth:`finish`."""
        self._sink.close()

    @property
    def error(self) -> OSError | None:
        """What the disk said first; none while all is well."""
        return self._sink.error

    def abandon(self) -> None:
        """Close after a failure, without summary: nothing more reaches the disk."""
        self._sink.error = self._sink.error or OSError(errno.EIO, "the file was given up")
        with suppress(RuntimeError):  # it cannot write its summary: that is why it is given up
            self._writer.close()
        self._sink.close()

    def _check(self) -> None:
        if self._sink.error is not None:
            raise self._sink.error
