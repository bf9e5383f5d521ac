"""Any Gymnasium environment as a robot, by configuration."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import StartSpec
from xrollout_ros.sim.operators import make_expert
from xrollout_ros.sim.robot import make_sim_robot

gymnasium = pytest.importorskip("gymnasium")


@pytest.fixture
def robot() -> RobotSpec:
    return load_robot("gym_mountain_car")


def changed(robot: RobotSpec, **sim: Any) -> RobotSpec:
    assert robot.sim is not None
    return robot.model_copy(update={"sim": robot.sim.model_copy(update=sim)})


@pytest.mark.parametrize("start", ["nominal", "wide"])
def test_the_scripted_operator_reaches_the_flag(robot: RobotSpec, start: str) -> None:
    task = load_task("mountain_car")
    sim, operator = make_sim_robot(robot, task), make_expert("scripted", robot, task)
    assert operator.name == "energy"
    for seed in range(10):
        observation = sim.reset(seed, start)
        operator.reset(seed)
        while not observation.done:
            action = operator.act(robot.state_vector(observation.values))
            assert action.shape == (1,) and -1 <= action[0] <= 1
            observation = sim.step(action)
        assert observation.success and observation.values["position"].shape == (1,)
    sim.close()


def test_starts_follow_seed_and_range_whatever_happened_before(robot: RobotSpec) -> None:
    sim = make_sim_robot(robot, load_task("mountain_car"))
    first = sim.reset(3, "wide").values["position"][0]
    for _ in range(20):
        sim.step([1.0])
    sim.reset(4, "nominal")
    assert sim.reset(3, "wide").values["position"][0] == first
    wide = [sim.reset(seed, "wide").values["position"][0] for seed in range(40)]
    nominal = [sim.reset(seed, "nominal").values["position"][0] for seed in range(40)]
    assert -0.9 <= min(wide) < -0.8 and min(nominal) >= -0.6 and len(set(wide)) == 40
    sim.close()


def test_time_is_limited_by_the_task_alone(robot: RobotSpec) -> None:
    task = load_task("mountain_car").model_copy(update={"time_limit_s": 1100 / 30})
    sim = make_sim_robot(robot, task)
    sim.reset(0, "nominal")
    # The environment's own limit is 999 steps.
    for _ in range(1099):
        assert not sim.step([0.0]).done
    last = sim.step([0.0])
    assert last.done and not last.success
    sim.close()


def test_what_does_not_fit_is_refused(robot: RobotSpec) -> None:
    task = load_task("mountain_car")
    strong = robot.actions[0].model_copy(update={"upper": 3.0})
    cases = [
        (changed(robot, env_id="NoSuchCar-v0"), "NoSuchCar-v0"),
        (changed(robot, env_id="MountainCar-v0"), "action space.*Discrete"),
        (changed(robot, env_id="FrozenLake-v1"), "observation space.*Discrete"),
        (changed(robot, make={"wheels": 4}), "sim.make.*wheels"),
        (robot.model_copy(update={"actions": (strong,)}), r"'force'.*\[-1, 3\]"),
        (robot.model_copy(update={"actions": robot.actions * 2}), "2 actions"),
        (changed(robot, observation={"position": (0, 1), "velocity": (2, 3)}), "velocity.*2 values"),
    ]
    for spec, complaint in cases:
        with pytest.raises(SpecError, match=f"(?s){complaint}"):
            make_sim_robot(spec, task)


@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        (StartSpec(widen=2.0), "widen by 2"),
        # The environment wants a number under this name, not a range.
        (StartSpec(ranges={"low": (0, 0)}), "refuses the reset options"),
    ],
)
def test_starts_it_cannot_give_are_refused(robot: RobotSpec, start: StartSpec, complaint: str) -> None:
    task = load_task("mountain_car")
    sim = make_sim_robot(robot, task.model_copy(update={"starts": {**task.starts, "odd": start}}))
    with pytest.raises(SpecError, match=complaint):
        sim.reset(0, "odd")
    sim.close()


def test_a_missing_success_key_is_named(robot: RobotSpec) -> None:
    sim = make_sim_robot(changed(robot, success="won"), load_task("mountain_car"))
    sim.reset(0, "nominal")
    with pytest.raises(SpecError, match="'won'"):
        sim.step([0.0])
    sim.close()


def test_a_missing_package_is_named(robot: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(SpecError, match="pip install gymnasium"):
        make_sim_robot(robot, load_task("mountain_car"))


def test_success_and_start_come_from_info_where_asked(robot: RobotSpec) -> None:
    class Walk(gymnasium.Env[Any, Any]):
        """Starts at 0, 1 or 2 steps from the goal; says so in a nested info."""

        observation_space = gymnasium.spaces.Box(-9, 9, (1, 2), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (1, 1), np.float32)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.left = int(self.np_random.integers(3))
            return self._seen(), {"task": {"won": self.left == 0}}

        def step(self, action: Any) -> Any:
            assert action.shape == (1, 1) and action.dtype == np.float32
            self.left -= 1
            return self._seen(), 0.0, False, False, {"task": {"won": self.left == 0}}

        def _seen(self) -> Any:
            return np.array([[self.left, 0]], dtype=np.float32)

    gymnasium.register("XRolloutWalk-v0", Walk)
    try:
        spec = changed(robot, env_id="XRolloutWalk-v0", success="task.won")
        sim = make_sim_robot(spec, load_task("mountain_car"))
        for seed in range(20):
            first = sim.reset(seed, "nominal")
            assert first.values["position"][0] > 0
            assert sim.reset(seed, "nominal").values["position"][0] == first.values["position"][0]
            seen = [sim.step([1.0]).success for _ in range(int(first.values["position"][0]))]
            assert seen[-1] and not any(seen[:-1])
        sim.close()
    finally:
        del gymnasium.registry["XRolloutWalk-v0"]
