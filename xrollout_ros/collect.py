"""The short path to the collector: ``from xrollout_ros.collect import ROS2DataCollector``."""

from __future__ import annotations

try:
    from xrollout_ros.graph.collector import CollectedEpisode, ROS2DataCollector
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"ROS2DataCollector needs ROS 2 and this package's messages ({error}): source the workspace, or `make setup`",
        name=error.name,
    ) from error

__all__ = ["CollectedEpisode", "ROS2DataCollector"]
