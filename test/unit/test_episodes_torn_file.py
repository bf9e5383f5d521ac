"""Files of killed writers, cut anywhere: what is read is a beginning of what was written, and as long as it can be."""

from __future__ import annotations

import functools
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.records import Message
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.bag_reader import verify
from xrollout_ros.episodes.recovery import repair
from xrollout_ros.episodes.torn_file import TornFile

MESSAGES, FLUSHED = 60, 20
HEAD = struct.Struct("<BQ")
WRITER = f"""
import os, random, sys
from pathlib import Path
from xrollout_ros.episodes.mcap_file import McapFile
file = McapFile(Path(sys.argv[1]), compress=sys.argv[2] == "zstd")
channel = file.channel("/a", "std_msgs/msg/String", "string data\\n", {{}})
for number in range({MESSAGES}):
    channel.log(number.to_bytes(4, "little") + random.Random(number).randbytes(10_000), number)
    if number == {FLUSHED} - 1:
        file.flush()
os.kill(os.getpid(), 9)
"""
"""Writes messages that do not compress, ends a chunk after some of them, and is killed."""


@functools.cache
def killed(compression: str) -> bytes:
    """The file of a writer that was killed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "torn.mcap"
        done = subprocess.run([sys.executable, "-c", WRITER, str(path), compression], timeout=60, check=False)
        assert done.returncode == -9
        return path.read_bytes()


def numbers(data: bytes, folder: Path) -> tuple[list[int], TornFile]:
    """Which messages are read, each checked."""
    path = folder / "cut.mcap"
    path.write_bytes(data)
    file, found = TornFile(path), []
    for record in file.records():
        if isinstance(record, Message):
            assert len(record.data) == 10_004
            assert int.from_bytes(record.data[:4], "little") == record.log_time
            found.append(record.log_time)
    return found, file


def in_whole_chunks(data: bytes, folder: Path) -> int:
    """Messages that a reader of whole chunks finds."""
    path = folder / "cut.mcap"
    path.write_bytes(data)
    count = 0
    with path.open("rb") as stream:
        try:
            for record in StreamReader(stream, record_size_limit=len(data)).records:
                count += isinstance(record, Message)
        except Exception:
            return count
    return count


@pytest.mark.parametrize("compression", ["zstd", "none"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_cut_anywhere_a_beginning_is_read_and_no_less_than_the_whole_chunks(
    compression: str, share: float, tmp_path: Path
) -> None:
    data = killed(compression)[: round(share * len(killed(compression)))]
    found, file = numbers(data, tmp_path)
    assert found == list(range(len(found)))
    assert len(found) >= in_whole_chunks(data, tmp_path)
    assert 0 <= file.unread_bytes <= len(data)


def test_of_a_plain_chunk_each_whole_message_is_read(tmp_path: Path) -> None:
    data = killed("none")
    found, file = numbers(data, tmp_path)
    assert (found, file.unread_bytes) == (list(range(MESSAGES)), 0)
    last = data.rindex((MESSAGES - 1).to_bytes(4, "little"))
    record = len(data) - HEAD.size - 22 - 10_004  # a message's own head: channel, sequence and two times
    for cut, count, unread in ((1, MESSAGES - 1, len(data) - record - 1), (len(data) - record, MESSAGES - 1, 0)):
        found, file = numbers(data[:-cut], tmp_path)
        assert (len(found), file.unread_bytes) == (count, unread)
    assert record < last


def test_of_a_compressed_chunk_what_the_compressor_had_given_out_is_read(tmp_path: Path) -> None:
    data = killed("zstd")
    found, _ = numbers(data, tmp_path)
    assert in_whole_chunks(data, tmp_path) == FLUSHED < len(found) <= MESSAGES


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_what_is_no_data_ends_it(compression: str, tmp_path: Path) -> None:
    data = killed(compression)
    whole, _ = numbers(data, tmp_path)
    cut = (len(data) - 30_000) // 4096 * 4096
    kept, _ = numbers(data[:cut], tmp_path)
    # A power cut may leave zeros where data should be.
    for tail in (bytes(30_000), bytes(2**20)):
        assert numbers(data[:cut] + tail, tmp_path)[0] == kept == whole[: len(kept)]
    # A whole chunk that does not fit its CRC is damaged, not torn.
    spoilt = bytearray(data)
    spoilt[20_000] ^= 1
    assert numbers(bytes(spoilt), tmp_path)[0] == []


def leave_open(path: Path) -> bytes:
    """A closed bag's file as it was before its last chunk was ended."""
    (path / "metadata.yaml").unlink()
    file = path / f"{path.name}_0.mcap"
    with file.open("rb") as stream:
        summary = make_reader(stream).get_summary()
        assert summary is not None
        last = max(summary.chunk_indexes, key=lambda index: index.chunk_start_offset)
    data = bytearray(file.read_bytes()[: last.chunk_start_offset + last.chunk_length])
    struct.pack_into("<Q", data, last.chunk_start_offset + 1, 2**64 - 1)
    return bytes(data)


@pytest.mark.parametrize("compress", [True, False])
def test_the_bag_recovered_from_any_cut_passes_strict_readers(bags: Any, compress: bool, tmp_path: Path) -> None:
    meta = bags.meta()
    path = bags.data / "day" / f"120000_x_{meta.episode_id}"
    with bags.open(path, meta, compress=compress) as writer:
        for step in range(50):
            bags.command(writer, meta, [step / 100] * 4, NS + step, NS + step, step=step)
        writer.close(meta)
    data = leave_open(path)
    steps: list[list[int]] = []

    @settings(max_examples=12, deadline=None)
    @given(share=st.floats(0, 1))
    @example(share=1.0)
    def cut_at(share: float) -> None:
        folder = tmp_path / "cut" / path.name
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / f"{path.name}_0.mcap").write_bytes(data[: round(share * len(data))])
        try:
            done = repair(folder.parent, folder, SystemClock())
        except BagError as error:
            assert "does not say which episode" in error.what or "is empty" in error.what
            return
        assert verify(folder).messages == done.messages
        with AnyReader([folder], default_typestore=bags.messages.store) as reader:
            found = [reader.deserialize(raw, connection.msgtype).step for connection, _, raw in reader.messages()]
        assert found == list(range(len(found)))
        steps.append(found)

    cut_at()
    assert max(map(len, steps)) == 50
