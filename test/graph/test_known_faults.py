"""Faults that are known of other recorders, in a whole graph; ``docs/known_faults.md`` names the test of each."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from xrollout_ros.core.modes import Mode
from xrollout_ros.graph.monitor import observe

from .conftest import Graph, wait_for, wait_for_policy_commands

pytestmark = [pytest.mark.graph, pytest.mark.timeout(120)]


def test_the_robot_is_held_before_anything_that_can_block_at_shutdown(
    start_graph: Callable[..., Graph], checkpoint: Path, long_task: Path
) -> None:
    """The recorder never answers, and the manager waits for it: the robot is held already."""
    with observe() as observer:
        graph = start_graph("deploy", model=checkpoint, task=long_task, drive="real_time", episodes=1)
        wait_for_policy_commands(observer, 1)
        graph.kill("recorder", signal.SIGSTOP)
        graph.process.send_signal(signal.SIGINT)
        wait_for(lambda: observer.model().mode is Mode.HOLD, 20, "the robot is held")
        assert graph.process.poll() is None
        assert graph.pid_of("manager") is not None, "the manager waits for the recorder"
        assert graph.wait(15) == 130, graph.output()
    assert "recorder does not end; sending SIGTERM" in graph.output()
