"""How a task looks in a mirror."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xrollout_ros.core.mirror import MirrorSpec, Reflection
from xrollout_ros.core.resources import load_robot, load_task, task_ids

from .robots import JOINTS, dim, robot

ARMS = {"left": 3, "right": 3, "object": 2}


def mirror(**sections: Any) -> MirrorSpec:
    return MirrorSpec.model_validate(sections)


def reflected(reflection: Reflection, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return reflection.sign * values[reflection.source]


def test_what_is_not_named_stays() -> None:
    reflection = mirror(observations={"object": {"signs": [-1, 1]}}).of_state(ARMS)
    assert reflected(reflection, np.arange(1.0, 9)).tolist() == [1, 2, 3, 4, 5, 6, -7, 8]


def test_arms_change_places() -> None:
    spec = mirror(
        observations={
            "left": {"signs": [-1, 1, 1], "of": "right"},
            "right": {"signs": [-1, 1, 1], "of": "left"},
            "object": {"signs": [-1, -1], "order": [1, 0]},
        }
    )
    assert reflected(spec.of_state(ARMS), np.arange(1.0, 9)).tolist() == [-4, 5, 6, -1, 2, 3, -8, -7]


@given(st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4), st.permutations(range(4)))
def test_twice_is_as_it_was_or_refused(signs: list[int], order: list[int]) -> None:
    spec = mirror(observations={"joints": {"signs": signs, "order": order}})
    values = np.arange(1.0, 5)
    try:
        reflection = spec.of_state({"joints": 4})
    except ValueError as error:
        assert "mirrored twice" in str(error)
        once = np.array(signs) * values[order]
        assert (np.array(signs) * once[order] != values).any()
    else:
        assert (reflected(reflection, reflected(reflection, values)) == values).all()


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        ({"nowhere": {"signs": [1]}}, "'nowhere'; the robot has left, right, object"),
        ({"object": {"signs": [-1]}}, "has 1 signs for 2 values"),
        ({"object": {"signs": [-1, 1], "of": "left"}}, "taken from the 3 of 'left'"),
        ({"left": {"signs": [1, 1, 1], "of": "right"}}, "'left' mirrored twice is not what it was"),
        ({"left": {"signs": [1, 1, 1], "of": "hand"}}, "'hand'"),
    ],
)
def test_observations_that_do_not_fit(observations: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mirror(observations=observations).of_state(ARMS)


@pytest.mark.parametrize(
    "values", [{"signs": []}, {"signs": [2]}, {"signs": [1, 1], "order": [0, 0]}, {"signs": [1, 1], "order": [0]}]
)
def test_documents_that_say_nothing(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mirror(observations={"object": values})


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"elbow": {"sign": -1}}, "'elbow'; the robot has shoulder, wheel, grip"),
        ({"grip": {"sign": -1}}, "a gripper that closes does not open in a mirror"),
        ({"shoulder": {"of": "wheel"}}, "'shoulder' (position, 1) cannot become 'wheel' (velocity, 1)"),
    ],
)
def test_actions_that_do_not_fit(actions: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        mirror(actions=actions).of_action(JOINTS.actions)
    assert message in str(caught.value)


def test_an_action_that_would_always_break_its_limits() -> None:
    forwards = robot([dim("throttle", "velocity", "keep", lower=0.0)])
    with pytest.raises(ValueError, match=r"would be in \[-1, -?0\], outside its limits \[0, 1\]"):
        mirror(actions={"throttle": {"sign": -1}}).of_action(forwards.actions)


def test_the_shipped_tasks_fit_their_robots() -> None:
    for name in task_ids():
        task = load_task(name)
        if task.mirror is not None:
            named = load_robot(task.robot)
            task.mirror.of_state({entry.name: entry.size for entry in named.observations})
            task.mirror.of_action(named.actions)
