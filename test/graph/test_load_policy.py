"""Another policy is loaded while one drives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from xrollout.srv import EndAttempt, LoadPolicy, StartAttempt
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.graph.monitor import observe
from xrollout_ros.learning.metadata import read_meta

from ..checkpoints import make_checkpoint
from .conftest import Graph, wait_for, wait_for_policy_commands
from .test_graph_interfaces import client_node, closed, up

Start = Callable[..., Graph]
pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]


def test_a_loaded_policy_drives_the_next_attempt_and_a_refused_one_none(
    start_graph: Start, checkpoint: Path, long_task: Path, tmp_path: Path
) -> None:
    other = make_checkpoint(tmp_path / "other.pt")
    push = make_checkpoint(tmp_path / "push.pt", task_id="push")
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    with observe() as observer, client_node() as (_, call):
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=0)
        up(observer, 5)
        assert call(StartAttempt, "start_attempt", StartAttempt.Request(seed=1)).accepted
        wait_for_policy_commands(observer, 1)
        for path, expected_hash, words in (
            (tmp_path / "missing.pt", "", "there is no checkpoint"),
            (push, "", "trained for task 'push'"),
            (other, "0" * 64, "has SHA-256"),
            (long_task, "", "is not an XRollout checkpoint"),
        ):
            refused = call(LoadPolicy, "load_policy", LoadPolicy.Request(path=str(path), expected_hash=expected_hash))
            assert not refused.accepted
            assert words in refused.message
        loaded = call(LoadPolicy, "load_policy", LoadPolicy.Request(path=str(other), expected_hash=digest))
        assert loaded.accepted, loaded.message
        assert loaded.policy_id == read_meta(other).policy_id
        for number in (1, 2):
            wait_for_policy_commands(observer, number)
            assert call(EndAttempt, "end_attempt", EndAttempt.Request(outcome="success")).accepted
            closed(observer, number)
            wait_for(lambda: observer.model().mode is Mode.HOLD, 30, "HOLD")
            if number == 1:
                assert call(StartAttempt, "start_attempt", StartAttempt.Request(seed=2)).accepted
        graph.process.send_signal(2)
        assert graph.wait(10) == 130

    expected = [
        (read_meta(path).policy_id, hashlib.sha256(path.read_bytes()).hexdigest()) for path in (checkpoint, other)
    ]
    for entry, episode, (policy_id, checkpoint_hash) in zip(graph.entries(), graph.episodes(), expected, strict=True):
        assert (episode.meta.policy_id, episode.meta.checkpoint_hash) == (policy_id, checkpoint_hash)
        chunks = [found.message for found in open_bag(entry.path).messages(["/xrollout/chunk"])]
        assert chunks
        assert {chunk.policy_id for chunk in chunks} == {policy_id}
        # The simulation waits for every answer: not one step was played without the policy.
        assert set(episode.source) == {Source.POLICY}
