"""Scripted operators see the state vector alone, stay within limits and do their tasks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Withdraws
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.sim.operators import make_expert
from xrollout_ros.sim.robot import make_sim_robot

pytest.importorskip("metaworld")


@pytest.fixture(scope="module")
def robot() -> RobotSpec:
    return load_robot("metaworld_sawyer")


@pytest.mark.parametrize(
    ("task_id", "start", "least"),
    [
        ("pick_and_place", "nominal", 6),
        ("pick_and_place", "wide", 6),
        ("push", "wide", 5),
        ("peg_insert", "nominal", 5),
    ],
)
def test_the_expert_succeeds_from_the_state_vector_alone(
    robot: RobotSpec, task_id: str, start: str, least: int
) -> None:
    task = load_task(task_id)
    sim, operator = make_sim_robot(robot, task, shapes=False), make_expert("scripted", robot, task)
    assert operator.name == "metaworld"
    won, commands = 0, []
    for seed in (0, 1, 2, 3, 4, 5, 0):
        observation = sim.reset(seed, start)
        operator.reset(seed)
        sent = []
        while not observation.done:
            action = operator.act(robot.state_vector(observation.values))
            assert action.shape == (4,) and action.dtype == np.float64
            assert (action >= robot.lower).all() and (action <= robot.upper).all()
            sent.append(action)
            observation = sim.step(action)
        won += observation.success
        commands.append(np.concatenate(sent).tobytes())
    assert won >= least
    assert commands[0] == commands[-1], "the same seed gave other commands"
    sim.close()


@pytest.mark.parametrize("task_id", ["pick_and_place", "push", "peg_insert"])
def test_the_state_vector_tells_the_expert_all_it_uses(robot: RobotSpec, task_id: str) -> None:
    from metaworld.policies import ENV_POLICY_MAP

    task = load_task(task_id)
    sim, operator = make_sim_robot(robot, task, shapes=False), make_expert("metaworld", robot, task)
    expert = ENV_POLICY_MAP[task.scene]()
    observation = sim.reset(9, "nominal")
    while not observation.done:
        action = operator.act(robot.state_vector(observation.values))
        observation = sim.step(action)
        whole = sim._backend._env._last_stable_obs
        wanted = np.clip(expert.get_action(whole).astype(np.float64), robot.lower, robot.upper)
        assert np.array_equal(operator.act(robot.state_vector(observation.values)), wanted)
    sim.close()


def test_an_action_depends_on_the_state_alone(robot: RobotSpec) -> None:
    task = load_task("peg_insert")
    used, fresh = (make_expert("metaworld", robot, task) for _ in range(2))
    random = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            used.act(random.uniform(-0.2, 0.8, robot.state_dim))
        state = random.uniform(-0.2, 0.8, robot.state_dim)
        assert np.array_equal(used.act(state), fresh.act(state))


def test_what_cannot_be_operated_is_refused(robot: RobotSpec) -> None:
    push, car = load_task("push"), load_robot("gym_mountain_car")
    with pytest.raises(SpecError, match=r"unknown operator 'juggler'.*energy, metaworld"):
        make_expert("juggler", robot, push)
    with pytest.raises(SpecError, match="'push' has no scripted operator"):
        make_expert("scripted", robot, push.model_copy(update={"operator": None}))
    with pytest.raises(SpecError, match=r"no scripted expert.*'attic-v3'"):
        make_expert("metaworld", robot, push.model_copy(update={"scene": "attic-v3"}))
    with pytest.raises(SpecError, match="cannot drive robot 'gym_mountain_car'"):
        make_expert("metaworld", car, push)
    with pytest.raises(SpecError, match="cannot drive robot 'metaworld_sawyer'"):
        make_expert("energy", robot, push)


def test_an_operator_refuses_a_robot_whose_observation_it_does_not_know(robot: RobotSpec) -> None:
    assert robot.sim is not None
    slices = {**robot.sim.observation, "goal_position": (20, 23)}
    odd = robot.model_copy(update={"sim": robot.sim.model_copy(update={"observation": slices})})
    with pytest.raises(SpecError, match=r"goal_position.*\[20, 23\]"):
        make_expert("metaworld", odd, load_task("push"))


def test_after_a_takeover_it_comes_up_from_the_object_with_open_fingers_unless_it_holds_it(robot: RobotSpec) -> None:
    expert = make_expert("scripted", robot, load_task("pick_and_place"))
    assert isinstance(expert, Withdraws)

    def state(hand_z: float, opening: float, thing_z: float = 0.02, beside: float = 0.0) -> Array:
        values = {
            "hand_position": [beside, 0.6, hand_z], "gripper_opening": [opening], "object_position": [0, 0.6, thing_z],
            "object_orientation": [0, 0, 0, 1], "goal_position": [0, 0.8, 0.2],
        }  # fmt: skip
        return robot.state_vector(values)

    stuck, closed, held, home = state(0.05, 0.4), state(0.3, 0.4), state(0.1, 0.4, thing_z=0.09), state(0.2, 1.0)
    assert expert.withdraw(stuck).tolist() == [0, 0, 1, -1]
    assert expert.withdraw(state(0.05, 1.0)).tolist() == [0, 0, 1, -1]
    assert expert.withdraw(closed).tolist() == [0, 0, 0, -1]
    assert expert.withdraw(state(0.05, 1.0, beside=0.2)) is None
    assert expert.withdraw(held) is None
    assert expert.withdraw(home) is None
    assert [expert.strayed(each) for each in (stuck, closed, held, home)] == [False, True, False, False]
