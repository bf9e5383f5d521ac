"""Files past the page cache: the same bytes as any other, and loud where the disk is not willing."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.episodes import sinks
from xrollout_ros.episodes.sinks import DirectSink, FileSink, Sink


def fill(sink: Sink, pieces: list[bytes]) -> None:
    for piece in pieces:
        assert sink.write(piece) == len(piece)
    sink.sync()
    sink.close()


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 40_000), max_size=12), again=st.integers(0, 9000))
def test_what_is_written_is_there_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], again: int
) -> None:
    """Also what is written after a sync, when the file no longer ends where such writes may begin."""
    folder = tmp_path_factory.mktemp("sink")
    pieces = [os.urandom(size) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sinks, "BLOCK_BYTES", 16_384)
        sink = DirectSink(folder / "a")
        for piece in pieces:
            sink.write(piece)
        assert sink.seek(0, os.SEEK_CUR) == sum(sizes)
        sink.sync()
        fill(sink, [b"x" * again])
    assert (folder / "a").read_bytes() == b"".join(pieces) + b"x" * again


def test_it_can_only_be_appended_to_and_overwrites_nothing(tmp_path: Path) -> None:
    sink = DirectSink(tmp_path / "a")
    sink.write(b"abc")
    assert sink.seek(3) == 3
    with pytest.raises(OSError, match="appended"):
        sink.seek(0)
    sink.close()
    for kind in (DirectSink, FileSink):
        with pytest.raises(FileExistsError):
            kind(tmp_path / "a")


def test_where_such_writes_are_unknown_the_page_cache_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = os.write, []

    def write(descriptor: int, data: memoryview) -> int:
        if not refused:
            refused.append(len(data))
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(descriptor, data)

    monkeypatch.setattr(sinks, "BLOCK_BYTES", 16_384)
    monkeypatch.setattr(os, "write", write)
    sink = DirectSink(tmp_path / "a")
    past_cache = sink._past_cache
    data = os.urandom(50_000)
    if past_cache:
        fill(sink, [data])
        assert (tmp_path / "a").read_bytes() == data
    else:  # this file system knows none: a refusal is then an error like any other
        with pytest.raises(OSError, match="Invalid"):
            fill(sink, [data])
        sink.close()


def test_a_full_disk_is_an_error_now_and_ever_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sinks, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(os, "write", full)
    sink = DirectSink(tmp_path / "a")
    with pytest.raises(OSError, match="No space left"):
        for _ in range(100):
            sink.write(bytes(4096))
    with pytest.raises(OSError, match="No space left"):
        sink.write(b"a")
    with pytest.raises(OSError, match="No space left"):
        sink.sync()
    sink.close()
    sink.close()


def test_a_disk_that_takes_less_than_asked_gets_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(sinks, "BLOCK_BYTES", 16_384)
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[: max(1, len(data) * 2 // 3)]))
    data = os.urandom(40_000)
    sink = DirectSink(tmp_path / "a")
    fill(sink, [data])
    assert (tmp_path / "a").read_bytes() == data


def test_nobody_waits_for_the_disk_until_both_blocks_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, real, written = threading.Event(), os.write, []

    def slow(descriptor: int, data: memoryview) -> int:
        go.wait(20)
        written.append(len(data))
        return real(descriptor, data)

    monkeypatch.setattr(sinks, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(os, "write", slow)
    sink = DirectSink(tmp_path / "a")
    sink.write(bytes(4096 + 100))
    assert not written
    go.set()
    sink.sync()
    sink.close()
    assert (tmp_path / "a").stat().st_size == 4196
