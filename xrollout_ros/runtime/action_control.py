"""The control stage: by which constraints a policy is held while it acts. Each turns a RobotSpec into a stricter one.

A new one is a class here and a line in ``CONTROLS``; the graph's argument ``control`` and the commands follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from xrollout_ros.core.episode import CONTROL
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.runtime.overrides import with_alarms, with_call_for_help, with_share_of_limits

VALUE = "control_value"
"""Where an episode's parameters say with which number, if any."""


class ActionControl(Protocol):
    """Holds a policy while it acts."""

    name: ClassVar[str]
    description: ClassVar[str]
    """For a person who chooses."""

    @property
    def parameters(self) -> dict[str, float]:
        """What it was set to, as kept with the episodes."""
        ...

    def constrain(self, robot: RobotSpec, task: TaskSpec) -> RobotSpec:
        """The robot as the supervisor is to know it.

        Raises:
            SpecError: it cannot be done with this robot.
        """
        ...


class Limits:
    """The robot's own limits and alarms, as its RobotSpec says."""

    name: ClassVar[str] = "limits"
    description: ClassVar[str] = "the RobotSpec as it is"

    @property
    def parameters(self) -> dict[str, float]:
        """See ``ActionControl``."""
        return {}

    def constrain(self, robot: RobotSpec, task: TaskSpec) -> RobotSpec:
        """See ``ActionControl``."""
        return robot


class Calm:
    """Slower: a share of every limit of speed, acceleration and jerk.

    Args:
        share: above 0, at most 1.
    """

    name: ClassVar[str] = "calm"
    description: ClassVar[str] = "a share of every limit of speed, acceleration and jerk (0.7)"

    def __init__(self, share: float = 0.7) -> None:
        if not 0 < share <= 1:
            raise SpecError(f"control calm has the share {share:g}", "Allowed is above 0 and at most 1, e.g. calm:0.5.")
        self._share = share

    @property
    def parameters(self) -> dict[str, float]:
        """See ``ActionControl``."""
        return {VALUE: self._share}

    def constrain(self, robot: RobotSpec, task: TaskSpec) -> RobotSpec:
        """See ``ActionControl``."""
        return with_share_of_limits(robot, self._share)


class Guarded:
    """Every alarm ends the attempt, whether the RobotSpec only has it told, or has it ask for help or a recovery."""

    name: ClassVar[str] = "guarded"
    description: ClassVar[str] = "every alarm ends the attempt"

    @property
    def parameters(self) -> dict[str, float]:
        """See ``ActionControl``."""
        return {}

    def constrain(self, robot: RobotSpec, task: TaskSpec) -> RobotSpec:
        """See ``ActionControl``."""
        return with_alarms(robot, Severity.ABORT)


class Assisted:
    """Every alarm asks for an operator first; near-failures are alarms too, and so is a moment that was named.

    Args:
        at_s: the moment, s since the attempt began; None: none was named.
    """

    name: ClassVar[str] = "assisted"
    description: ClassVar[str] = "every alarm and near-failure asks for an operator; :0.5 so does that moment, s"

    def __init__(self, at_s: float | None = None) -> None:
        if at_s is not None and not 0 <= at_s < float("inf"):
            raise SpecError(f"control assisted has the moment {at_s:g}", "Allowed is a time from 0, s.")
        self._at_s = at_s

    @property
    def parameters(self) -> dict[str, float]:
        """See ``ActionControl``."""
        return {} if self._at_s is None else {VALUE: self._at_s}

    def constrain(self, robot: RobotSpec, task: TaskSpec) -> RobotSpec:
        """See ``ActionControl``."""
        return with_call_for_help(robot, task, self._at_s)


CONTROLS: dict[str, Callable[..., ActionControl]] = {
    "limits": Limits,
    "calm": Calm,
    "guarded": Guarded,
    "assisted": Assisted,
}
DESCRIPTIONS = {each.name: each.description for each in (Limits, Calm, Guarded, Assisted)}
"""What each does, by its name."""
_SET = ("calm", "assisted")
"""Those that take a number."""


def make_control(given: str) -> ActionControl:
    """The control that an argument names: ``calm``, or with its number ``calm:0.5``; empty: ``limits``.

    Raises:
        SpecError: it is unknown, or its number is not allowed.
    """
    name, colon, number = (given or Limits.name).partition(":")
    if name not in CONTROLS:
        raise SpecError(f"unknown control {name!r}", f"Known are {', '.join(CONTROLS)}.")
    if not colon:
        return CONTROLS[name]()
    if name not in _SET:
        raise SpecError(f"control {given!r}: {name} takes no number", f"Those that do are {', '.join(_SET)}.")
    try:
        value = float(number)
    except ValueError as error:
        raise SpecError(f"control {given!r}: {number!r} is no number", f"Write e.g. {name}:0.5.") from error
    return CONTROLS[name](value)


def recorded_control(parameters: Mapping[str, Any]) -> ActionControl:
    """The control that an attempt was made with, by its episode's parameters.

    Raises:
        SpecError: there is none of that name any more.
    """
    name, value = parameters.get(CONTROL, Limits.name), parameters.get(VALUE)
    return make_control(name if value is None else f"{name}:{value!r}")
