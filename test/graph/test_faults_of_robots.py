"""Faults of the simulated robot in the graph: the same as in process, tagged from topics, told to no bag."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.raw_bag import open_raw
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.sim.faults import parse_faults
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import make_sim_robot
from xrollout_ros.sim.truth import FOLDER

from .conftest import Graph

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]
FAULTS = "sensor_dropout:0.6,action_noise:0.4,wrong_goal"


def test_a_seed_and_a_fault_are_the_same_in_the_graph_and_in_process(
    start_graph: Callable[..., Graph], checkpoint: Path
) -> None:
    graph = start_graph("deploy", model=checkpoint, episodes=2, seed=5, faults=FAULTS)
    assert graph.wait(90) == 0, graph.output()
    robot, task = load_robot("metaworld_sawyer"), load_task("pick_and_place")
    sim = FaultyRobot(make_sim_robot(robot, task, shapes=False), robot, parse_faults(FAULTS))
    said = journal.read(graph.data / "journal.jsonl").entries
    for episode in graph.episodes():
        attempt = run_attempt(sim, robot, episode.meta.seed or 0, "nominal", policy=load_policy(checkpoint))
        np.testing.assert_array_equal(np.array(attempt.states), episode.state)
        np.testing.assert_array_equal(attempt.actions, episode.action)
        name = episode.meta.episode_id
        private = json.loads((graph.data / FOLDER / f"{name}.json").read_text())
        assert sim.log is not None
        assert private == sim.log.document()
        assert {event["what"] for event in private["events"]} >= {"start", "fault_begun", "end"}
        [first, *_] = [
            entry.what.judgement for entry in said if entry.episode_id == name and entry.what.kind == "failure"
        ]
        assert first.mode == "system_fault", "a hand that says the same for 0.6 s is seen in the topics alone"
        # Nothing of a fault's name or parameters is where a tagger could read it.
        kept = b"".join(message.data for message in open_raw(episode.path).messages())
        assert b"finger_right" in kept, "messages are looked through as they were sent, not as they are compressed"
        kept += b"".join(file.read_bytes() for file in episode.path.iterdir() if file.is_file())
        assert not any(word in kept for word in (b"dropout", b"wrong_goal", b"action_noise", b"fault_begun"))


def test_a_fault_that_nobody_knows_starts_nothing(start_graph: Callable[..., Graph], checkpoint: Path) -> None:
    graph = start_graph("deploy", model=checkpoint, episodes=1, faults="rain")
    assert graph.wait(60) == 2
    assert "unknown fault 'rain'" in graph.output()
    assert "object_bump" in graph.output()
    assert graph.entries() == [] if graph.data.exists() else True
