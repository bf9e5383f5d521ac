"""Plugs pulled in the middle."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mcap.exceptions import McapError
from mcap.records import Chunk
from mcap.stream_reader import StreamReader

from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.episodes.bag_reader import verify
from xrollout_ros.graph.monitor import observe
from xrollout_ros.graph.nursery import made_by

from ..checkpoints import make_checkpoint
from .conftest import Graph, wait_for, wait_for_policy_commands

Start = Callable[..., Graph]
pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]


def flushes(data: Path) -> int:
    """How many chunks of open bags have been closed."""
    count = 0
    for bag in data.rglob("*.mcap"):
        with bag.open("rb") as file, contextlib.suppress(McapError, ValueError):
            for record in StreamReader(file, emit_chunks=True).records:
                count += isinstance(record, Chunk)
    return count


def test_policy_killed_in_real_time(start_graph: Start, checkpoint: Path, long_task: Path) -> None:
    """Play out, hold, end as abort, respawn, next attempt."""
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, drive="real_time", episodes=2)
        wait_for_policy_commands(observer, 1)
        graph.kill("policy")
        wait_for_policy_commands(observer, 2)
        graph.process.send_signal(signal.SIGINT)
        assert graph.wait(10) == 130, graph.output()
    assert "policy ended by signal SIGKILL; starting it again" in graph.output()
    first, second = graph.entries()
    verify(first.path)
    episode = graph.episodes()[0]
    assert (episode.meta.outcome, episode.meta.outcome_source) in [
        (Outcome.ABORT, OutcomeSource.SYSTEM),
        (Outcome.ABORT, OutcomeSource.SAFETY),
    ]
    chunks = [found.message for found in episode.topic("/xrollout/chunk")]
    rows = len(chunks[-1].data) // chunks[-1].action_dim
    end_ns = stamp_ns(chunks[-1].start) + round(rows * chunks[-1].period_s * NS)
    commands = [found.message for found in episode.topic("/xrollout/command")]
    last_policy = max(place for place, command in enumerate(commands) if command.source == Source.POLICY)
    first_hold = commands[last_policy + 1]
    assert first_hold.source == Source.HOLD
    assert (stamp_ns(first_hold.stamp) - end_ns) / NS < 0.1
    assert all(command.source == Source.HOLD for command in commands[last_policy + 1 :])
    assert second.meta is not None
    assert second.meta.outcome is Outcome.ABORT  # by Ctrl-C


def test_policy_killed_in_the_stepped_drive(start_graph: Start, checkpoint: Path, long_task: Path) -> None:
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=2)
        wait_for_policy_commands(observer, 1)
        graph.kill("policy")
        wait_for_policy_commands(observer, 2)
        graph.process.send_signal(signal.SIGINT)
        assert graph.wait(10) == 130, graph.output()
    first = graph.entries()[0]
    verify(first.path)
    assert first.meta is not None
    assert (first.meta.outcome, first.meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SYSTEM)
    assert "policy" in first.meta.outcome_reason


@pytest.mark.parametrize("drive", ["stepped", "real_time"])
def test_ctrl_c_ends_everything_with_the_bag_closed(
    start_graph: Start, checkpoint: Path, long_task: Path, drive: str
) -> None:
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, drive=drive, episodes=9)
        wait_for_policy_commands(observer, 1)
        nodes = ["sim_robot", "recorder", "supervisor", "policy", "tagger", "manager"]
        assert all(graph.pid_of(node) for node in nodes)
    begin_s = time.monotonic()
    graph.process.send_signal(signal.SIGINT)
    assert graph.wait(10) == 130, graph.output()
    assert time.monotonic() - begin_s < 5.0, graph.output()
    assert not any(graph.pid_of(node) for node in nodes)
    assert "Traceback" not in graph.output()
    entry = graph.entries()[-1]
    assert entry.meta is not None
    assert (entry.meta.outcome, entry.meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SYSTEM)
    verify(entry.path)


def test_nan_from_the_policy_is_a_fault_and_never_a_command(
    start_graph: Start, tmp_path: Path, long_task: Path
) -> None:
    exploding = make_checkpoint(tmp_path / "exploding.pt", scale=1e38)
    graph = start_graph("deploy", model=exploding, task=long_task, episodes=2)
    assert graph.wait(90) == 0, graph.output()
    for entry, episode in zip(graph.entries(), graph.episodes(), strict=True):
        verify(entry.path)
        assert (episode.meta.outcome, episode.meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SAFETY)
        assert episode.meta.outcome_reason.startswith("finite")
        assert np.isfinite(episode.action).all()
        assert set(episode.source) <= {Source.HOLD}


def test_recorder_killed_ends_the_attempt_and_the_next_one_is_recorded(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=2)
        wait_for_policy_commands(observer, 1)
        # What has not been flushed (twice a second) dies with the process: wait for half a second of commands.
        before = flushes(graph.data)
        wait_for(lambda: flushes(graph.data) >= before + 2, 20, "two flushes")
        graph.kill("recorder")
        wait_for_policy_commands(observer, 2)
        wait_for(lambda: "repaired: " in graph.output(), 30, "the torn bag is repaired")
        graph.process.send_signal(signal.SIGINT)
        assert graph.wait(10) == 130, graph.output()
    # The recorder that came back has repaired the bag of the one that was killed, while it recorded the next attempt.
    repaired, whole = graph.entries()
    assert "repaired: " in graph.output()
    for entry in (repaired, whole):
        assert verify(entry.path).messages > 0, graph.output()
    assert repaired.meta is not None
    assert repaired.meta.recovered
    assert (repaired.meta.outcome, repaired.meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SYSTEM)
    first, second = graph.episodes()
    assert len(first.action) > 20
    assert second.step[0] == 0, "the recorder that came back has it from its first step"
    assert (graph.data / ".torn" / repaired.path.name).is_dir()


def test_the_process_that_makes_the_nodes_is_killed_and_the_graph_ends_loudly_with_its_bag_closed(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=1)
        wait_for_policy_commands(observer, 1)
        nodes = made_by(graph.process.pid)
        graph.kill("nursery")
        assert graph.wait(15) == GraphError.exit_code, graph.output()
    assert "the process that makes the nodes has ended" in graph.output()
    # What has ended and whom nobody asked about has no command line any more.
    lines = [Path(f"/proc/{pid}/cmdline") for pid in nodes.values()]
    assert not [line for line in lines if line.exists() and line.read_bytes()], "nothing runs on"
    [entry] = graph.entries()
    assert entry.meta is not None
    assert not entry.meta.recovered, "it was closed, not found torn"
    assert verify(entry.path).messages > 0


def test_manager_killed_leaves_the_robot_held_and_the_bag_closed(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, drive="real_time", episodes=1)
        wait_for_policy_commands(observer, 1)
        graph.kill("manager")
        assert graph.wait(15) != 0, graph.output()
    [entry] = graph.entries()
    verify(entry.path)
    assert entry.meta is not None
    assert (entry.meta.outcome, entry.meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SYSTEM)


@pytest.mark.parametrize("node", ["manager", "recorder"])
def test_a_node_stopped_for_a_while_leaves_every_bag_closed_and_the_attempts_go_on(
    start_graph: Start, checkpoint: Path, long_task: Path, node: str
) -> None:
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, drive="real_time", episodes=2)
        wait_for_policy_commands(observer, 1)
        stopped_s = time.monotonic()
        graph.kill(node, signal.SIGSTOP)
        wait_for(lambda: time.monotonic() - stopped_s > 1.6, 10, "longer than silence is borne")
        graph.kill(node, signal.SIGCONT)
        wait_for_policy_commands(observer, 2)
        graph.process.send_signal(signal.SIGINT)
        assert graph.wait(10) == 130, graph.output()
    for entry in graph.entries():
        verify(entry.path)
        assert entry.meta is not None
        assert (entry.meta.outcome, entry.meta.recovered) == (Outcome.ABORT, False)
    first, second = graph.entries()
    assert first.meta is not None
    assert ("the manager was stopped" if node == "manager" else "recorder has died") in first.meta.outcome_reason
    assert second.path != first.path


def test_what_the_recorder_closed_as_aborted_meanwhile_is_what_the_manager_tells(
    start_graph: Start, checkpoint: Path
) -> None:
    with observe() as observer:
        # Its time limit of 2 s passes while the manager is stopped, which then has a verdict of its own.
        graph = start_graph("deploy", model=checkpoint, task="pick_and_place", drive="real_time", episodes=1)
        wait_for_policy_commands(observer, 1)
        graph.kill("manager", signal.SIGSTOP)
        wait_for(lambda: "was closed as aborted" in graph.output(), 30, "the recorder waits no longer")
        graph.kill("manager", signal.SIGCONT)
        assert graph.wait(60) == 0, graph.output()
    [entry] = graph.entries()
    verify(entry.path)
    assert entry.meta is not None
    assert (entry.meta.outcome, entry.meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SYSTEM)
    assert "the manager has been silent" in entry.meta.outcome_reason
    assert f"abort (system: {entry.meta.outcome_reason})" in graph.output()
    assert "was not closed" not in graph.output()


def test_a_node_that_dies_too_often_ends_the_graph_loudly(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=0)
        wait_for(lambda: any(n.name == "tagger" and n.lifecycle == "active" for n in observer.model().nodes), 60, "up")
        killed: set[int] = set()
        for _ in range(4):
            pid = wait_for(lambda: (found := graph.pid_of("tagger")) not in killed and found, 20, "tagger is back")
            killed.add(pid)
            graph.kill("tagger")
    assert graph.wait(20) == 6, graph.output()
    assert "tagger died 4 times within a minute" in graph.output()


def test_a_second_graph_in_the_same_domain_is_refused(start_graph: Start, checkpoint: Path, long_task: Path) -> None:
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=1)
        wait_for_policy_commands(observer, 1)
        second = start_graph("record", task="pick_and_place", episodes=1)
        assert second.wait(20) == 6
        assert "a graph is running already in ROS domain" in second.output()
        assert observer.model().mode is Mode.AUTONOMOUS
        assert graph.process.poll() is None
