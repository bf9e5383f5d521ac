"""Records demonstrations: ``ros2 launch xrollout record.launch.py task:=pick_and_place``."""

from launch import LaunchDescription
from xrollout_ros.graph.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("record")
