"""`ros2 doctor` asks XRollout too: a check and a report, found by their entry points in the group ``ros2doctor.*``.

``ros2doctor`` is no dependency: these classes are only ever made by it, and only then is anything of it imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.paths import data_dir
from xrollout_ros.runtime.survey import GraphSurvey
from xrollout_ros.ui.doctor.finding import Finding, Level, Machine, Subject
from xrollout_ros.ui.doctor.machine import ThisMachine
from xrollout_ros.ui.doctor.registry import examine
from xrollout_ros.ui.doctor.subject import gather

CATEGORY = "xrollout"
LISTEN_S = 2.0


@dataclass
class Result:
    """What ``ros2doctor`` counts."""

    error: int = 0
    warning: int = 0


def _findings(machine: Machine) -> Iterator[Finding]:
    """The machine and the running graph; the data folder where there is one; the robot where a graph names it."""
    data = data_dir()
    subject, problems = gather(machine, data, None, None, None, LISTEN_S)
    yield from problems
    groups = ["machine", "graph"]
    if data.is_dir():
        groups.append("data")
    robot = _running_robot(subject.survey)
    if robot is not None:
        subject, problems = gather(machine, data, robot, None, None, LISTEN_S)
        yield from problems
        groups += ["robot", "cameras"]
    yield from examine(Subject(machine, data, robot, survey=subject.survey, joints=subject.joints), tuple(groups))


def _running_robot(survey: GraphSurvey | None) -> RobotSpec | None:
    """The robot of the attempt, if it is one that is shipped: the graph tells its id alone."""
    monitor = survey.monitor if survey is not None else None
    if monitor is None or monitor.episode is None:
        return None
    try:
        return load_robot(monitor.episode.robot)
    except SpecError:
        return None  # the user's own: `xrollout doctor --robot my_robot.yaml` looks at it


class XRolloutCheck:
    """Implements ``ros2doctor.api.DoctorCheck``."""

    def category(self) -> str:
        """Links check and report."""
        return CATEGORY

    def check(self) -> Result:
        """Look, print what is wrong, count it."""
        from ros2doctor.api.format import doctor_error, doctor_warn

        tell: dict[Level, Callable[[str], None]] = {Level.ERROR: doctor_error, Level.WARNING: doctor_warn}
        result = Result()
        for finding in _findings(ThisMachine()):
            if finding.level in tell:
                tell[finding.level](f"xrollout: {finding.thing}: {finding.value}. {finding.remedy}")
            result.error += finding.level is Level.ERROR
            result.warning += finding.level is Level.WARNING
        return result


class XRolloutReport:
    """Implements ``ros2doctor.api.DoctorReport``."""

    def category(self) -> str:
        """Links check and report."""
        return CATEGORY

    def report(self) -> Any:
        """Every finding, the good ones too."""
        from ros2doctor.api import Report

        report = Report("XROLLOUT")
        for finding in _findings(ThisMachine()):
            report.add_to_report(finding.thing, f"{finding.level.value}: {finding.value}")
        return report
