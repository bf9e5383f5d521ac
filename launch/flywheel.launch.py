"""Runs the flywheel: ``ros2 launch xrollout flywheel.launch.py model:=checkpoint.pt``."""

from launch import LaunchDescription
from xrollout_ros.graph.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("flywheel")
