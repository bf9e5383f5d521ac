"""Checks of the cameras: there, of the right size, alive, calibrated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.runtime.survey import GraphSurvey
from xrollout_ros.ui.doctor.finding import Check, Finding, Subject, error, ok, skipped, warning
from xrollout_ros.ui.doctor.robot import check_rate, check_stamps, check_type, idle, sensed, stepped, why_not

IMAGE = "sensor_msgs/msg/Image"
_SEEN = 10
"""So many equal pictures in a row are no coincidence: a living sensor has noise."""


def info_topic(topic: str) -> str:
    """Where the calibration of a camera is published: beside its images, as image_transport has it."""
    return f"{topic.rsplit('/', 1)[0]}/camera_info"


def cameras(subject: Subject) -> Iterator[Finding]:
    """Each camera is published: size, rate, stamps, and not the same picture all the time."""
    found = sensed(subject)
    if subject.robot is not None and not subject.robot.cameras:
        return
    if found is None:
        yield skipped("cameras", why_not(subject))
        return
    robot, survey = found
    for camera in robot.cameras:
        topic = survey.topic(camera.topic)
        if robot.sim is not None and not topic.publishers:
            yield skipped(f"camera {camera.name}", "not rendered; camera:=true renders it")
            continue
        problems = list(_camera(camera, survey, idle(robot, survey)))
        yield from problems
        if not problems:
            if topic.heard is None:
                yield skipped(f"camera {camera.name}", "silent: no attempt runs")
                continue
            rate = "" if stepped(survey) else f" at {topic.heard.rate_hz:.0f} Hz"
            yield ok(f"camera {camera.name}", f"{camera.width}×{camera.height}{rate}")


def _camera(camera: CameraSpec, survey: GraphSurvey, idle: bool) -> Iterator[Finding]:
    thing, topic = f"camera {camera.name}", survey.topic(camera.topic)
    wrong = list(check_type(thing, topic, IMAGE))
    yield from wrong
    if wrong:
        return
    heard = topic.heard
    if heard is None:
        if not idle:
            reason = topic.problem or f"nothing came within {survey.duration_s:.0f} s"
            yield error(thing, f"{camera.topic}: {reason}", f"{camera.rate_hz:g} Hz", "Look at the camera's driver.")
        return
    size = (heard.sample.width, heard.sample.height)
    if size != (camera.width, camera.height):
        remedy = "Mend `width` and `height` in the RobotSpec, or the camera's mode."
        yield error(thing, f"pictures of {size[0]}×{size[1]}", f"{camera.width}×{camera.height}", remedy)
    if stepped(survey):
        return
    if heard.distinct == 1 and heard.count >= _SEEN:
        remedy = "The sensor hangs or its lens is covered: unplug it, restart its driver, look."
        yield error(thing, f"frozen: {heard.count} equal pictures", "pictures that differ, if by noise alone", remedy)
    yield from check_rate(thing, heard.rate_hz, camera.rate_hz, heard.count)
    if heard.stamps is not None:
        yield from check_stamps(thing, heard.stamps, camera.max_age_s)


def calibration(subject: Subject) -> Iterator[Finding]:
    """Each camera has a calibration, for the size of its pictures."""
    found = sensed(subject)
    if found is None or found[0].sim is not None:
        if subject.robot is None or subject.robot.cameras:
            why = why_not(subject) if found is None else "a simulated camera publishes none"
            yield skipped("calibration", why)
        return
    robot, survey = found
    for camera in robot.cameras:
        thing = f"calibration of camera {camera.name}"
        name = info_topic(camera.topic)
        heard = survey.topic(name).heard
        remedy = "Calibrate it (`ros2 run camera_calibration cameracalibrator`) and have its driver load the result."
        if heard is None:
            yield warning(thing, f"uncalibrated: nothing on {name}", "a CameraInfo beside the pictures", remedy)
            continue
        yield from _calibrated(thing, heard.sample, camera, remedy)


def _calibrated(thing: str, info: Any, camera: CameraSpec, remedy: str) -> Iterator[Finding]:
    matrix = list(info.k)
    if not any(matrix):
        yield error(thing, "uncalibrated: its matrix K is zero", "the camera's intrinsics", remedy)
    elif (info.width, info.height) != (camera.width, camera.height):
        value = f"made for {info.width}×{info.height}"
        yield error(thing, value, f"{camera.width}×{camera.height}, the pictures' size", remedy)
    else:
        yield ok(thing, f"focal length {matrix[0]:.0f} × {matrix[4]:.0f} pixels")


CHECKS = (Check("cameras", cameras), Check("calibration", calibration))
