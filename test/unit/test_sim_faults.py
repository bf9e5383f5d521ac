"""Faults of simulated robots: seeded, reproducible, and told to nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Source
from xrollout_ros.core.ports import PolicyInfo, Prefix
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.graph.description import describe
from xrollout_ros.runtime.operators.scripted import TakeoverRule
from xrollout_ros.sim.faults import FAULT_NAMES, Fault, faults_json, parse_faults, sparing
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.loop import Attempt, run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot
from xrollout_ros.sim.truth import PrivateLog

from ..checkpoints import make_checkpoint

pytest.importorskip("metaworld")
ROBOT = load_robot("metaworld_sawyer")
TASKS = ("pick_and_place", "push", "peg_insert")


@pytest.fixture(scope="module")
def sims() -> dict[str, FaultyRobot]:
    return {
        task: FaultyRobot(make_sim_robot(ROBOT, load_task(task), shapes=False), ROBOT, watch=True) for task in TASKS
    }


class Idle:
    """A policy that does nothing."""

    info = PolicyInfo("p", "", ROBOT.id, "pick_and_place", 4, 4, ROBOT.state_dim, 4)
    scores: Mapping[str, float] = {}

    def reset(self, seed: int) -> None:
        """Nothing is random."""

    def predict(self, state: Any, prefix: Prefix | None = None) -> Any:
        return np.zeros((4, 4), dtype=np.float32)


def run(sim: FaultyRobot, task: str, faults: str, seed: int = 3) -> tuple[Attempt, PrivateLog]:
    sim.inject(parse_faults(faults))
    attempt = run_attempt(sim, ROBOT, seed, "nominal", operator=make_operator("scripted", ROBOT, load_task(task)))
    assert sim.log is not None
    return attempt, sim.log


def what(log: PrivateLog) -> list[str]:
    return [event.what for event in log.events]


@pytest.mark.parametrize("task", TASKS)
def test_without_a_fault_nothing_differs(sims: dict[str, FaultyRobot], task: str) -> None:
    attempt, log = run(sims[task], task, "")
    plain = make_sim_robot(ROBOT, load_task(task), shapes=False)
    same = run_attempt(plain, ROBOT, 3, "nominal", operator=make_operator("scripted", ROBOT, load_task(task)))
    assert np.array_equal(attempt.states, same.states)
    assert what(log)[0] == "start"
    assert {"reached", "grasped", "carried", "end"} <= set(what(log))
    assert log.events[-1].facts["success"]


@pytest.mark.parametrize("fault", FAULT_NAMES)
def test_a_seed_and_a_fault_give_the_same_attempt(sims: dict[str, FaultyRobot], fault: str) -> None:
    sim = sims["push"]
    (first, log), _ = run(sim, "push", fault), run(sim, "push", fault, seed=4)
    (again, same), (other, _) = run(sim, "push", fault), run(sim, "push", "")
    assert np.array_equal(first.states, again.states)
    assert log.document() == same.document()
    assert "fault_begun" in what(log)
    assert not np.array_equal(first.states, other.states)


def test_each_fault_does_what_it_says(sims: dict[str, FaultyRobot]) -> None:
    sim = sims["pick_and_place"]
    slices = ROBOT.state_slices()
    plain = np.array(run(sim, "pick_and_place", "")[0].states)

    _, log = run(sim, "pick_and_place", "object_bump:0.08")
    begun = next(event.step for event in log.events if event.what == "fault_begun")
    bumped = np.array(run(sim, "pick_and_place", "object_bump:0.08")[0].states)[:, slices["object_position"]]
    assert 0.05 < np.linalg.norm(bumped[begun + 12] - bumped[begun]) < 0.11

    _, log = run(sim, "pick_and_place", "gripper_slip")
    lost = next(event for event in log.events if event.what == "released")
    assert lost.facts["carried"]

    delayed = np.array(run(sim, "pick_and_place", "action_delay:8")[0].states)[:, slices["hand_position"]]
    assert np.abs(delayed[8] - delayed[0]).max() < 0.005
    assert np.abs(plain[8, :3] - plain[0, :3]).max() > 0.01

    wrong = np.array(run(sim, "pick_and_place", "wrong_goal:0.15")[0].states)[:, slices["goal_position"]]
    assert np.linalg.norm(wrong[0] - plain[0, slices["goal_position"]]) == pytest.approx(0.15)
    assert wrong[0, 2] == plain[0, slices["goal_position"]][2]

    text = json.dumps([{"kind": "sensor_dropout", "delay_s": [0.1, 0.1], "lasts_s": 0.25}])
    seen = np.array(run(sim, "pick_and_place", text)[0].states)
    assert (seen[8:28] == seen[8]).all()
    assert not (seen[29] == seen[8]).all()


def test_noise_acts_on_what_comes_late_whatever_is_named_first(sims: dict[str, FaultyRobot]) -> None:
    one, _ = run(sims["push"], "push", "action_noise,action_delay:2")
    alone, _ = run(sims["push"], "push", "action_delay:2")
    assert not np.array_equal(one.states, alone.states)


def test_a_probability_leaves_some_attempts_alone(sims: dict[str, FaultyRobot]) -> None:
    sim = sims["push"]
    sim.inject(parse_faults(json.dumps([{"kind": "wrong_goal", "probability": 0.5}])))
    begun = []
    for seed in range(12):
        sim.reset(seed, "nominal")
        assert sim.log is not None
        begun.append("fault_begun" in what(sim.log))
    assert 1 < sum(begun) < 11


def test_a_fault_ends_with_its_attempt(sims: dict[str, FaultyRobot]) -> None:
    sim = sims["peg_insert"]
    plain, _ = run(sim, "peg_insert", "")
    run(sim, "peg_insert", '[{"kind": "gripper_slip", "lasts_s": null}]')
    again, _ = run(sim, "peg_insert", "")
    assert np.array_equal(plain.states, again.states)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("earthquake", "unknown fault 'earthquake'. Known are object_bump"),
        ("object_bump:much", "strength 'much'. Give a number, its distance_m"),
        ("object_bump:-1", "greater than 0"),
        ("action_delay:2.5", "integer"),
        ('[{"kind": "object_bump", "delay_s": [2, 1]}]', "inverted"),
        ('[{"kind": "object_bump", "colour": 1}]', "colour"),
        ('[{"kind": "object_bump", "lasts_s": null}]', "how long the push takes"),
        ("[{", "is not valid"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_a_wrong_fault_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message.replace(".", r"\.").replace("(", r"\(")):
        parse_faults(text)


def test_faults_survive_their_way_to_the_robot(tmp_path: Path) -> None:
    faults: tuple[Fault, ...] = parse_faults("object_bump:0.05, action_noise")
    assert [fault.kind for fault in faults] == ["object_bump", "action_noise"]
    assert parse_faults(faults_json(faults)) == faults
    file = tmp_path / "faults.yaml"
    file.write_text("- {kind: gripper_slip, after: lift, probability: 0.5}\n")
    assert parse_faults(str(file))[0].after == "lift"
    assert parse_faults("") == ()
    assert faults_json(()) == ""


def test_what_cannot_happen_to_a_robot_is_refused() -> None:
    robot = load_robot("gym_mountain_car")
    inner = make_sim_robot(robot, load_task("mountain_car"), shapes=False)
    faulty = FaultyRobot(inner, robot)
    for text, message in (
        ("gripper_slip", "knows no hand and no object"),
        ("wrong_goal", "no position that robot"),
        ('[{"kind": "sensor_dropout", "observations": ["nose"]}]', "nose"),
    ):
        with pytest.raises(SpecError, match=message):
            faulty.inject(parse_faults(text))
    faulty.inject(parse_faults("action_noise"))
    faulty.reset(1, "nominal")
    faulty.step([1.0])
    faulty.close()


def test_a_graph_refuses_wrong_faults_before_it_starts(tmp_path: Path) -> None:
    given: dict[str, Any] = {"model": str(make_checkpoint(tmp_path / "c.pt")), "data": str(tmp_path / "data")}
    with pytest.raises(SpecError, match="unknown fault"):
        describe("deploy", {**given, "faults": "rain"})
    with pytest.raises(SpecError, match="no plug-in 'oracle'"):
        describe("deploy", {**given, "labellers": "oracle"})
    graph = describe("deploy", {**given, "faults": "object_bump"})
    told = {process.name: process.parameters for process in graph.processes}
    assert "object_bump" in str(told["manager"]["faults"])
    assert [name for name, parameters in told.items() if "faults" in parameters] == ["manager"]
    assert "private_log" not in told["tagger"]


@pytest.mark.parametrize("fault", ["gripper_slip", "action_noise", "wrong_goal", "object_bump"])
def test_who_takes_over_may_be_spared(sims: dict[str, FaultyRobot], fault: str) -> None:
    sim, task = sims["pick_and_place"], load_task("pick_and_place")
    rule = TakeoverRule(at_step=0)
    policy = Idle()

    def made(faults: tuple[Fault, ...]) -> tuple[Attempt, PrivateLog]:
        sim.inject(faults)
        operator = make_operator("scripted", ROBOT, task, rule)
        attempt = run_attempt(sim, ROBOT, 3, "nominal", policy=policy, operator=operator)
        assert sim.log is not None
        return attempt, sim.log

    plain, _ = made(())
    disturbed, log = made(parse_faults(fault))
    assert "fault_begun" in what(log)
    assert not np.array_equal(plain.actions, disturbed.actions)
    spared, log = made(sparing(parse_faults(fault)))
    first = next(n for n, command in enumerate(spared.commands) if command.source is Source.OPERATOR)
    later = [event for event in log.events if event.what == "fault_begun" and event.step > first]
    assert not later, "nothing begins for who has taken over"
    assert what(log).count("fault_begun") == what(log).count("fault_ended")
    assert spared.outcome is Outcome.SUCCESS
    document = json.loads(faults_json(sparing(parse_faults(fault))))
    assert document[0]["spares_operator"] is True
