"""The launch file inside ``launch_pytest``: every process ends as it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_pytest", reason="launch_pytest is not installed")
pytest.importorskip("launch_ros", reason="launch_ros is not installed")

import launch_pytest
from launch.actions import IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription
from xrollout_ros.core.resources import share_dir
from xrollout_ros.episodes.bag_reader import verify
from xrollout_ros.episodes.store import find_episodes

from ..graph.conftest import wait_for

Ends = list[tuple[str, int]]


@launch_pytest.fixture
def recorded(ros_domain: dict[str, str], tmp_path: Path) -> tuple[LaunchDescription, Ends]:
    ends: Ends = []

    def note(event: Any, context: Any) -> None:
        ends.append((event.process_name.rsplit("-", 1)[0], event.returncode))

    arguments = {"task": "pick_and_place", "episodes": "2", "data": str(tmp_path / "data")}
    source = PythonLaunchDescriptionSource(str(share_dir() / "launch" / "record.launch.py"))
    description = LaunchDescription(
        [
            RegisterEventHandler(OnProcessExit(on_exit=note)),
            IncludeLaunchDescription(source, launch_arguments=arguments.items()),
            launch_pytest.actions.ReadyToTest(),
        ]
    )
    return description, ends


@pytest.mark.launch(fixture=recorded)
def test_two_demonstrations(recorded: tuple[LaunchDescription, Ends], tmp_path: Path) -> Iterator[None]:
    _, ends = recorded
    wait_for(lambda: ("manager", 0) in ends, 90, "the manager is done")
    yield
    assert {name for name, _ in ends} == {"sim_robot", "recorder", "supervisor", "teleop", "tagger", "manager"}
    assert [(name, status) for name, status in ends if status != 0] == []
    entries = find_episodes(tmp_path / "data")
    assert len(entries) == 2
    for entry in entries:
        verify(entry.path)
