"""What the shipped tasks say of mirrors, in the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("metaworld")

from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.sim.operators import make_expert
from xrollout_ros.sim.robot import BackedRobot, make_sim_robot

STARTS: dict[str, dict[str, Any]] = {
    "pick_and_place": {"object": (0.06, 0.65, 0.02), "goal": (-0.08, 0.85, 0.2)},
    "push": {"object": (0.06, 0.63, 0.02), "goal": (-0.05, 0.85, 0.02)},
}
MORE = 4
"""Steps that the last action goes on for: the mirrored attempt may need a few more."""


def simulated(name: str, side: float) -> tuple[BackedRobot, RobotSpec, TaskSpec]:
    """The task from one start, on this side of the plane x = 0."""
    robot, task = load_robot("metaworld_sawyer"), load_task(name)
    ranges = {
        f"{thing}_{axis}": (value * (side if axis == "x" else 1),) * 2
        for thing, place in STARTS[name].items()
        for axis, value in zip("xyz", place, strict=True)
    }
    document = {**task.model_dump(), "starts": {"nominal": {"ranges": ranges}}}
    task = TaskSpec.model_validate(document)
    return make_sim_robot(robot, task, shapes=False), robot, task


@pytest.mark.parametrize("name", list(STARTS))
def test_a_mirrored_demonstration_succeeds_as_it_was_sent(name: str) -> None:
    sim, robot, task = simulated(name, 1.0)
    assert task.mirror is not None
    of_state = task.mirror.of_state({entry.name: entry.size for entry in robot.observations})
    of_action = task.mirror.of_action(robot.actions)
    expert, now = make_expert("scripted", robot, task), sim.reset(0, "nominal")
    states, actions = [robot.state_vector(now.values)], []
    while not now.done:
        actions.append(expert.act(states[-1]))
        now = sim.step(actions[-1])
        states.append(robot.state_vector(now.values))
    assert now.success

    sim, _, _ = simulated(name, -1.0)
    now = sim.reset(0, "nominal")
    mirrored = [robot.state_vector(now.values)]
    for action in [*actions, *actions[-1:] * MORE]:
        if now.done:
            break
        now = sim.step(of_action.sign * action[of_action.source])
        mirrored.append(robot.state_vector(now.values))
    assert now.success
    shared = min(len(states), len(mirrored))
    expected = of_state.sign * np.array(states)[:shared, of_state.source]
    apart = np.abs(np.array(mirrored)[:shared] - expected)
    for place in ("hand_position", "object_position"):
        assert apart[:, robot.state_slices()[place]].max() < 0.02
