"""Which ROS 2 distribution is in use."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from xrollout_ros.core import ros_distro as module
from xrollout_ros.core.ros_distro import ros_distro


@pytest.mark.parametrize(
    ("sourced", "wheels", "name"),
    [
        ("rolling", "kilted", "rolling"),
        ("", "kilted", "kilted"),
        (None, "jazzy", "jazzy"),
        ("", "", ""),
    ],
)
def test_what_is_sourced_goes_before_wheels(
    monkeypatch: pytest.MonkeyPatch, sourced: str | None, wheels: str, name: str
) -> None:
    def version(package: str) -> str:
        if package != f"ros-{wheels}-rclpy":
            raise PackageNotFoundError(package)
        return "9.1.2"

    monkeypatch.setattr(module, "version", version)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    if sourced is not None:
        monkeypatch.setenv("ROS_DISTRO", sourced)
    assert ros_distro() == name
