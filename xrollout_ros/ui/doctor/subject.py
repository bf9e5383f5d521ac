"""Gathers what the checks look at: which robot, task and model are meant, and what can be heard of them."""

from __future__ import annotations

from pathlib import Path

from xrollout_ros.core.errors import CheckpointError, GraphError, SpecError
from xrollout_ros.core.resources import load_robot, load_task, task_ids
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.core.urdf import UrdfJoint, read_joints
from xrollout_ros.runtime.survey import ROBOT_DESCRIPTION, GraphSurvey
from xrollout_ros.ui.doctor.cameras import info_topic
from xrollout_ros.ui.doctor.finding import Finding, Machine, Subject, error

PATIENCE_S = 5.0
"""How long a real robot's topics may take to be discovered."""
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


def sensor_topics(robot: RobotSpec | None) -> frozenset[str]:
    """Full names of what a robot publishes by its RobotSpec, calibrations and description among them."""
    if robot is None:
        return frozenset({ROBOT_DESCRIPTION})
    cameras = [camera.topic for camera in robot.cameras]
    names = [*(entry.topic for entry in robot.observations), *cameras, *map(info_topic, cameras), ROBOT_DESCRIPTION]
    return frozenset(map(_full, names))


def awaited_topics(robot: RobotSpec | None) -> frozenset[str]:
    """Full names of what must be discovered before a real robot is judged; a simulated one may well not run."""
    if robot is None or robot.sim is not None:
        return frozenset()
    names = [*(entry.topic for entry in robot.observations), *(camera.topic for camera in robot.cameras)]
    return frozenset(map(_full, (*names, robot.command.topic)))


def _full(name: str) -> str:
    return name if name.startswith("/") else f"/{name}"


def listen(
    machine: Machine, robot: RobotSpec | None, duration_s: float, patience_s: float
) -> tuple[GraphSurvey | None, list[Finding]]:
    """What can be heard; None, with the reason where there is one, if ROS is not there to listen with."""
    if not (machine.has_module("rclpy") and machine.has_module("xrollout")):
        return None, []
    from xrollout_ros.graph.survey import survey

    try:
        return survey(duration_s, sensor_topics(robot).__contains__, awaited_topics(robot).issubset, patience_s), []
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
    machine: Machine,
    data: Path,
    robot: RobotSpec | None,
    task: TaskSpec | None,
    model: Path | None,
    duration_s: float,
    patience_s: float = PATIENCE_S,
) -> tuple[Subject, list[Finding]]:
    """Everything for the checks, and what went wrong in gathering it."""
    survey, deaf = listen(machine, robot, duration_s, patience_s)
    joints, unread = joints_of(survey)
    return Subject(machine, data, robot, task, model, survey, joints), [*deaf, *unread]
