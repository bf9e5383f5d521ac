"""How a task looks in a mirror: the ``mirror`` section of a TaskSpec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from xrollout_ros.core.action import ActionDim, ActionKind
from xrollout_ros.core.document import Name, Strict

Sign = Literal[-1, 1]


class Reflection(NamedTuple):
    """Mirrored, value ``k`` of a vector ``(K,)`` is ``sign[k] * vector[source[k]]``. Twice is as it was."""

    source: npt.NDArray[np.intp]
    sign: npt.NDArray[np.float64]


class MirroredValues(Strict):
    """What the values of one observation become."""

    signs: Annotated[tuple[Sign, ...], Field(min_length=1)]
    order: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(), description="place that each value is taken from, e.g. of the other arm's joints; none: its own"
    )
    of: Name | None = Field(default=None, description="observation that they are taken from; none: itself")

    @model_validator(mode="after")
    def _check(self) -> MirroredValues:
        if self.order and sorted(self.order) != list(range(len(self.signs))):
            raise ValueError(f"order {self.order} is no order of the {len(self.signs)} values that have signs")
        return self


class MirroredAction(Strict):
    """What one action becomes."""

    sign: Sign = 1
    of: Name | None = Field(default=None, description="action that it is taken from; none: itself")


class MirrorSpec(Strict):
    """What changes when robot and scene are seen in a mirror; what is not named stays as it is.

    To be given only where the mirrored attempt could have happened: the robot moves the same on either side of the
    plane, and what is said about places is measured from it.
    """

    observations: dict[Name, MirroredValues] = Field(default_factory=dict)
    actions: dict[Name, MirroredAction] = Field(default_factory=dict)

    def of_state(self, sizes: Mapping[str, int]) -> Reflection:
        """What the state vector ``(D,)`` becomes.

        Args:
            sizes: number of values of the robot's observations, in order.

        Raises:
            ValueError: the section does not fit them, or mirrored twice they are not what they were.
        """
        _known(self.observations, sizes, "observation")
        begin, places = 0, {}
        for name, size in sizes.items():
            places[name] = np.arange(begin, begin + size)
            begin += size
        source, sign = np.arange(begin), np.ones(begin)
        for name, values in self.observations.items():
            other = values.of or name
            _known([other], sizes, "observation")
            if len(values.signs) != sizes[name] or sizes[other] != sizes[name]:
                raise ValueError(
                    f"mirror.observations[{name!r}] has {len(values.signs)} signs for {sizes[name]} values, taken "
                    f"from the {sizes[other]} of {other!r}"
                )
            source[places[name]] = places[other][list(values.order) or slice(None)]
            sign[places[name]] = values.signs
        names = [name for name, size in sizes.items() for _ in range(size)]
        return _involution(Reflection(source, sign), names, "observations")

    def of_action(self, actions: Sequence[ActionDim]) -> Reflection:
        """What an action ``(A,)`` becomes.

        Raises:
            ValueError: the section does not fit the actions, or mirrored twice they are not what they were.
        """
        dims = {dim.name: dim for dim in actions}
        _known(self.actions, dims, "action")
        names = list(dims)
        source, sign = np.arange(len(names)), np.ones(len(names))
        for name, action in self.actions.items():
            other = action.of or name
            _known([other], dims, "action")
            mine, theirs = dims[name], dims[other]
            if (mine.kind, mine.unit) != (theirs.kind, theirs.unit):
                raise ValueError(
                    f"mirror.actions: {name!r} ({mine.kind.value}, {mine.unit}) cannot become {other!r} "
                    f"({theirs.kind.value}, {theirs.unit})"
                )
            if mine.kind is ActionKind.GRIPPER and action.sign < 0:
                raise ValueError(f"mirror.actions[{name!r}]: a gripper that closes does not open in a mirror")
            least, most = sorted((action.sign * theirs.lower, action.sign * theirs.upper))
            if most <= mine.lower or least >= mine.upper:
                raise ValueError(
                    f"mirror.actions[{name!r}] would be in [{least:g}, {most:g}], outside its limits "
                    f"[{mine.lower:g}, {mine.upper:g}]"
                )
            source[names.index(name)], sign[names.index(name)] = names.index(other), action.sign
        return _involution(Reflection(source, sign), names, "actions")


def _known(named: Sequence[str] | Mapping[str, object], known: Mapping[str, object], what: str) -> None:
    for name in named:
        if name not in known:
            raise ValueError(f"mirror names the {what} {name!r}; the robot has {', '.join(known)}")


def _involution(reflection: Reflection, names: Sequence[str], what: str) -> Reflection:
    source, sign = reflection
    wrong = (source[source] != np.arange(len(source))) | (sign * sign[source] != 1)
    if wrong.any():
        raise ValueError(
            f"mirror.{what}: {names[int(np.argmax(wrong))]!r} mirrored twice is not what it was: where values are "
            "taken from each other, both say so, with the same sign"
        )
    return reflection
