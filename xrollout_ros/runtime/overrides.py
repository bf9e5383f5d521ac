"""A RobotSpec with other topics, or that moves otherwise: the same robot, wired or driven in another way."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import ValidationError

from xrollout_ros.core.action import Interpolation
from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import CameraSpec

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
