"""Torn bags made whole again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes import recovery
from xrollout_ros.episodes.background_repair import repair_aside
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.mcap_file import McapFile
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.episodes.recovery import has_work, repair, repair_all
from xrollout_ros.episodes.store import find_episodes, torn_bags
from xrollout_ros.ui.cli import cli

CLOCK = SystemClock()
STEPS = 40


def tear(bags: Any, *, steps: int = STEPS, meta: Any = None, tail: bool = True) -> Path:
    """A bag as kill -9 leaves it: flushed up to a point, then an open chunk, no metadata.yaml, no lock."""
    meta = meta or bags.meta()
    path: Path = bags.data / "2026-01-31" / f"120000_pick_and_place_{meta.episode_id}"
    writer = bags.open(path, meta)
    for step in range(steps):
        stamp_ns = 5 * NS + step * bags.robot.control_period_ns
        bags.observe(writer, np.full(bags.robot.state_dim, step), stamp_ns, stamp_ns)
        bags.command(writer, meta, [step / 100] * 4, stamp_ns, stamp_ns, step=step)
    writer.close(meta)
    break_off(path, tail)
    return path


def break_off(path: Path, tail: bool = True) -> None:
    """Take away what a killed writer never wrote."""
    (path / "metadata.yaml").unlink()
    file = path / f"{path.name}_0.mcap"
    with file.open("rb") as stream:
        summary = make_reader(stream).get_summary()
        assert summary is not None
        end = max(index.chunk_start_offset + index.chunk_length for index in summary.chunk_indexes)
    whole = file.read_bytes()
    # An open chunk: opcode 6, the length that the SDK writes before it knows it, and some compressed bytes.
    broken = b"\x06" + b"\xff" * 8 + os.urandom(500) if tail else b""
    file.write_bytes(whole[:end] + broken)


def test_a_torn_bag_becomes_whole_in_its_place(bags: Any) -> None:
    path = tear(bags)
    original = (path / f"{path.name}_0.mcap").read_bytes()
    with pytest.raises(BagError, match="torn"):
        open_bag(path)
    assert torn_bags(bags.data) == [path]
    done = repair(bags.data, path, CLOCK)
    assert (done.path, done.unreadable_bytes) == (path, 509)
    check = verify(path)
    assert check.messages == done.messages == sum(check.topics.values())
    assert check.topics["/xrollout/command"] == STEPS
    meta = open_bag(path).meta
    assert meta.recovered
    assert (meta.outcome, meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SYSTEM)
    assert meta.outcome_reason == "the recorder was killed"
    assert meta.duration_s == pytest.approx((STEPS - 1) * bags.robot.control_period_ns / NS)
    assert {name: count.received for name, count in meta.topics.items()} == check.topics
    episode = read_episode(path)
    assert np.array_equal(episode.state[:, 0], np.arange(STEPS))
    assert np.array_equal(episode.action[:, 0], np.arange(STEPS) / 100)
    # Nothing is lost: the original is kept as it was, out of sight of whoever lists the folder.
    assert (done.original / f"{path.name}_0.mcap").read_bytes() == original
    [entry] = find_episodes(bags.data)
    assert entry.path == path and not entry.problem


def test_the_repaired_bag_is_taken_by_strict_readers(bags: Any) -> None:
    path = tear(bags)
    repair(bags.data, path, CLOCK)
    with AnyReader([path], default_typestore=bags.messages.store) as reader:
        stamps = [stamp for _, stamp, _ in reader.messages()]
        assert stamps == sorted(stamps)
        for connection, _, raw in reader.messages():
            reader.deserialize(raw, connection.msgtype)
        assert len(stamps) == reader.message_count
    with (path / f"{path.name}_0.mcap").open("rb") as stream:
        assert len(list(make_reader(stream, validate_crcs=True).iter_messages())) == len(stamps)


def test_cut_anywhere_it_is_repaired_as_far_as_it_goes(bags: Any, tmp_path: Path) -> None:
    path = tear(bags)
    file = path / f"{path.name}_0.mcap"
    whole = file.read_bytes()
    counts = []
    for cut in np.linspace(0, len(whole), 25).astype(int):
        data = tmp_path / f"cut{cut}"
        folder = data / "2026-01-31" / path.name
        folder.mkdir(parents=True)
        (folder / file.name).write_bytes(whole[:cut])
        [result] = repair_all(data, CLOCK)
        if isinstance(result, BagError):
            assert "does not say which episode" in result.what or "is empty" in result.what
            assert (folder / file.name).read_bytes() == whole[:cut]
            assert not list(data.glob("**/.*repair"))
            counts.append(-1)
        else:
            assert verify(folder).messages == result.messages
            counts.append(result.messages)
        shutil.rmtree(data)
    assert counts == sorted(counts)
    assert counts[-1] > STEPS


def test_an_outcome_that_was_already_told_is_kept(bags: Any) -> None:
    """Killed after the final words were written, before metadata.yaml was."""
    told = bags.meta(outcome="success", outcome_source="robot", duration_s=1.5)
    path = tear(bags, meta=told, tail=False)
    done = repair(bags.data, path, CLOCK)
    assert (done.meta.outcome, done.meta.outcome_source) == (Outcome.SUCCESS, OutcomeSource.ROBOT)
    assert done.meta.duration_s == 1.5
    assert done.meta.recovered


def test_losses_of_the_last_status_are_kept(bags: Any) -> None:
    meta = bags.meta()
    path = bags.data / "2026-01-31" / f"120000_x_{meta.episode_id}"
    writer = bags.open(path, meta)
    bags.add(writer, recovery.STATUS_TOPIC, "xrollout/msg/RecorderStatus")
    for lost in (1, 7):
        values = {"episode_id": meta.episode_id, "topics": ["/a", "/b"], "received": [5, 5], "lost": [lost, 0]}
        writer.write(recovery.STATUS_TOPIC, bags.messages.cdr("xrollout/msg/RecorderStatus", **values), lost)
    writer.close(meta)
    break_off(path)
    done = repair(bags.data, path, CLOCK)
    assert done.meta.topics["/a"].lost == 7
    assert "/b" not in done.meta.topics


def test_bags_being_written_are_left_alone(bags: Any) -> None:
    meta = bags.meta()
    with bags.open(bags.data / "day" / f"x_{meta.episode_id}", meta) as writer:
        bags.command(writer, meta, [0.0] * 4, 1, 1)
        assert list(repair_all(bags.data, CLOCK)) == []
        with pytest.raises(BagError, match="being written"):
            repair(bags.data, writer.path, CLOCK)
    verify(writer.path)
    with pytest.raises(BagError, match="not a torn bag"):
        repair(bags.data, writer.path, CLOCK)


def test_two_repairers_do_not_meet(bags: Any) -> None:
    path = tear(bags)
    with (path / f"{path.name}_0.mcap").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert list(repair_all(bags.data, CLOCK)) == []
        with pytest.raises(BagError, match="being written or repaired"):
            repair(bags.data, path, CLOCK)
    assert len(list(repair_all(bags.data, CLOCK))) == 1


def test_a_full_disk_leaves_the_torn_bag_and_nothing_else(bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tear(bags)
    before = sorted(bags.data.rglob("*"))

    def refuse(self: McapFile) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(McapFile, "finish", refuse)
    [problem] = repair_all(bags.data, CLOCK)
    assert isinstance(problem, BagError)
    assert "No space left" in problem.what
    assert sorted(bags.data.rglob("*")) == before
    monkeypatch.undo()
    monkeypatch.setattr(recovery.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(BagError, match="MB free on its disk, there are 0"):
        repair(bags.data, path, CLOCK)
    monkeypatch.undo()
    repair(bags.data, path, CLOCK)


@pytest.mark.parametrize("renames", [0, 1])
def test_a_repair_that_was_killed_is_finished_by_the_next(
    bags: Any, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    path = tear(bags)
    rename, done = Path.rename, 0

    def killed(self: Path, target: Path) -> Path:
        nonlocal done
        if done == renames:
            raise KeyboardInterrupt
        done += 1
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        repair(bags.data, path, CLOCK)
    monkeypatch.undo()
    assert has_work(bags.data)
    list(repair_all(bags.data, CLOCK))
    assert verify(path).topics["/xrollout/command"] == STEPS
    assert not has_work(bags.data)
    assert (bags.data / ".torn" / path.name).is_dir()
    assert not list(bags.data.glob("*/.*"))


def test_a_large_bag_waits_for_the_disk_instead_of_dropping(bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the writer's queue holds at once."""
    path = tear(bags, steps=300)
    monkeypatch.setattr(recovery, "QUEUE_BYTES", 4096)
    done = repair(bags.data, path, CLOCK)
    assert verify(path).messages == done.messages
    assert done.meta.topics["/xrollout/command"].lost == 0


