"""Gathers what the checks look at: which robot, task and model are meant, and what can be heard of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xrollout_ros.core.errors import CheckpointError, GraphError, SpecError
from xrollout_ros.core.resources import load_robot, load_task, task_ids
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.core.urdf import UrdfJoint, read_joints
from xrollout_ros.runtime.survey import ROBOT_DESCRIPTION, GraphSurvey
from xrollout_ros.ui.doctor.cameras import info_topic
from xrollout_ros.ui.doctor.finding import Finding, Machine, Subject, error

DEFAULT_TASK = "pick_and_place"
"""The demonstration's."""


def choose(robot: str | None, task: str | None, model: Path | None) -> tuple[str, str]:
    """Names of the robot and the task that are meant: those given, else the model's, else the demo's.

    Returns:
        Robot and task; the task is empty for a robot that no shipped task is done with.

    Raises:
        SpecError: a name is unknown, or a file is not valid.
    """
    if model is not None and not (robot and task):
        from xrollout_ros.learning.metadata import read_meta

        try:
            meta = read_meta(model)
        except CheckpointError:
            meta = None  # the check of the model says so
        if meta is not None:
            task = task or meta.task
            robot = robot or meta.robot
    if not robot:
        task = task or DEFAULT_TASK
        return load_task(task).robot, task
    if not task:
        wanted = load_robot(robot).id
        task = next((each for each in task_ids() if load_task(each).robot == wanted), "")
    return robot, task


def wanted_topics(robot: RobotSpec | None) -> Callable[[str], bool]:
    """Which topics must be listened to, beside who is at the ends of all."""
    names = {ROBOT_DESCRIPTION}
    if robot is not None:
        names |= {entry.topic for entry in robot.observations}
        for camera in robot.cameras:
            names |= {camera.topic, info_topic(camera.topic)}
    full = {name if name.startswith("/") else f"/{name}" for name in names}
    return full.__contains__


def listen(machine: Machine, robot: RobotSpec | None, duration_s: float) -> tuple[GraphSurvey | None, list[Finding]]:
    """What can be heard; None, with the reason where there is one, if ROS is not there to listen with."""
    if not (machine.has_module("rclpy") and machine.has_module("xrollout")):
        return None, []
    from xrollout_ros.graph.survey import survey

    try:
        return survey(duration_s, wanted_topics(robot)), []
    except GraphError as problem:
        return None, [error("ROS 2", problem.what, "", problem.remedy)]


def joints_of(survey: GraphSurvey | None) -> tuple[dict[str, UrdfJoint] | None, list[Finding]]:
    """Joints of the robot description that was heard; None, with the reason if there is one, if none was."""
    if survey is None or not survey.robot_description:
        return None, []
    try:
        return read_joints(survey.robot_description), []
    except SpecError as problem:
        return None, [error("robot description", problem.what, "a URDF", problem.remedy)]


def gather(
    machine: Machine, data: Path, robot: RobotSpec | None, task: TaskSpec | None, model: Path | None, duration_s: float
) -> tuple[Subject, list[Finding]]:
    """Everything for the checks, and what went wrong in gathering it."""
    survey, deaf = listen(machine, robot, duration_s)
    joints, unread = joints_of(survey)
    return Subject(machine, data, robot, task, model, survey, joints), [*deaf, *unread]
