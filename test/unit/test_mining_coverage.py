"""Starts: what describes them, how far they are apart, where data are missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.task import TaggingSpec
from xrollout_ros.mining.coverage import Coverage, Region, coverage
from xrollout_ros.mining.looking import Look
from xrollout_ros.mining.starts import Axis, axes_of_starts, farthest_points, names_of_starts, scale_of

from .test_mining_failures import row

PLANE = (Axis("object", "object x", "m"), Axis("object", "object y", "m"), Axis("object", "object z", "m"))
POINTS = arrays(np.float64, st.tuples(st.integers(0, 25), st.just(3)), elements=st.floats(-5, 5, width=32))


def covered(attempts: list[tuple[float, float, bool]], demonstrations: list[tuple[float, float]]) -> Coverage:
    tried = [
        row(number, success=success, outcome="success" if success else "failure")
        for number, (_, _, success) in enumerate(attempts)
    ]
    shown = [row(5000 + number, kind="demonstration") for number in range(len(demonstrations))]
    places = [*[(x, y) for x, y, _ in attempts], *demonstrations]
    looks = {each.episode_id: Look((*place, 0.02)) for each, place in zip([*tried, *shown], places, strict=True)}
    return coverage(tried, shown, looks, PLANE)


@given(POINTS, st.integers(0, 30))
def test_farthest_points_are_distinct_and_begin_with_the_first(points: np.ndarray, count: int) -> None:
    chosen = farthest_points(points, count)
    assert len(chosen) == len(set(chosen)) <= min(count, len(points))
    assert chosen[:1] == ([0] if len(points) and count else [])
    places = {tuple(points[index]) for index in chosen}
    assert len(places) == len(chosen)
    if len(chosen) < min(count, len(points)):  # all that is left was there already
        distances = np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(axis=1)
        assert distances.max() <= 1e-9


def test_farthest_points_spread() -> None:
    line = np.array([[0.0], [1.0], [2.0], [9.0], [10.0]])
    assert farthest_points(line, 3) == [0, 4, 2]


def test_the_task_says_what_describes_a_start() -> None:
    task, robot = load_task("pick_and_place"), load_robot("metaworld_sawyer")
    assert names_of_starts(task, robot) == ("object_position", "goal_position")
    axes = axes_of_starts(("object_position", "gripper_opening"), robot)
    assert [axis.label for axis in axes] == [
        "object_position x", "object_position y", "object_position z", "gripper_opening",
    ]  # fmt: skip
    bare = task.model_copy(update={"reach": None, "tagging": TaggingSpec()})
    assert names_of_starts(bare, robot) == ()
    elsewhere = task.model_copy(update={"tagging": TaggingSpec(goal="not_observed")})
    with pytest.raises(SpecError, match="'not_observed', which its robot does not observe"):
        names_of_starts(elsewhere, robot)


def test_metres_stay_metres_beside_radians() -> None:
    axes = (Axis("a", "a", "m"), Axis("b", "b", "m"), Axis("c", "c", "rad"))
    scale = scale_of(np.array([[0.0, 0.0, 0.0], [0.4, 0.1, 3.0]]), axes)
    assert scale.spans == pytest.approx([0.4, 0.4, 3.0])
    assert scale.varying == (0, 1, 2)
    assert scale_of(np.array([[0.0, 0.0, 1.0], [0.4, 0.001, 1.0]]), axes).varying == (0,)


def test_places_without_demonstrations_and_places_that_fail_in_spite_of_them_are_found() -> None:
    random = np.random.default_rng(0)
    left, right = random.uniform(0, 0.49, (30, 2)), random.uniform(0.51, 1, (30, 2))
    attempts = [(x, y, False) for x, y in left] + [(x, y, False) for x, y in right]
    shown = [(x, y) for x, y in random.uniform(0, 0.49, (12, 2))]
    found = covered(attempts, shown)
    assert [axis.label for axis in (found.axes[index] for index in found.views[0].axes)] == ["object x", "object y"]
    deserts, weak = found.cells(Region.DESERT), found.cells(Region.WEAK)
    assert deserts
    assert weak
    assert all(min(cell.high) > 0.45 for _, cell in deserts)
    assert all(cell.demonstrations >= 3 for _, cell in weak)
    assert sum(cell.attempts for cell in found.views[0].cells) == 60
    assert sum(cell.demonstrations for cell in found.views[0].cells) == 12
    assert found.near.attempts + found.far.attempts == 60
    assert found.around(np.array([[0.2, 0.2, 0.02]]), 10) == (0, 10)


def test_few_data_are_not_overinterpreted() -> None:
    assert covered([(0.0, 0.0, False)] * 9, []).views == ()
    none = covered([(index / 20, 0.0, True) for index in range(20)], [])
    assert none.reach is None
    assert np.isinf(none.gaps).all()
    one = covered([(index / 20, 0.0, True) for index in range(20)], [(0.0, 0.0)])
    assert one.reach is None
    assert len(one.views[0].axes) == 1


@settings(deadline=None, max_examples=40)
@given(
    attempts=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=60),
    demonstrations=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20),
)
def test_no_attempt_is_lost_or_counted_twice(
    attempts: list[tuple[float, float, bool]], demonstrations: list[tuple[float, float]]
) -> None:
    found = covered(attempts, demonstrations)
    successes = sum(success for _, _, success in attempts)
    assert found.near.attempts + found.far.attempts == len(attempts)
    assert found.near.successes + found.far.successes == successes
    for view in found.views:
        assert sum(cell.attempts for cell in view.cells) == len(attempts)
        assert sum(cell.successes for cell in view.cells) == successes
        assert sum(cell.demonstrations for cell in view.cells) == len(demonstrations)