def test_the_command(bags: Any) -> None:
    path, other = tear(bags), tear(bags)
    run = CliRunner().invoke
    result = run(cli, ["episodes", "repair", path.name[-8:], "--data", str(bags.data), "--json"])
    assert result.exit_code == 0, result.output
    assert [each["path"] for each in json.loads(result.output)["repaired"]] == [str(path)]
    result = run(cli, ["episodes", "repair", "--all", "--data", str(bags.data)])
    assert result.exit_code == 0
    assert f"repaired {other}" in result.output
    assert "holds no torn bag" in run(cli, ["episodes", "repair", "--all", "--data", str(bags.data)]).output
    assert run(cli, ["episodes", "repair", "--data", str(bags.data)]).exit_code == 2
    assert run(cli, ["episodes", "repair", "zzz", "--data", str(bags.data)]).exit_code == 5


def test_in_the_background(bags: Any) -> None:
    path = tear(bags)
    said: list[str] = []
    assert repair_aside(bags.data, said.append).wait(20)
    assert len(said) == 1
    assert said[0].startswith(f"repaired: {path}")
    verify(path)
    assert repair_aside(bags.data / "nowhere", said.append).wait(20)
    stopped = repair_aside(bags.data, said.append)
    stopped.stop()
    assert len(said) == 1
