"""What is believed of a robot before anybody has written its RobotSpec, and how far each value can be trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Guess:
    """A value of the RobotSpec and how far it can be trusted."""

    value: object
    note: str = ""
    """Where it is from; empty: it was simply seen."""
    fill_in: bool = False
    """Nothing that was heard says it: a person must."""


@dataclass(frozen=True)
class ObservationGuess:
    """One observation."""

    name: str
    topic: str
    type: str
    field: str
    names: tuple[str, ...]
    size: int
    unit: str
    rate_hz: float
    max_age_s: Guess
    wanted: bool = True
    """Else it is written down as a comment."""


@dataclass(frozen=True)
class CameraGuess:
    """One camera."""

    name: str
    topic: str
    width: int
    height: int
    rate_hz: float
    note: str
    wanted: bool = True


@dataclass(frozen=True)
class ActionGuess:
    """One dimension of the action."""

    name: str
    kind: Guess
    unit: str
    lower: Guess
    upper: Guess
    max_rate: Guess
    hold: str
    measured: tuple[str, int] | None


@dataclass(frozen=True)
class CommandGuess:
    """A topic that seems to command the robot."""

    topic: Guess
    encoding: str
    listeners: tuple[str, ...] = ()


@dataclass(frozen=True)
class RobotGuess:
    """Everything that a RobotSpec says."""

    domain: int
    duration_s: float
    control_rate_hz: float
    policy_rate_hz: float
    observations: tuple[ObservationGuess, ...]
    cameras: tuple[CameraGuess, ...]
    actions: tuple[ActionGuess, ...]
    command: CommandGuess
    other_commands: tuple[CommandGuess, ...]
    remarks: tuple[str, ...] = field(default=())


def spec_name(text: str) -> str:
    """A name as the RobotSpec allows it, from any topic or joint name."""
    name = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", text.lower())).strip("_")
    return (name if name[:1].isalpha() else f"n_{name}")[:64].rstrip("_")
