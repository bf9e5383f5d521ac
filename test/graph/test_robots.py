"""Graphs with other robots than the simulated arm: a driver in this process, and a simulated one that is measured."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from xrollout.msg import Heartbeat, SimStep
from xrollout.srv import EndAttempt, StartAttempt
from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.modes import Source
from xrollout_ros.core.resources import load_robot, load_task, share_dir
from xrollout_ros.cycle.gates import certify
from xrollout_ros.graph.encodings import decode
from xrollout_ros.graph.qos import EVENT
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.learning.metadata import read_bytes, sha256
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import make_sim_robot

from ..checkpoints import make_checkpoint
from .arm_driver import SO100, START, arm_driver, call, spinning
from .conftest import Graph, wait_for

pytestmark = pytest.mark.graph
Start = Callable[..., Graph]
TASK = "so100_pick_and_place"
QUARTER = 0.25


@pytest.fixture(scope="session")
def so100_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("so100") / "so100.pt", robot_id="so100", task_id=TASK)


def test_a_real_robot_is_driven_on_request_as_its_level_allows_and_its_commands_are_recorded(
    start_graph: Start, tmp_path: Path
) -> None:
    """At level L2, to which the policy has passed and where this robot moves at most at a quarter of its speed."""
    known = yaml.safe_load((share_dir() / "config/robots/so100.yaml").read_text())
    known["safety"] = {"levels": {level: {"speed": QUARTER} for level in ("L2", "L3", "L4")}}
    robot = tmp_path / "so100.yaml"
    robot.write_text(yaml.safe_dump(known))
    model = make_checkpoint(tmp_path / "so100.pt", robot_id="so100", task_id=TASK)
    certify(model, sha256(read_bytes(model)), "L1", 38, 40, 0.6, "somebody", SystemClock())
    with arm_driver() as driver:
        graph = start_graph("deploy", model=model, robot=robot, level="L2")
        started = call(driver.node, StartAttempt, "start_attempt", StartAttempt.Request(seed=-1), wait_for)
        assert started.accepted, started.reason
        wait_for(lambda: len(driver.commands) > 120, 30, "the driver was not commanded")
        ended = call(
            driver.node,
            EndAttempt,
            "end_attempt",
            EndAttempt.Request(outcome="success", reason="in the box"),
            wait_for,
        )
        assert ended.accepted, ended.message
        wait_for(lambda: graph.data.is_dir() and graph.entries() and graph.entries()[0].meta, 20, "no bag was closed")
        graph.process.send_signal(signal.SIGINT)
        assert graph.wait(15) == 130, graph.output()
    [episode] = graph.episodes()
    assert (episode.meta.outcome, episode.meta.outcome_source) == (Outcome.SUCCESS, OutcomeSource.HUMAN)
    assert (episode.robot.id, episode.meta.level) == ("so100", "L2")
    recorded = [tuple(decode(SO100, item.message)) for item in episode.topic(SO100.command.topic)]
    assert {tuple(action) for action in episode.action} <= set(recorded)
    assert {tuple(action) for action in episode.action} <= {tuple(action) for _, action in driver.commands}
    # The first command begins where the arm stood, and none after it is faster than allowed. (The episode's own actions
    # begin with the first complete observation.)
    actions = np.vstack([START, recorded])
    steps = np.abs(np.diff(actions, axis=0))
    # A gripper keeps its speed.
    share = np.where([dim.kind is ActionKind.GRIPPER for dim in SO100.actions], 1.0, QUARTER)
    assert (steps <= share * SO100.max_rate / SO100.control_rate_hz * 1.5).all()
    assert (steps.max(axis=0) > 0).all(), "it moved"
    driven = episode.source == Source.POLICY
    assert driven.mean() > 0.5
    assert np.median(np.diff(episode.stamp_s)) == pytest.approx(1 / SO100.control_rate_hz, rel=0.2)


def test_the_arm_is_left_alone_until_it_is_measured(start_graph: Start, so100_checkpoint: Path) -> None:
    with arm_driver(publishes=False) as driver:
        graph = start_graph("deploy", model=so100_checkpoint)
        assert call(driver.node, StartAttempt, "start_attempt", StartAttempt.Request(seed=-1), wait_for).accepted
        wait_for(lambda: "posture" in graph.output(), 20, "the attempt was not given up")
        assert driver.commands == []
        driver.publishes = True
        wait_for(
            lambda: call(driver.node, StartAttempt, "start_attempt", StartAttempt.Request(seed=-1), wait_for).accepted,
            20,
            "no second attempt",
        )
        wait_for(lambda: len(driver.commands) > 30, 20, "the driver was not commanded")
        np.testing.assert_allclose(driver.commands[0][1], START, atol=0.1)


def test_the_robot_stops_when_the_manager_dies(start_graph: Start, so100_checkpoint: Path) -> None:
    with arm_driver() as driver:
        graph = start_graph("deploy", model=so100_checkpoint)
        assert call(driver.node, StartAttempt, "start_attempt", StartAttempt.Request(seed=-1), wait_for).accepted
        wait_for(lambda: len(driver.commands) > 30, 20, "the driver was not commanded")
        graph.kill("manager")

        def still() -> bool:
            recent = [action for _, action in driver.commands[-30:]]
            return driver.silent_s() > 0.5 or max(np.ptp(recent, axis=0)) < 1e-6

        wait_for(still, 10, "the arm went on")


def test_a_measured_hold_is_the_same_in_the_graph_and_in_process(start_graph: Start, tmp_path: Path) -> None:
    """The simulated arm with its first action held where the hand is measured: the barrier waits for the hand."""
    known = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    known["actions"][0] |= {
        "kind": "position",
        "hold": "measured",
        "measured": {"observation": "hand_position", "index": 1},
    }
    del known["safety"]["point"]  # whose actions are all deltas
    path = tmp_path / "measured.yaml"
    path.write_text(yaml.safe_dump(known))
    checkpoint = make_checkpoint(tmp_path / "measured.pt", robot_id=str(path))
    graph = start_graph("deploy", model=checkpoint, robot=path, episodes=1, seed=3, delay_steps=3)
    assert graph.wait(90) == 0, graph.output()
    [episode] = graph.episodes()
    robot, task = load_robot(str(path)), load_task("pick_and_place")
    attempt = run_attempt(
        make_sim_robot(robot, task), robot, 3, "nominal", policy=load_policy(checkpoint), delay_steps=3
    )
    assert attempt.actions.tobytes() == episode.action.tobytes()
    assert list(episode.source[:4]) == [Source.HOLD] * 3 + [Source.POLICY]
    assert (episode.action[:3, 0] == episode.state[0, 1]).all()
    assert episode.state[0, 1] != 0


def test_processors_that_remember_see_each_step_once_in_the_graph_as_in_process(
    start_graph: Start, tmp_path: Path
) -> None:
    known = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    known["processors"] = [
        {"kind": "difference", "name": "reach", "of": "object_position", "minus": "hand_position"},
        {"kind": "relative_pose", "position": "hand_position"},
        {"kind": "history", "observation": "reach", "length": 3},
    ]
    path = tmp_path / "processed.yaml"
    path.write_text(yaml.safe_dump(known))
    checkpoint = make_checkpoint(tmp_path / "processed.pt", robot_id=str(path))
    task = yaml.safe_load((share_dir() / "config/tasks/pick_and_place.yaml").read_text())
    task_path = tmp_path / "longer.yaml"
    task_path.write_text(yaml.safe_dump({**task, "time_limit_s": 5.0}))
    steps: list[tuple[str, int]] = []
    beats: list[str] = []
    with spinning("onlooker") as node:
        node.create_subscription(
            SimStep, "/xrollout/sim/step", lambda message: steps.append((message.episode_id, message.step)), EVENT
        )
        node.create_subscription(Heartbeat, "/xrollout/heartbeat", lambda message: beats.append(message.node), EVENT)
        # Deployed on the robot as shipped: what was trained with travels in the checkpoint.
        graph = start_graph("deploy", model=checkpoint, task=task_path, episodes=1, seed=3)
        wait_for(lambda: len(steps) > 5, 60, "no steps")
        # Right after a heartbeat: the manager gives a silent node up after a second.
        heard = beats.count("policy")
        wait_for(lambda: beats.count("policy") > heard, 5, "no heartbeat")
        # A robot that waits for an answer publishes its observation again: the same tick.
        graph.kill("policy", signal.SIGSTOP)
        wait_for(lambda: len(steps) > len(set(steps)), 5, "nothing was published again")
        graph.kill("policy", signal.SIGCONT)
        assert graph.wait(90) == 0, graph.output()
    [episode] = graph.episodes()
    robot = load_robot("metaworld_sawyer")
    sim = make_sim_robot(robot, load_task(str(task_path)))
    attempt = run_attempt(sim, robot, 3, "nominal", policy=load_policy(checkpoint))
    # On a busy machine the stopped policy may be given up as lost. What it drove until then is the same.
    driven = episode.action[episode.source == Source.POLICY]
    assert len(driven) == len(attempt.actions) or episode.meta.outcome is Outcome.ABORT
    assert attempt.actions[: len(driven)].tobytes() == driven.tobytes()
