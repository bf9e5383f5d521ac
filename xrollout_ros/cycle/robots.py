"""Which robot is meant, where it may be named by itself, by a policy or by a task."""

from __future__ import annotations

from pathlib import Path

from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec


def named_robot(robot: str, model: Path | None, task: str) -> RobotSpec | None:
    """The robot that is named, else the policy's, else the task's; None: nothing is named.

    Raises:
        SpecError: it is unknown or not valid.
        CheckpointError: the policy's file is missing or damaged.
    """
    from xrollout_ros.learning.metadata import read_meta

    if robot:
        return load_robot(robot)
    if model is not None:
        return load_robot(read_meta(model).robot)
    return load_robot(load_task(task).robot) if task else None
