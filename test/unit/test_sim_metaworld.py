"""Meta-World as a robot: starts, determinism, limits, errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import SimObservation
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import StartSpec, SuccessSpec, TaskSpec
from xrollout_ros.sim.robot import BackedRobot, make_sim_robot

pytest.importorskip("metaworld")

TASKS = ("pick_and_place", "push", "peg_insert")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def robot() -> RobotSpec:
    return load_robot("metaworld_sawyer")


def with_start(task: TaskSpec, **start: Any) -> TaskSpec:
    return task.model_copy(update={"starts": {**task.starts, "custom": StartSpec(**start)}})


def state(robot: RobotSpec, observation: SimObservation) -> bytes:
    return robot.state_vector(observation.values).tobytes()


def actions(count: int, seed: int = 7) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 4))


def trace(sim: BackedRobot, robot: RobotSpec, seed: int, start: str, count: int) -> bytes:
    parts = [state(robot, sim.reset(seed, start))]
    parts += [state(robot, sim.step(action)) for action in actions(count)]
    return b"".join(parts)


@pytest.fixture(scope="module", params=TASKS)
def pair(request: pytest.FixtureRequest, robot: RobotSpec) -> Any:
    task = load_task(request.param)
    sims = [make_sim_robot(robot, task) for _ in range(2)]
    yield task, sims
    for sim in sims:
        sim.close()


def test_different_seeds_give_different_starts(pair: Any, robot: RobotSpec) -> None:
    _, (sim, _) = pair
    seen = [sim.reset(seed, "nominal").values for seed in range(20)]
    for name in ("object_position", "goal_position"):
        assert len({values[name].tobytes() for values in seen}) == 20


def test_a_seed_reproduces_its_start_and_what_follows_whatever_happened_before(pair: Any, robot: RobotSpec) -> None:
    _, (used, fresh) = pair
    expected = trace(fresh, robot, 11, "nominal", 40)
    used.reset(5, "wide")
    for action in actions(60, seed=1):
        used.step(action)
    used.reset(6, "nominal")
    assert trace(used, robot, 11, "nominal", 40) == expected
    assert trace(used, robot, 11, "nominal", 40) == expected


@settings(max_examples=8, deadline=None)
@given(
    history=st.lists(
        st.tuples(st.integers(0, 1000), st.sampled_from(["nominal", "wide"]), st.integers(0, 40)), max_size=3
    ),
    seed=st.integers(0, 2**31),
)
def test_no_history_shows_in_an_attempt(pair_of_push: Any, history: list[tuple[int, str, int]], seed: int) -> None:
    robot, make, sim = pair_of_push
    for earlier, start, count in history:
        sim.reset(earlier, start)
        for action in actions(count, seed=earlier):
            sim.step(action)
    fresh = make()
    try:
        assert trace(sim, robot, seed, "wide", 25) == trace(fresh, robot, seed, "wide", 25)
    finally:
        fresh.close()


@pytest.fixture(scope="module")
def pair_of_push(robot: RobotSpec) -> Any:
    task = load_task("push")

    def make() -> Any:
        return make_sim_robot(robot, task)

    sim = make()
    yield robot, make, sim
    sim.close()


def test_a_fresh_process_gives_the_same_attempt(pair: Any, robot: RobotSpec) -> None:
    task, (sim, _) = pair
    sim.reset(3, "nominal")
    # Meta-World can draw from numpy's global generator; nothing may depend on it.
    np.random.seed(99)
    here = trace(sim, robot, 21, "wide", 30)
    script = (
        "import sys, numpy as np\n"
        "from xrollout_ros.core.resources import load_robot, load_task\n"
        "from xrollout_ros.sim.robot import make_sim_robot\n"
        f"robot, task = load_robot('metaworld_sawyer'), load_task({task.id!r})\n"
        "sim = make_sim_robot(robot, task, shapes=False)\n"
        "out = [robot.state_vector(sim.reset(21, 'wide').values)]\n"
        "for action in np.random.default_rng(7).uniform(-1, 1, (30, 4)):\n"
        "    out.append(robot.state_vector(sim.step(action).values))\n"
        "sys.stdout.write(b''.join(v.tobytes() for v in out).hex())\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    assert there.stdout == here.hex()


def test_a_wide_start_lies_beyond_the_nominal_box_and_its_goal_is_seen_unclipped(robot: RobotSpec) -> None:
    task = load_task("pick_and_place")
    sim = make_sim_robot(robot, task, shapes=False)
    beyond = 0
    for seed in range(40):
        nominal, wide = sim.reset(seed, "nominal").values, sim.reset(seed, "wide").values
        goal = nominal["goal_position"]
        assert -0.1 <= goal[0] <= 0.1 and 0.8 <= goal[1] <= 0.9 and 0.05 <= goal[2] <= 0.3
        beyond += bool(abs(wide["goal_position"][0]) > 0.1)
        assert wide["goal_position"][2] >= 0.05
        # Meta-World clips what is observed after a step, not after a reset.
        after = sim.step(np.zeros(4)).values["goal_position"]
        assert np.array_equal(after, wide["goal_position"])
    sim.close()
    assert 8 <= beyond <= 25


def test_ranges_replace_what_is_drawn(robot: RobotSpec) -> None:
    task = with_start(load_task("push"), ranges={"object_x": (0.05, 0.05), "goal_y": (0.85, 0.86)})
    sim = make_sim_robot(robot, task, shapes=False)
    for seed in range(5):
        values = sim.reset(seed, "custom").values
        assert values["object_position"][0] == pytest.approx(0.05, abs=1e-3)
        assert 0.85 <= values["goal_position"][1] <= 0.86
    sim.close()


def test_no_start_is_a_success(pair: Any) -> None:
    _, (sim, _) = pair
    for seed in range(15):
        first = sim.reset(seed, "wide")
        assert not first.success and not first.done and first.step == 0


# Push rejects a goal closer to the puck than 0.15 m, so a box that holds nothing else must not hang.
@pytest.mark.parametrize(
    ("task_id", "ranges", "complaint"),
    [
        ("push", {"object_x": (0, 0), "object_y": (0.7, 0.7), "goal_x": (0, 0), "goal_y": (0.75, 0.75)}, "rejected"),
        ("push", {"peg_x": (0, 1)}, "peg_x"),
        ("push", {"object_z": (-0.2, 0.1)}, "below the table"),
    ],
)
def test_impossible_starts_are_refused(
    robot: RobotSpec, task_id: str, ranges: dict[str, tuple[float, float]], complaint: str
) -> None:
    sim = make_sim_robot(robot, with_start(load_task(task_id), ranges=ranges), shapes=False)
    with pytest.raises(SpecError, match=complaint):
        sim.reset(0, "custom")
    with pytest.raises(SpecError, match="last reset failed"):
        sim.step(np.zeros(4))
    assert sim.reset(0, "nominal").step == 0
    sim.close()


def test_starts_that_satisfy_success_are_drawn_again(robot: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = make_sim_robot(robot, load_task("push"), shapes=False)
    plain = sim.reset(4, "nominal").values["goal_position"]
    env = sim._backend._env
    judge = env.evaluate_state
    calls: list[int] = []

    def first_two_succeed(observation: Any, action: Any) -> Any:
        calls.append(1)
        reward, info = judge(observation, action)
        return reward, {**info, "success": float(len(calls) <= 2)}

    monkeypatch.setattr(env, "evaluate_state", first_two_succeed)
    again = sim.reset(4, "nominal").values["goal_position"]
    calls.clear()
    assert np.array_equal(sim.reset(4, "nominal").values["goal_position"], again)
    assert not np.array_equal(plain, again)
    monkeypatch.setattr(env, "evaluate_state", lambda o, a: (0.0, {"success": 1.0}))
    with pytest.raises(SpecError, match="satisfied success before any command"):
        sim.reset(4, "nominal")
    sim.close()


def test_the_step_limit_ends_an_attempt_and_nothing_steps_after_it(robot: RobotSpec) -> None:
    task = load_task("push").model_copy(update={"time_limit_s": 0.1})
    sim = make_sim_robot(robot, task, shapes=False)
    with pytest.raises(SpecError, match="no attempt"):
        sim.step(np.zeros(4))
    sim.reset(0, "nominal")
    done = [sim.step(np.zeros(4)).done for _ in range(8)]
    assert done == [False] * 7 + [True]
    with pytest.raises(SpecError, match="over at step 8"):
        sim.step(np.zeros(4))
    sim.close()


def test_an_attempt_may_last_longer_than_meta_world_itself_allows(robot: RobotSpec) -> None:
    task = load_task("peg_insert").model_copy(update={"time_limit_s": 6.5})
    sim = make_sim_robot(robot, task, shapes=False)
    sim.reset(0, "nominal")
    for _ in range(519):
        assert not sim.step(np.zeros(4)).done
    assert sim.step(np.zeros(4)).done
    sim.close()


@pytest.mark.parametrize(
    ("action", "complaint"),
    [([0.0, 0.0, 0.0], r"\(3,\)"), ([[0.0] * 4], r"\(1, 4\)"), ([0, np.nan, 0, 0], "'dy'"), ([0, 0, 0, np.inf], "inf")],
)
def test_bad_actions_are_refused_and_change_nothing(robot: RobotSpec, action: Any, complaint: str) -> None:
    sim = make_sim_robot(robot, load_task("push"), shapes=False)
    sim.reset(0, "nominal")
    with pytest.raises(SpecError, match=complaint):
        sim.step(action)
    assert sim.step(np.zeros(4)).step == 1
    sim.close()


def test_shapes_and_their_absence_give_the_same_attempt(pair: Any, robot: RobotSpec) -> None:
    task, (sim, _) = pair
    bare = make_sim_robot(robot, task, shapes=False)
    assert trace(bare, robot, 2, "nominal", 20) == trace(sim, robot, 2, "nominal", 20)
    bare.close()


def test_shapes_keep_their_names_and_follow_the_scene(pair: Any) -> None:
    task, (sim, _) = pair
    first = sim.reset(8, "nominal")
    last = first
    for _ in range(12):
        last = sim.step([1.0, 0.3, -0.5, 1.0])
    assert [shape.name for shape in first.shapes] == [shape.name for shape in last.shapes]
    assert len({shape.name for shape in first.shapes}) == len(first.shapes) <= 30
    for observation in (first, last):
        by_name = {shape.name: shape for shape in observation.shapes}
        for shape in observation.shapes:
            assert shape.kind in ("sphere", "box", "cylinder", "line")
            assert np.isfinite([*shape.position, *shape.orientation, *shape.size, *shape.color]).all()
            assert np.linalg.norm(shape.orientation) == pytest.approx(1)
        hand = observation.values["hand_position"]
        assert by_name["joint/hand"].position == pytest.approx(tuple(hand))
        assert by_name["arm"].points[-1] == pytest.approx(tuple(hand))
        assert by_name["goal"].position == pytest.approx(tuple(observation.values["goal_position"]))
        assert {"table", "finger_left", "finger_right"} <= set(by_name)
        thing = by_name["peg" if task.id == "peg_insert" else "obj"]
        assert np.linalg.norm(np.array(thing.position) - observation.values["object_position"]) < 0.05
        if task.id == "peg_insert":
            # The hole's mouth is the goal: the box must stand where the goal says, at step 0 already.
            assert np.add(by_name["box/1"].position, (0.03, 0, 0.08)) == pytest.approx(
                observation.values["goal_position"], abs=1e-6
            )
    assert dict_of(first)["joint/hand"] != dict_of(last)["joint/hand"]


def dict_of(observation: SimObservation) -> dict[str, tuple[float, float, float]]:
    return {shape.name: shape.position for shape in observation.shapes}


def test_success_must_last(robot: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("push").model_copy(update={"success": SuccessSpec(hold_steps=3)})
    sim = make_sim_robot(robot, task, shapes=False)
    sim.reset(0, "nominal")
    signal = iter([1, 1, 0, 1, 1, 1])
    step = sim._backend._env.step
    monkeypatch.setattr(sim._backend._env, "step", lambda action: (*step(action)[:4], {"success": next(signal)}))
    seen = [sim.step(np.zeros(4)) for _ in range(6)]
    assert [o.success for o in seen] == [False] * 5 + [True] == [o.done for o in seen]
    sim.close()


def changed(robot: RobotSpec, **sim: Any) -> RobotSpec:
    assert robot.sim is not None
    return robot.model_copy(update={"sim": robot.sim.model_copy(update=sim)})


def test_specs_that_do_not_fit_are_refused(robot: RobotSpec) -> None:
    push = load_task("push")
    wide = robot.actions[0].model_copy(update={"upper": 2.0})
    slices = dict(robot.sim.observation) if robot.sim else {}
    cases = [
        (robot, push.model_copy(update={"scene": "push-v9"}), "push-v9.*push-v3"),
        (robot.model_copy(update={"policy_rate_hz": 40.0}), push, "set 80"),
        (robot.model_copy(update={"sim": None}), push, "real robot"),
        (robot.model_copy(update={"actions": robot.actions[:3]}), push, "3 actions"),
        (robot.model_copy(update={"actions": (wide, *robot.actions[1:])}), push, r"'dx'.*\[-1, 2\]"),
        (changed(robot, observation={**slices, "goal_position": (37, 40)}), push, "goal_position.*39 values"),
        (robot, push.model_copy(update={"time_limit_s": 0.001}), "time_limit_s"),
    ]
    for spec, task, complaint in cases:
        with pytest.raises(SpecError, match=f"(?s){complaint}"):
            make_sim_robot(spec, task)
    with pytest.raises(SpecError, match=r"no camera 'attic'.*corner"):
        make_sim_robot(robot, push, cameras=["attic"])
    sim = make_sim_robot(changed(robot, success="won"), push)
    with pytest.raises(SpecError, match=r"'won'.*success"):
        sim.reset(0, "nominal")
    with pytest.raises(SpecError, match=r"no start 'moon'.*nominal"):
        sim.reset(0, "moon")
    with pytest.raises(SpecError, match="-1 is negative"):
        sim.reset(-1, "nominal")
    sim.close()


def test_a_row_may_last_several_simulator_steps_its_deltas_spread_over_them(robot: RobotSpec) -> None:
    """A row of a slower robot is four rows of a quarter each; the gripper is given to all four."""
    task = load_task("push")
    slow = changed(robot.model_copy(update={"policy_rate_hz": 20.0, "control_rate_hz": 20.0}), repeat=4)
    sims = [make_sim_robot(each, task, shapes=False) for each in (slow, robot)]
    assert [sim.step_limit for sim in sims] == [round(task.time_limit_s * rate) for rate in (20, 80)]
    assert state(robot, sims[0].reset(3, "nominal")) == state(robot, sims[1].reset(3, "nominal"))
    for action in actions(10):
        seen = sims[0].step(action)
        for _ in range(4):
            quarter = sims[1].step(action / [4, 4, 4, 1])
        assert state(robot, seen) == state(robot, quarter)
    for sim in sims:
        sim.close()
    with pytest.raises(SpecError, match="set 20"):
        make_sim_robot(changed(robot, repeat=4), task)


def test_a_missing_package_is_named(robot: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metaworld.env_dict", None)
    with pytest.raises(SpecError, match="pip install metaworld"):
        make_sim_robot(robot, load_task("push"))
