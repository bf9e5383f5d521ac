"""What a check says, and what it is given to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.core.urdf import UrdfJoint
from xrollout_ros.runtime.survey import GraphSurvey


class Level(str, Enum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    OK = "ok"
    SKIPPED = "not checked"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    thing: str
    """What it is about, e.g. ``camera wrist``."""
    value: str
    """What was found."""
    allowed: str = ""
    remedy: str = ""
    check: str = ""
    """Name of the check; the registry fills it in."""


def ok(thing: str, value: str) -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, thing, value)


def error(thing: str, value: str, allowed: str, remedy: str) -> Finding:
    """It will not work, or will do harm."""
    return Finding(Level.ERROR, thing, value, allowed, remedy)


def warning(thing: str, value: str, allowed: str, remedy: str) -> Finding:
    """It works, but worse or less safely than it could."""
    return Finding(Level.WARNING, thing, value, allowed, remedy)


def skipped(thing: str, value: str) -> Finding:
    """It was not looked at; ``value`` says why."""
    return Finding(Level.SKIPPED, thing, value)


class Machine(Protocol):
    """What the checks ask of this machine; tests bring their own."""

    @property
    def environ(self) -> Mapping[str, str]:
        """Environment variables."""
        ...

    def has_module(self, name: str) -> bool:
        """Whether a Python module can be imported; nothing is imported."""
        ...

    def disk_bytes(self, path: Path) -> tuple[int, int]:
        """Total and free bytes of the file system that ``path``, which is there, lies on."""
        ...

    def write_rate(self, folder: Path) -> float:
        """Bytes/s that can be written durably into a folder that is there.

        Raises:
            OSError: it cannot be written.
        """
        ...

    def wall_s(self) -> float:
        """Time since the Unix epoch, s."""
        ...


@dataclass(frozen=True)
class Subject:
    """Everything that there is to be looked at."""

    machine: Machine
    data: Path
    robot: RobotSpec | None = None
    task: TaskSpec | None = None
    model: Path | None = None
    survey: GraphSurvey | None = None
    """None: ROS is not there, or nobody listened."""
    joints: Mapping[str, UrdfJoint] | None = None
    """The robot description's; None: none was heard."""


class Check(NamedTuple):
    """One check of the registry."""

    name: str
    """As the documentation lists it."""
    run: Callable[[Subject], Iterable[Finding]]

    def findings(self, subject: Subject) -> Iterator[Finding]:
        """What it says, signed with its name."""
        for each in self.run(subject):
            yield Finding(each.level, each.thing, each.value, each.allowed, each.remedy, self.name)
