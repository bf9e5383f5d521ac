"""Sources named together, e.g. ``leader,pedal``: the first that can drives, all of them ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Asked, Expert, Moment, Operator, OperatorAnswer
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.operators.joy import JoyOperator
from xrollout_ros.runtime.operators.keyboard import KeyboardOperator
from xrollout_ros.runtime.operators.leader import LeaderOperator
from xrollout_ros.runtime.operators.pedal import Pedal
from xrollout_ros.runtime.operators.pose import PoseOperator
from xrollout_ros.runtime.operators.scripted import ScriptedOperator, TakeoverRule
from xrollout_ros.runtime.operators.specs import (
    JoySpec,
    KeyboardSpec,
    LeaderSpec,
    OperatorSpec,
    PedalSpec,
    PoseSpec,
    ScriptedSpec,
)

Source = JoyOperator | KeyboardOperator | LeaderOperator | Pedal | PoseOperator | ScriptedOperator


class Asker(Protocol):
    """Whoever has buttons."""

    @property
    def name(self) -> str: ...

    def requests(self, driving: bool) -> tuple[Asked, ...]: ...

    def problem(self) -> str: ...


class Team:
    """One operator made of several sources.

    Args:
        driver: who moves the robot.
        others: whose buttons count too.
    """

    def __init__(self, driver: Operator, others: Sequence[Asker]) -> None:
        self._driver = driver
        self._all: list[Asker] = [driver, *others]

    @property
    def name(self) -> str:
        """Of all of them, e.g. ``leader+pedal``."""
        return "+".join(source.name for source in self._all)

    def reset(self, seed: int) -> None:
        """See ``Operator``."""
        self._driver.reset(seed)

    def answer(self, moment: Moment) -> OperatorAnswer:
        """See ``Operator``."""
        return self._driver.answer(moment)

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        """See ``Operator``."""
        return tuple(asked for source in self._all for asked in source.requests(driving))

    def problem(self) -> str:
        """See ``Operator``."""
        return "; ".join(filter(None, (source.problem() for source in self._all)))


def make_sources(
    specs: Sequence[OperatorSpec], robot: RobotSpec, make_expert: Callable[[str], Expert]
) -> tuple[Source, ...]:
    """The sources of the documents, checked against the robot; no device is opened.

    Args:
        specs: the documents.
        robot: what is driven.
        make_expert: makes a scripted expert by name.

    Raises:
        SpecError: a document does not fit the robot, or nobody drives.
    """
    driver = next((spec for spec in specs if not isinstance(spec, PedalSpec)), None)
    if driver is None:
        raise SpecError("a pedal alone moves nothing", "Name who drives beside it, e.g. operator:=leader,pedal.")
    return tuple(_make(spec, robot, make_expert, drives=spec is driver) for spec in specs)


def join(sources: Sequence[Source]) -> Team:
    """One operator of all."""
    [driver, *_] = [source for source in sources if not isinstance(source, Pedal)]
    return Team(driver, [source for source in sources if source is not driver])


def _make(spec: OperatorSpec, robot: RobotSpec, make_expert: Callable[[str], Expert], *, drives: bool) -> Source:
    if isinstance(spec, JoySpec):
        return JoyOperator(spec, robot, drives=drives)
    if isinstance(spec, KeyboardSpec):
        return KeyboardOperator(spec, robot, drives=drives)
    if isinstance(spec, PedalSpec):
        return Pedal(spec)
    if isinstance(spec, LeaderSpec):
        return LeaderOperator(spec, robot)
    if isinstance(spec, PoseSpec):
        return PoseOperator(spec, robot)
    assert isinstance(spec, ScriptedSpec)
    return ScriptedOperator(make_expert(spec.expert), robot, TakeoverRule(spec.on_help, spec.at_step, spec.for_steps))
