"""A RobotSpec with other topics, or that moves otherwise: the same robot, wired or driven in another way."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import ValidationError

from xrollout_ros.core.action import ActionDim, ActionKind, Interpolation
from xrollout_ros.core.calibration import ALARM, OVERTIME
from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.core.levels import USUAL, Level
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.safety import DetectorSpec, HelpSpec, MomentSpec, NearFailureSpec, ScoreSpec
from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.core.task import TaskSpec

_LOST, _MOVED = 2.0, 2 / 3
"""How far the hand is from an object that it lost, and how far one moved that was bumped, in the task's reaches."""
_GENERIC = {"image", "image_raw", "image_rect", "image_color", "color", "rgb", "compressed"}


def with_topics(
    robot: RobotSpec,
    *,
    state_topic: str | None = None,
    action_topic: str | None = None,
    camera_topics: Iterable[str] | None = None,
) -> RobotSpec:
    """The robot with other topics; None leaves them as they are.

    Args:
        robot: the spec to change.
        state_topic: where the state comes from; only for a robot whose observations share one topic.
        action_topic: where actions are published.
        camera_topics: the cameras, each ``sensor_msgs/Image``; those that the spec has by topic keep their entry.

    Raises:
        SpecError: a topic is no topic, or ``state_topic`` could mean several.
    """
    document = robot.model_dump()
    if state_topic is not None:
        topics = sorted({entry.topic for entry in robot.observations})
        if len(topics) > 1:
            raise SpecError(
                f"state_topic {state_topic!r} could replace any of {', '.join(topics)} of robot {robot.id!r}",
                "Leave it out and give a RobotSpec of your own (robot_type='my_robot.yaml').",
            )
        for entry in document["observations"]:
            entry["topic"] = state_topic
    if action_topic is not None:
        document["command"]["topic"] = action_topic
    if camera_topics is not None:
        document["cameras"] = _cameras(robot, list(camera_topics))
    try:
        return RobotSpec.model_validate(document)
    except ValidationError as error:
        raise from_validation(error, "topics of robot", robot.id, "Give topics as ROS writes them.") from error


def _cameras(robot: RobotSpec, topics: list[str]) -> list[dict[str, object]]:
    known = {camera.topic: camera for camera in robot.cameras}
    free = [camera for camera in robot.cameras if camera.topic not in topics]
    cameras: list[dict[str, object]] = []
    for topic in topics:
        camera = known.get(topic) or (free.pop(0) if free else None)
        if camera is None:
            # Size and rate are not known before its first image.
            camera = CameraSpec(name=camera_name(topic), topic="image", width=1, height=1, rate_hz=30.0)
        cameras.append({**camera.model_dump(), "topic": topic})
    return cameras


def camera_name(topic: str) -> str:
    """A name for the camera behind a topic: ``/wrist_cam/image_raw`` is ``wrist_cam``."""
    parts = [part for part in topic.strip("/").split("/") if part not in _GENERIC] or ["camera"]
    name = re.sub(r"[^a-z0-9_]+", "_", parts[-1].lower()).strip("_")
    return name if name[:1].isalpha() else f"camera_{name}"


def with_camera_sizes(robot: RobotSpec, sizes: dict[str, tuple[int, int]]) -> RobotSpec:
    """The robot with the cameras' true widths and heights, by topic.

    Raises:
        SpecError: images of that size cannot be recorded as the camera's entry says.
    """
    cameras = []
    for camera in robot.cameras:
        width, height = sizes.get(camera.topic, (camera.width, camera.height))
        try:
            cameras.append(CameraSpec.model_validate({**camera.model_dump(), "width": width, "height": height}))
        except ValidationError as error:
            remedy = f"{camera.topic} sends images of {width}x{height}: mend its `record` in the RobotSpec."
            raise from_validation(error, f"camera {camera.name!r} of robot", robot.id, remedy) from error
    return robot.model_copy(update={"cameras": tuple(cameras)})


def with_interpolation(robot: RobotSpec, interpolation: str) -> RobotSpec:
    """The robot with another interpolation between the rows of a chunk; empty leaves its own.

    Raises:
        SpecError: there is none of that name.
    """
    if not interpolation:
        return robot
    allowed = [each.value for each in Interpolation]
    if interpolation not in allowed:
        raise SpecError(
            f"interpolation is {interpolation!r}", f"Allowed are {', '.join(allowed)}; empty: what the RobotSpec says."
        )
    motion = robot.motion.model_copy(update={"interpolation": Interpolation(interpolation)})
    return robot.model_copy(update={"motion": motion})


