"""`xrollout init` beside a running driver; what it writes satisfies `xrollout doctor`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.errors import DataError, GraphError
from xrollout_ros.core.resources import load_robot
from xrollout_ros.ui.doctor.finding import Level
from xrollout_ros.ui.doctor.machine import ThisMachine
from xrollout_ros.ui.doctor.registry import examine
from xrollout_ros.ui.doctor.subject import gather
from xrollout_ros.ui.initialize import initialize

from .fake_driver import Fault, driver

pytestmark = [pytest.mark.graph, pytest.mark.timeout(60)]


@pytest.mark.usefixtures("ros_domain")
def test_what_init_writes_fits_the_robot(tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    with driver(Fault(rate_hz=40.0)):
        written = initialize("arm", path, 1.5, False, os.environ)
        robot = load_robot(str(path))
        subject, problems = gather(ThisMachine(), tmp_path, robot, None, None, 1.5)
    [state] = robot.observations
    assert (state.topic, state.names) == ("/joint_states", ("shoulder", "elbow"))
    assert 20 <= state.rate_hz <= 45
    [camera] = robot.cameras
    assert (camera.name, camera.width, camera.height) == ("wrist", 32, 24)
    shoulder, elbow = robot.actions
    assert (shoulder.kind, shoulder.lower, shoulder.upper, shoulder.max_rate) == (ActionKind.POSITION, -1.5, 1.5, 2.0)
    assert (elbow.name, elbow.max_rate) == ("elbow", 3.0)
    assert (robot.command.topic, robot.command.encoding) == ("/arm/commands", "float64_multi_array")
    assert any("order" in each for each in written.open_ends)
    assert "FILL IN" in path.read_text()
    found = [*problems, *examine(subject, ("robot", "cameras", "graph"))]
    assert [each for each in found if each.level is Level.ERROR] == []


@pytest.mark.usefixtures("ros_domain")
def test_where_nothing_is_heard_it_says_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(GraphError) as caught:
        initialize("arm", tmp_path / "arm.yaml", 1.0, False, os.environ)
    assert f"domain {os.environ['ROS_DOMAIN_ID']}" in caught.value.what
    for word in ("driver", "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "RMW_IMPLEMENTATION"):
        assert word in caught.value.remedy
    assert list(tmp_path.glob("*.yaml")) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text("mine")
    with pytest.raises(DataError, match="--force"):
        initialize("arm", path, 1.0, False, os.environ)
    assert path.read_text() == "mine"
