"""The safety section of a RobotSpec: what it says is checked when it is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.safety import SafetyLimits

from .robots import dim, robot

HAND = [dim("dx", "delta"), dim("dy", "delta"), dim("grip", "gripper", "keep")]
POINT = {"observation": "joints", "actions": ["dx", "dy"]}
BOX = {"lower": [0, 0], "upper": [1, 1]}


def test_what_is_written_is_read_back() -> None:
    safety: dict[str, Any] = {
        "point": POINT,
        "workspace": {**BOX, "severity": "abort"},
        "gripper_zones": [{**BOX, "gripper": "grip", "allowed": [0, 0.5]}],
        "force": {"observation": "joints"},
        "jump": {"limits": {"dx": 0.5}},
        "limit": "hold",
        "detectors": [{"kind": "time"}, {"kind": "score", "score": "chunk_consistency", "threshold": 0.5}],
        "recoveries": [{"kind": "hold"}, {"kind": "backtrack"}, {"kind": "retreat", "point": [0, 0]}],
        "help": {"timeout_s": 5},
        "dead_man": {"topic": "/enable"},
    }
    spec = robot(HAND, safety=safety)
    assert RobotSpec.model_validate(spec.model_dump()) == spec
    assert RobotSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.safety.workspace is not None
    assert spec.safety.workspace.severity is Severity.ABORT
    assert spec.measured == ("joints",)


def test_by_default_nothing_must_be_measured_and_time_is_only_told() -> None:
    limits = SafetyLimits()
    assert limits.observations == limits.watched == set()
    assert [(each.kind, each.severity) for each in limits.detectors] == [("time", Severity.CLIP)]


@pytest.mark.parametrize(
    ("more", "measured"),
    [
        ({}, ()),
        ({"workspace": BOX}, ("joints",)),
        ({"gripper_zones": [{**BOX, "gripper": "grip", "allowed": [0, 0.5]}]}, ("joints",)),
        ({"recoveries": [{"kind": "backtrack"}]}, ("joints",)),
    ],
)
def test_a_point_is_measured_where_something_is_about_it(more: dict[str, Any], measured: tuple[str, ...]) -> None:
    assert robot(HAND, safety={"point": POINT, **more}).measured == measured


@pytest.mark.parametrize(
    ("safety", "said"),
    [
        ({"point": {"observation": "wrench", "actions": ["dx", "dy"]}}, "names the observation 'wrench'"),
        ({"force": {"observation": "wrench"}}, "names the observation 'wrench'; the robot has joints"),
        ({"force": {"observation": "joints", "severity": "panic"}}, "severity is 'panic'; allowed are clip"),
        ({"workspace": BOX}, "need safety.point"),
        ({"point": {"observation": "joints", "actions": ["dx"]}}, "for each of the 2 values"),
        ({"point": {"observation": "joints", "actions": ["dx", "dz"]}}, "dz"),
        ({"point": {"observation": "joints", "actions": ["dx", "grip"]}}, "all positions or all deltas"),
        ({"point": POINT, "workspace": {"lower": [0], "upper": [1]}}, "box of 1 axes"),
        ({"point": POINT, "workspace": {"lower": [0, 1], "upper": [1, 1]}}, "not below upper"),
        (
            {"point": POINT, "gripper_zones": [{**BOX, "gripper": "claw", "allowed": [0, 1]}]},
            "names the action 'claw'",
        ),
        ({"point": POINT, "gripper_zones": [{**BOX, "gripper": "grip", "allowed": [1, 0]}]}, "inverted"),
        ({"jump": {"limits": {"claw": 1}}}, "names the action 'claw'"),
        ({"recoveries": [{"kind": "backtrack"}]}, "'backtrack' needs actions that are positions, or safety.point"),
        ({"point": POINT, "recoveries": [{"kind": "retreat"}]}, "either `pose`"),
        ({"point": POINT, "recoveries": [{"kind": "retreat", "pose": {"dx": 0}}]}, "retreat.pose gives 'dx'"),
        ({"point": POINT, "recoveries": [{"kind": "retreat", "point": [0]}]}, "retreat.point has 1 values"),
        ({"detectors": [{"kind": "score", "score": "x"}]}, "threshold"),
    ],
)
def test_what_does_not_fit_the_robot_is_refused_by_name(safety: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        robot(HAND, safety=safety)


def test_a_plug_in_that_is_not_installed_is_named_when_the_supervisor_starts() -> None:
    from xrollout_ros.core.errors import SpecError
    from xrollout_ros.runtime.supervisor import Supervisor

    for section in ("detectors", "recoveries"):
        spec = robot(HAND, safety={section: [{"kind": "plugin", "name": "oracle"}]})
        with pytest.raises(SpecError, match="no plug-in 'oracle'"):
            Supervisor(spec, stepped=True)