def with_share_of_limits(robot: RobotSpec, share: float) -> RobotSpec:
    """The robot with a share of each limit of speed, acceleration and jerk; a gripper stays as it is.

    The range of a velocity or delta is how fast it may go, so that is made smaller too.

    Args:
        robot: the spec to change.
        share: above 0, at most 1.

    Raises:
        SpecError: the robot does not clip what is beyond its limits but holds, so it would stand still; or it has no
            such limits.
    """
    for name, severity in (("limit", robot.safety.limit), ("rate", robot.safety.rate)):
        if severity is not Severity.CLIP:
            raise SpecError(
                f"robot {robot.id!r} is to {severity.name.lower()} at what is beyond its {name} "
                f"(safety.{name}), so it would not get slower but stop",
                "Choose another control, or set it to clip in the RobotSpec.",
            )
    actions = tuple(_slower(dim, share) for dim in robot.actions)
    if share < 1 and actions == robot.actions:
        raise SpecError(
            f"robot {robot.id!r} has no limit of speed, acceleration or jerk that could be made smaller",
            "Give its actions a max_rate in the RobotSpec, or choose another control.",
        )
    return robot.model_copy(update={"actions": actions})


def with_level(robot: RobotSpec, level: Level) -> RobotSpec:
    """The robot as it may be at an environment level.

    Raises:
        SpecError: it has no limits that could be made tighter.
    """
    spec = robot.safety.levels.get(level, USUAL[level])
    if spec.speed < 1:
        robot = with_share_of_limits(robot, spec.speed)
    if spec.force < 1 and robot.safety.force is not None:
        force = robot.safety.force.model_copy(update={"limit": spec.force * robot.safety.force.limit})
        robot = _with_safety(robot, force=force)
    return robot if spec.alarms == "log" else with_alarms(robot, Severity[spec.alarms.upper()])


def _slower(dim: ActionDim, share: float) -> ActionDim:
    if dim.kind is ActionKind.GRIPPER:
        return dim
    names = ["max_rate", "max_acceleration", "max_jerk"]
    if dim.kind in (ActionKind.VELOCITY, ActionKind.DELTA):
        names += ["lower", "upper"]
    return dim.model_copy(update={name: share * getattr(dim, name) for name in names if getattr(dim, name) is not None})


def with_alarms(robot: RobotSpec, severity: Severity) -> RobotSpec:
    """The robot with all its alarms of this severity, those excepted that are graver."""
    return _with_safety(robot, detectors=_graver(robot.safety.detectors, severity))


def _graver(detectors: Iterable[DetectorSpec], severity: Severity) -> tuple[DetectorSpec, ...]:
    return tuple(each.model_copy(update={"severity": max(each.severity, severity)}) for each in detectors)


def with_call_for_help(robot: RobotSpec, task: TaskSpec, at_s: float | None = None) -> RobotSpec:
    """The robot with all its alarms asking for an operator, and more of them: near-failures, and a moment.

    A calibrated policy's alarm is among them, and none is only told for an audit.

    Args:
        robot: the spec to change.
        task: what it says of hand and object (``reach``) is what near-failures are told by.
        at_s: a moment to ask at, s since the attempt began.
    """
    detectors = [each for each in robot.safety.detectors if not _is_score(each, (ALARM, OVERTIME))]
    detectors = [each.model_copy(update={"audit": 0.0}) if isinstance(each, ScoreSpec) else each for each in detectors]
    detectors += [ScoreSpec(kind="score", score=name, threshold=1.0, audit=0.0) for name in (ALARM, OVERTIME)]
    if task.reach is not None and not any(isinstance(each, NearFailureSpec) for each in detectors):
        near = task.reach.distance_m
        detectors.append(
            NearFailureSpec(
                kind="near_failure", hand=task.reach.hand, object=task.reach.object, near=near, lost=_LOST * near,
                moved=_MOVED * near,
            )
        )  # fmt: skip
    if at_s is not None:
        detectors = [each for each in detectors if not isinstance(each, MomentSpec)]
        detectors.append(MomentSpec(kind="moment", at_s=at_s))
    usual = HelpSpec(otherwise="recover" if robot.safety.recoveries else "abort")
    return _with_safety(robot, detectors=_graver(detectors, Severity.RECOVER), help=robot.safety.help or usual)


def _is_score(spec: DetectorSpec, names: Iterable[str]) -> bool:
    return isinstance(spec, ScoreSpec) and spec.score in names


def _with_safety(robot: RobotSpec, **changes: object) -> RobotSpec:
    safety = robot.safety.model_copy(update=changes)
    try:
        return RobotSpec.model_validate({**robot.model_dump(), "safety": safety.model_dump()})
    except ValidationError as error:
        remedy = "Mend `reach` in the TaskSpec, which names the observations of hand and object."
        raise from_validation(error, "safety of robot", robot.id, remedy) from error
