"""What is on the disk after kill -9, and what a full disk does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mcap.exceptions import McapError
from mcap.records import Message
from mcap.stream_reader import StreamReader

from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.store import find_episodes

ROOT = Path(__file__).parents[2]
DEFINITION = ("std_msgs/msg/String", "string data\n", "RIHS01_" + "0" * 64, "")
PREPARE = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.resources import load_robot
from xrollout_ros.episodes.bag_writer import BagWriter
path, meta = Path(sys.argv[1]), EpisodeMeta.model_validate_json(sys.argv[2])
def begin(name, **options):
    writer = BagWriter.open(path / name, name, meta, SystemClock(), load_robot(meta.robot), **options)
    writer.add_topic("/a", *{DEFINITION!r})
    return writer
"""
# 100 small messages a second, as a joint state driver sends them; each says when it was handed over.
ENDLESS = """
with begin("first") as writer:
    for number in range(100):
        writer.write("/a", number.to_bytes(4, "little"), number)
    writer.close(meta)
writer = begin("second")
number = 0
while True:
    writer.write("/a", bytes(4), time.time_ns())
    number += 1
    print(number, flush=True)
    time.sleep(0.01)
"""


def readable(path: Path) -> list[int]:
    """Times of the messages of a torn file that a plain reader gets, up to the damage."""
    times = []
    with path.open("rb") as stream:
        try:
            for record in StreamReader(stream, validate_crcs=True).records:
                times += [record.log_time] if isinstance(record, Message) else []
        except McapError:
            pass
    return times


@pytest.mark.parametrize("round_", range(3))
def test_kill_9_loses_at_most_a_second(bags: Any, tmp_path: Path, round_: int) -> None:
    meta = bags.meta()
    alive_s = random.Random(round_).uniform(0.8, 2.0)
    arguments = [sys.executable, "-c", PREPARE + ENDLESS, str(tmp_path), meta.model_dump_json()]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        states = {entry.path.name: entry.problem for entry in find_episodes(tmp_path)}
        assert states == {"first": "", "second": "it is being recorded"}
        begun = time.monotonic()
        for _ in process.stdout:
            if time.monotonic() - begun > alive_s:
                break
        killed_ns = time.time_ns()
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.read()
    assert verify(tmp_path / "first").messages == 100
    times = readable(tmp_path / "second" / "second_0.mcap")
    assert times == sorted(times)
    missing_s = (killed_ns - times[-1]) / 1e9
    assert missing_s <= 1.0, f"{missing_s:.2f} s are missing"
    with pytest.raises(BagError, match=f"torn.*{meta.episode_id}") as caught:
        open_bag(tmp_path / "second")
    assert "repaired" in caught.value.remedy
    with pytest.raises(BagError, match="torn: its end is missing"):
        open_bag(tmp_path / "second" / "second_0.mcap")
    assert {entry.path.name: entry.problem for entry in find_episodes(tmp_path)} == {
        "first": "",
        "second": "torn: it has no metadata.yaml",
    }


FILL = """
import os, resource, signal, threading
from xrollout_ros.core.errors import BagError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
failed, longest = threading.Event(), 0.0
writer = begin("bag", on_failure=lambda error: failed.set())
end = time.monotonic() + 30
while not failed.is_set():
    assert time.monotonic() < end, "the full disk was never reported"
    begun = time.monotonic()
    writer.write("/a", os.urandom(10_000), 1)
    longest = max(longest, time.monotonic() - begun)
    time.sleep(0.0005)
assert not writer.write("/a", b"x", 1)
try:
    writer.close(meta)
except BagError as error:
    print(error)
print("lost", writer.counts()["/a"].lost > 0, "waited", longest < 0.2)
"""


def _fill(path: Path, meta: Any, *more: str) -> str:
    arguments = [sys.executable, "-c", PREPARE + FILL, str(path), meta.model_dump_json(), *more]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_file_that_may_not_grow_is_reported(bags: Any, tmp_path: Path) -> None:
    told = _fill(tmp_path, bags.meta(), "1000000")
    assert "bag_0.mcap cannot be written: File too large" in told
    assert "lost True waited True" in told
    assert not (tmp_path / "bag" / "metadata.yaml").exists()


def test_a_full_disk_is_reported(bags: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    try:
        told = _fill(disk, bags.meta())
        assert "No space left on device" in told
        assert "Free space there" in told
        assert "lost True waited True" in told
    finally:
        subprocess.run(["umount", str(disk)], check=True)
