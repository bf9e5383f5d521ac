"""From a running robot to a RobotSpec file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xrollout_ros.core.errors import DataError, GraphError, SpecError
from xrollout_ros.core.files import check_writable, write_bytes, write_together
from xrollout_ros.core.resources import load_robot
from xrollout_ros.runtime.survey import GraphSurvey
from xrollout_ros.ui.guesses import guess
from xrollout_ros.ui.progress import Bar
from xrollout_ros.ui.robot_guess import spec_name
from xrollout_ros.ui.running import require_ros
from xrollout_ros.ui.spec_writer import Written, write_spec

_EVERYWHERE = {"/rosout", "/parameter_events"}
"""Any node brings these; they say nothing of a robot."""


def initialize(name: str, path: Path, duration_s: float, force: bool, environ: Mapping[str, str]) -> Written:
    """Listen, guess, write.

    Args:
        name: id of the robot.
        path: file to write.
        duration_s: how long to listen.
        force: overwrite the file.
        environ: environment variables, for what an error says.

    Raises:
        DataError: the file is there already, or cannot be written.
        GraphError: ROS is not there, or no robot was heard.
        SpecError: the name is not allowed, or nothing heard can be observed.
    """
    if spec_name(name) != name:
        raise SpecError(f"the name {name!r} is not allowed", "Use lower-case letters, digits and _: `my_robot`.")
    if path.suffix not in (".yaml", ".yml"):
        raise SpecError(f"output {path} does not end in .yaml", f"Name e.g. {path.with_suffix('.yaml')}.")
    if path.exists() and not force:
        raise DataError(f"{path} is there already", "Name another with --output, or overwrite it with --force.")
    check_writable(path, "output")
    require_ros()
    from xrollout_ros.graph.survey import survey

    with Bar("listening to the robot"):
        found = survey(duration_s, lambda topic: topic not in _EVERYWHERE, _is_robot)
    check_heard(found, environ)
    written = write_spec(name, guess(found))
    write_together({path: lambda fresh: write_bytes(fresh, written.text.encode())})
    load_robot(str(path))
    return written


def _is_robot(topics: frozenset[str]) -> bool:
    """Whether a topic was discovered that is not ROS's or XRollout's own."""
    return any(topic not in _EVERYWHERE and not topic.startswith("/xrollout/") for topic in topics)


def check_heard(survey: GraphSurvey, environ: Mapping[str, str]) -> None:
    """Refuse a graph in which no robot speaks.

    Raises:
        GraphError: saying what may be the reason.
    """
    topics = [topic for topic in survey.topics.values() if topic.name not in _EVERYWHERE]
    if any(topic.heard is not None for topic in topics):
        return
    silent = [topic.name for topic in topics if topic.publishers]
    deaf = [topic.problem for topic in topics if topic.problem]
    what = f"no message was heard in ROS domain {survey.domain} within {survey.duration_s:.0f} s"
    if deaf:
        raise GraphError(f"{what}: {deaf[0]}", "Install that package, then listen again.")
    if silent:
        raise GraphError(
            f"{what}, though {', '.join(silent[:5])} is published",
            "The driver is up but silent: look at its output, or listen longer (--duration).",
        )
    wide = (
        " Only this machine is listened to; set ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET if the driver runs on another."
        if survey.discovery_range == "LOCALHOST"
        else f" The discovery range is {survey.discovery_range}; both machines must see each other by multicast."
    )
    rmw = environ.get("RMW_IMPLEMENTATION") or "the default"
    raise GraphError(
        what,
        f"Is the driver running, and in the same domain (ROS_DOMAIN_ID={survey.domain} here)?{wide} "
        f"RMW_IMPLEMENTATION must be the same everywhere ({rmw} here). `ros2 topic list` should show its topics.",
    )
