"""What a robot is sent: the dimensions of its actions, and the topic that carries them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from xrollout_ros.core.document import Finite, Name, Positive, Strict
from xrollout_ros.core.sensing import Topic


class ActionKind(str, Enum):
    """What a value of an action means."""

    POSITION = "position"
    VELOCITY = "velocity"
    DELTA = "delta"
    EFFORT = "effort"
    GRIPPER = "gripper"

    @property
    def interpolates(self) -> bool:
        """Whether values between two policy steps make sense."""
        return self in (ActionKind.POSITION, ActionKind.VELOCITY)

    @property
    def once(self) -> bool:
        """Whether sending a value twice acts twice, so that it is sent once for each policy step."""
        return self in (ActionKind.DELTA, ActionKind.EFFORT)


class HoldRule(str, Enum):
    """What "hold still" means for one action dimension."""

    MEASURED = "measured"
    ZERO = "zero"
    KEEP = "keep"


TWIST_FIELDS = ("linear_x", "linear_y", "linear_z", "angular_x", "angular_y", "angular_z")
JOINT_FIELDS = {
    ActionKind.POSITION: "position",
    ActionKind.GRIPPER: "position",
    ActionKind.VELOCITY: "velocity",
    ActionKind.EFFORT: "effort",
}
"""Which field of a joint message carries a kind of action."""


class Measured(Strict):
    """Where the measured value of an action dimension is found."""

    observation: Name
    index: Annotated[int, Field(ge=0)] = 0


class ActionDim(Strict):
    """One value of an action."""

    name: Name
    kind: ActionKind
    unit: str
    lower: Finite
    upper: Finite
    max_rate: Positive | None = Field(default=None, description="largest change, units/s; none: not limited")
    hold: HoldRule
    measured: Measured | None = None

    @model_validator(mode="after")
    def _check(self) -> ActionDim:
        if self.lower >= self.upper:
            raise ValueError(
                f"limits of {self.name!r} are inverted: lower {self.lower} is not below upper {self.upper}"
            )
        if self.hold is HoldRule.MEASURED and self.measured is None:
            raise ValueError(f"{self.name!r} holds its measured value but names no `measured` observation")
        if self.hold is HoldRule.MEASURED and self.kind is not ActionKind.POSITION:
            raise ValueError(f"{self.name!r} is a {self.kind.value}; only a position can hold its measured value")
        if self.hold is HoldRule.ZERO and not self.lower <= 0 <= self.upper:
            raise ValueError(f"{self.name!r} holds zero, which is outside its limits [{self.lower}, {self.upper}]")
        return self


class CommandSpec(Strict):
    """The robot's own command topic."""

    topic: Topic
    encoding: Literal["float64_multi_array", "joint_trajectory", "joint_state", "twist", "twist_stamped"]

    def refuse(self, actions: Sequence[ActionDim]) -> None:
        """Refuse actions that the message cannot carry.

        Raises:
            ValueError: naming them, and what is allowed.
        """
        if self.encoding in ("twist", "twist_stamped"):
            wrong = [dim.name for dim in actions if dim.name not in TWIST_FIELDS]
            if wrong:
                raise ValueError(
                    f"a {self.encoding} has no field for action {', '.join(wrong)}: name the actions "
                    f"{', '.join(TWIST_FIELDS)}, or choose another encoding"
                )
        elif self.encoding != "float64_multi_array":
            fields = {JOINT_FIELDS.get(dim.kind, "") for dim in actions}
            if len(fields) > 1 or "" in fields:
                kinds = ", ".join(f"{dim.name} is a {dim.kind.value}" for dim in actions)
                raise ValueError(
                    f"a {self.encoding} carries positions (a gripper's too), velocities or efforts, but {kinds}: "
                    "choose the encoding float64_multi_array"
                )
