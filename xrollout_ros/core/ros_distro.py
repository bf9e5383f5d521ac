"""Which ROS 2 distribution is in use."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version

WHEELS = ("jazzy", "kilted")
"""Distributions whose client library the package registry has as wheels. They set no ROS_DISTRO."""


def ros_distro() -> str:
    """Name of the distribution that is sourced, else of the wheels that are installed; '' without ROS 2."""
    if sourced := os.environ.get("ROS_DISTRO"):
        return sourced
    for name in WHEELS:
        try:
            version(f"ros-{name}-rclpy")
        except PackageNotFoundError:
            continue
        return name
    return ""
