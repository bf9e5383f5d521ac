"""Joints of a robot description."""

from __future__ import annotations

import pytest

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.urdf import read_joints


def test_moving_joints_with_their_limits() -> None:
    joints = read_joints(
        """<robot name="r">
        <link name="base"/>
        <joint name="turn" type="revolute"><limit lower="-1" upper="2.5" velocity="3" effort="1"/></joint>
        <joint name="wheel" type="continuous"><limit velocity="4" effort="1"/></joint>
        <joint name="slide" type="prismatic"><limit upper="0.04" velocity="0" effort="1"/>
          <mimic joint="turn"/></joint>
        <joint name="weld" type="fixed"/>
        <joint name="bare" type="continuous"/>
        </robot>"""
    )
    assert list(joints) == ["turn", "wheel", "slide", "bare"]
    assert (joints["turn"].lower, joints["turn"].upper, joints["turn"].velocity) == (-1.0, 2.5, 3.0)
    assert (joints["wheel"].lower, joints["wheel"].upper, joints["wheel"].velocity) == (None, None, 4.0)
    # An absent bound is 0, a velocity of 0 is one that nobody filled in.
    assert (joints["slide"].lower, joints["slide"].velocity, joints["slide"].mimic) == (0.0, None, "turn")
    assert [joints[name].unit for name in ("turn", "slide")] == ["rad", "m"]
    assert joints["bare"].velocity is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not xml", "not XML"),
        ("<sdf/>", "no URDF"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><robot>&a;</robot>', "entities"),
        ('<robot><joint name="j" type="revolute"><limit lower="low" upper="1"/></joint></robot>', "'low'"),
        ('<robot><joint name="j" type="revolute"><limit lower="nan" upper="1"/></joint></robot>', "'nan'"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        read_joints(text)
