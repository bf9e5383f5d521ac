"""All checks, in the order in which they are made and shown."""

from __future__ import annotations

from collections.abc import Iterator

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.ui.doctor import cameras, data, environment, model, robot, running
from xrollout_ros.ui.doctor.finding import Check, Finding, Subject, error


def _command(subject: Subject) -> Iterator[Finding]:
    """Somebody listens to the command topic, as the right type, and nobody else commands."""
    wanted = ""
    if subject.robot is not None and subject.survey is not None:
        # The table of encodings holds ROS classes: it is there where a survey is.
        from xrollout_ros.graph.encodings import TYPES

        wanted = TYPES[subject.robot.command.encoding]
    yield from robot.command(subject, wanted)


GROUPS: dict[str, tuple[Check, ...]] = {
    "machine": environment.CHECKS,
    "robot": (*robot.CHECKS, Check("command topic", _command)),
    "cameras": cameras.CHECKS,
    "graph": running.CHECKS,
    "model": model.CHECKS,
    "data": data.CHECKS,
}


def examine(subject: Subject, groups: tuple[str, ...] = tuple(GROUPS)) -> Iterator[Finding]:
    """Make the checks of these groups. A check that cannot be made is an error of its own, and the others go on."""
    for group in groups:
        for check in GROUPS[group]:
            try:
                yield from check.findings(subject)
            except (XRolloutError, OSError) as problem:
                found = error(check.name, f"could not be checked: {problem}", "", getattr(problem, "remedy", ""))
                yield Finding(found.level, found.thing, found.value, "", found.remedy, check.name)
