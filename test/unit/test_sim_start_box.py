"""Widening and replacing the box of starts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.task import StartSpec
from xrollout_ros.sim.start_box import StartBox

REACH = np.array([-0.5, 0.4, 0.05]), np.array([0.5, 1.0, 0.5])
PICK = StartBox(np.array([-0.1, 0.6, 0.02, -0.1, 0.8, 0.05]), np.array([0.1, 0.7, 0.02, 0.1, 0.9, 0.3]))


def test_nominal_is_the_box_itself() -> None:
    box = PICK.shaped(StartSpec(), *REACH)
    assert np.array_equal(box.low, PICK.low) and np.array_equal(box.high, PICK.high)


def test_widening_scales_about_the_centre_but_never_downwards() -> None:
    box = PICK.shaped(StartSpec(widen=1.6), *REACH)
    assert box.low == pytest.approx([-0.16, 0.57, 0.02, -0.16, 0.77, 0.05])
    assert box.high == pytest.approx([0.16, 0.73, 0.02, 0.16, 0.93, 0.375])


def test_ranges_come_after_widening_and_only_where_they_are_named() -> None:
    box = PICK.shaped(StartSpec(widen=1.6, ranges={"goal_x": (0.2, 0.3)}), *REACH)
    assert (box.low[3], box.high[3]) == (0.2, 0.3)
    assert box.high[0] == pytest.approx(0.16)


def test_a_scene_that_draws_only_an_object_knows_no_goal() -> None:
    door = StartBox(np.array([0.0, 0.85, 0.15]), np.array([0.1, 0.95, 0.15]))
    assert door.names == ("object_x", "object_y", "object_z")
    with pytest.raises(SpecError, match=r"goal_x.*object_x, object_y, object_z"):
        door.shaped(StartSpec(ranges={"goal_x": (0, 1)}), *REACH)


def test_a_sunken_scene_may_keep_its_own_height_but_go_no_lower() -> None:
    sunken = StartBox(np.array([0.0, 0.6, -0.02]), np.array([0.1, 0.7, -0.02]))
    assert sunken.shaped(StartSpec(ranges={"object_z": (-0.02, 0.1)}), *REACH).high[2] == 0.1
    with pytest.raises(SpecError, match="below the table"):
        sunken.shaped(StartSpec(ranges={"object_z": (-0.03, 0.1)}), *REACH)


@given(widen=st.floats(0.01, 5), seed=st.integers(0, 2**32))
def test_every_draw_lies_in_the_box_within_reach_and_above_the_table(widen: float, seed: int) -> None:
    box = PICK.shaped(StartSpec(widen=widen), *REACH)
    drawn = box.draw(np.random.default_rng(seed))
    assert (drawn >= box.low).all() and (drawn <= box.high).all() and (box.low <= box.high).all()
    assert (drawn[[2, 5]] >= PICK.low[[2, 5]]).all()
    for axis in (0, 1):
        assert (drawn[[axis, axis + 3]] >= REACH[0][axis]).all() and (drawn[[axis, axis + 3]] <= REACH[1][axis]).all()
    again = box.draw(np.random.default_rng(seed))
    assert np.array_equal(drawn, again)
