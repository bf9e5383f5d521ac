"""The upload queue, the uploader and its targets; what a dead place or a kill leaves behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.episodes import upload_queue
from xrollout_ros.episodes.bag_reader import verify
from xrollout_ros.episodes.upload_queue import State, UploadQueue
from xrollout_ros.episodes.upload_target import Bandwidth, UploadTarget, check_url
from xrollout_ros.episodes.uploader import Uploader

pytest.importorskip("fsspec", reason="fsspec is not installed")


class Time:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_ns = 2 * 10**18
        self.slept_s = 0.0

    def wall_ns(self) -> int:
        return self.now_ns

    def steady_ns(self) -> int:
        return self.now_ns

    def sleep(self, duration_s: float) -> None:
        self.slept_s += duration_s
        self.now_ns += round(duration_s * NS)


def bag(bags: Any, name: str, steps: int = 20) -> Path:
    values = np.zeros((steps, bags.robot.state_dim)), np.zeros((steps, bags.robot.action_dim))
    return Path(bags.episode(*values, path=bags.data / "2026-01-31" / name).path)


def make(bags: Any, url: str, clock: Any = None, mbit: float = 0.0) -> tuple[UploadQueue, Uploader, list[str]]:
    said: list[str] = []
    queue = UploadQueue(bags.data, clock or SystemClock())
    return queue, Uploader(queue, UploadTarget(url, Bandwidth(mbit / 8e-6, SystemClock())), said.append), said


def same(folder: Path, copy: Path) -> None:
    assert {file.name for file in copy.iterdir()} == {file.name for file in folder.iterdir()}
    for file in folder.iterdir():
        assert file.read_bytes() == (copy / file.name).read_bytes()


def test_closed_bags_arrive_whole_and_open_ones_do_not(bags: Any, tmp_path: Path) -> None:
    folders = [bag(bags, f"bag{number}") for number in range(3)]
    torn = bags.data / "2026-01-31" / "torn"
    torn.mkdir()
    (torn / "torn_0.mcap").write_bytes(b"half")
    discarded = bags.data / ".trash" / "bag9"
    shutil.copytree(folders[0], discarded)
    url = check_url(str(tmp_path / "there"))
    queue, uploader, said = make(bags, url)
    assert uploader.drain(threading.Event())
    for folder in folders:
        same(folder, tmp_path / "there" / folder.relative_to(bags.data))
        verify(tmp_path / "there" / folder.relative_to(bags.data))
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["2026-01-31"]
    assert len(list((tmp_path / "there/2026-01-31").iterdir())) == 3
    assert [upload.state for upload in queue.all()] == [State.DONE] * 3
    assert (uploader.progress.queue, uploader.progress.done, uploader.progress.error) == (0, 3, "")
    assert len(said) == 3
    assert uploader.drain(threading.Event()) and len(said) == 3  # nothing is sent twice


def test_bags_just_closed_are_left_alone_for_a_moment(bags: Any, tmp_path: Path) -> None:
    folder = bag(bags, "bag0")
    queue = UploadQueue(bags.data, SystemClock())
    assert queue.look("file:///there", settled_s=3600) == 0
    os.utime(folder / "metadata.yaml", (0, 0))
    assert queue.look("file:///there", settled_s=3600) == 1
    assert queue.look("file:///elsewhere") == 1  # each place has its own


def test_a_dead_place_is_tried_again_ever_later_and_loses_nothing(bags: Any, tmp_path: Path) -> None:
    folder, clock = bag(bags, "bag0"), Time()
    blocked = tmp_path / "there"
    blocked.write_text("a file where the folder should be")
    queue, uploader, said = make(bags, f"file://{blocked}", clock)
    queue.look(f"file://{blocked}")
    delays = []
    for _ in range(12):
        assert uploader.step()
        assert not uploader.step()  # not before its time
        [upload] = queue.all()
        delays.append(queue.wait_s(upload))
        clock.now_ns = upload.next_ns
    assert delays == [min(upload_queue.LONGEST_DELAY_S, 2.0**n) for n in range(12)]
    assert uploader.progress.queue == 1 and "bag0" in uploader.progress.error
    assert "next try in" in said[-1]
    clock.now_ns -= 10 * NS
    assert queue.retry() == 1
    blocked.unlink()
    assert uploader.step()
    same(folder, blocked / "2026-01-31/bag0")
    assert uploader.progress.error == ""


def test_bags_that_are_gone_are_not_waited_for_and_may_come_back(bags: Any, tmp_path: Path) -> None:
    folder = bag(bags, "bag0")
    url = f"file://{tmp_path / 'there'}"
    queue, uploader, _ = make(bags, url)
    queue.look(url)
    away = shutil.move(folder, tmp_path / "away")
    assert uploader.step()
    assert [upload.state for upload in queue.all()] == [State.GONE]
    shutil.move(away, folder)
    assert queue.retry() == 1
    assert uploader.drain(threading.Event())
    same(folder, tmp_path / "there/2026-01-31/bag0")


@pytest.mark.parametrize("change", [b"", b"other"])
def test_what_arrives_damaged_is_sent_again(
    bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    folder = bag(bags, "bag0")
    url = f"file://{tmp_path / 'there'}"
    queue, uploader, said = make(bags, url)
    arrived = UploadTarget._verify

    def damage(self: UploadTarget, files: Any, remote: str, size: int, digest: str) -> None:
        data = Path(remote).read_bytes()
        Path(remote).write_bytes(change.ljust(len(data), b"x") if change else data[:-1])
        arrived(self, files, remote, size, digest)

    monkeypatch.setattr(UploadTarget, "_verify", damage)
    queue.look(url)
    assert uploader.step()
    assert [upload.state for upload in queue.all()] == [State.QUEUED]
    assert ("hash" if change else "bytes") in said[-1]
    monkeypatch.undo()
    queue.retry()
    assert uploader.drain(threading.Event())
    same(folder, tmp_path / "there/2026-01-31/bag0")


def test_bandwidth_is_kept_on_average() -> None:
    clock = Time()
    begin_ns, limit = clock.now_ns, Bandwidth(1000.0, clock, clock.sleep)
    for size in (100, 900, 1, 2999, 0, 1000):
        limit.passed(size)
    assert clock.slept_s == pytest.approx(4.0)  # the last piece is on its way
    assert clock.now_ns - begin_ns == 4 * NS
    clock.now_ns += 100 * NS
    limit.passed(1000)  # a pause gives no credit
    limit.passed(1)
    assert clock.slept_s == pytest.approx(5.0)
    free = Bandwidth(0.0, clock, clock.sleep)
    free.passed(10**12)
    assert clock.slept_s == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gopher://there", "cannot upload to 'gopher://there'"),
        ("s3://", "names no place|not installed|s3fs"),
        ("s3://key:secret@bucket/x", "carries credentials"),
    ],
)
def test_places_that_cannot_be_are_refused(url: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as error:
        check_url(url)
    assert "secret" not in str(error.value)


def test_a_queue_that_cannot_be_written_says_so(bags: Any) -> None:
    bags.data.mkdir(parents=True)
    (bags.data / upload_queue.FILE).mkdir()
    with pytest.raises(DataError, match="upload queue"):
        UploadQueue(bags.data, SystemClock())


SLOW = """
import sys, threading
from pathlib import Path
from xrollout_ros.core.clock import SystemClock
from xrollout_ros.episodes.upload_queue import UploadQueue
from xrollout_ros.episodes.upload_target import Bandwidth, UploadTarget
from xrollout_ros.episodes.uploader import Uploader
data, url, rate = sys.argv[1:]
clock = SystemClock()
queue = UploadQueue(Path(data), clock)
Uploader(queue, UploadTarget(url, Bandwidth(float(rate), clock)), lambda line: print(line, flush=True)).drain(
    threading.Event()
)
"""


def test_a_kill_in_the_middle_loses_nothing(bags: Any, tmp_path: Path) -> None:
    folders = [bag(bags, f"bag{number}", steps=3000) for number in range(3)]
    url, command = f"file://{tmp_path / 'there'}", [sys.executable, "-c", SLOW, str(bags.data)]
    size = sum(file.stat().st_size for file in folders[0].iterdir())
    for _ in range(2):  # each time it gets one bag further, at about two thirds of a second for each
        process = subprocess.Popen([*command, url, str(1.5 * size)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("uploaded")
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    states = [upload.state for upload in UploadQueue(bags.data, SystemClock()).all()]
    assert states.count(State.QUEUED) >= 1 and states.count(State.DONE) >= 1
    subprocess.run([*command, url, "0"], check=True, timeout=60)
    for folder in folders:
        same(folder, tmp_path / "there" / folder.relative_to(bags.data))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A server that speaks S3, on this machine."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    moto = pytest.importorskip("moto.server", reason="moto's server is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import s3fs

    files = s3fs.S3FileSystem(endpoint_url=f"http://{host}:{port}", skip_instance_cache=True)
    files.makedirs("robots", exist_ok=True)
    yield files
    server.stop()


def test_bags_go_to_an_object_store(bags: Any, s3: Any) -> None:
    folders = [bag(bags, f"bag{number}") for number in range(2)]
    (folders[0] / "large.bin").write_bytes(os.urandom(20 << 20))  # in parts, whose tag is no hash of the whole
    url = check_url("s3://robots/seven/")
    queue, uploader, said = make(bags, url)
    assert uploader.drain(threading.Event()), said
    for folder in folders:
        for file in folder.iterdir():
            s3.invalidate_cache()
            data = s3.cat_file(f"robots/seven/2026-01-31/{folder.name}/{file.name}")
            assert hashlib.sha256(data).digest() == hashlib.sha256(file.read_bytes()).digest()
    assert [upload.state for upload in queue.all()] == [State.DONE] * 2


def test_an_object_store_that_is_away_is_waited_for(bags: Any, s3: Any) -> None:
    bag(bags, "bag0")
    queue, uploader, said = make(bags, "s3://nobucket/x")
    queue.look("s3://nobucket/x")
    assert uploader.step()
    assert uploader.progress.queue == 1 and "bucket" in uploader.progress.error.lower()
    s3.mkdir("nobucket")
    stop, begun_s = threading.Event(), time.monotonic()
    queue.retry()
    assert uploader.drain(stop)
    assert time.monotonic() - begun_s < 60
    assert said[-1].startswith("uploaded")
