"""What a robot is sent: the dimensions of its actions, and the topic that carries them."""

from __future__ import annotations

import math
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

    @property
    def places(self) -> bool:
        """Whether a value says where to be; others say how to move."""
        return self in (ActionKind.POSITION, ActionKind.GRIPPER)


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


_DERIVATIVES: dict[ActionKind, tuple[str, ...]] = {
    ActionKind.POSITION: ("max_rate", "max_acceleration", "max_jerk"),
    ActionKind.GRIPPER: ("max_rate", "max_acceleration", "max_jerk"),
    ActionKind.VELOCITY: ("max_rate", "max_jerk"),
    ActionKind.DELTA: ("max_rate",),
    ActionKind.EFFORT: ("max_rate",),
}
"""What limits the first, second and third derivative of a value. A velocity's first derivative is an acceleration
already, so its `max_rate` is one and the next is the jerk. A delta or effort is sent once for each row: it has steps,
and no path that could have an acceleration."""


class ActionDim(Strict):
    """One value of an action.

    ``max_rate`` limits the change of the value: the speed of a position or gripper, the acceleration of a velocity,
    the change of a delta or effort from row to row per second. ``max_acceleration`` is for positions and grippers;
    ``max_jerk`` is the next derivative, of positions and grippers, and of velocities.
    """

    name: Name
    kind: ActionKind
    unit: str
    lower: Finite
    upper: Finite
    max_rate: Positive | None = Field(default=None, description="largest change, units/s; none: not limited")
    max_acceleration: Positive | None = Field(default=None, description="units/s²; positions and grippers")
    max_jerk: Positive | None = Field(default=None, description="units/s³ (of a velocity: units/s²)")
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
        self._check_derivatives()
        return self

    def _check_derivatives(self) -> None:
        known = _DERIVATIVES[self.kind]
        for name in ("max_acceleration", "max_jerk"):
            if getattr(self, name) is not None and name not in known:
                instead = (
                    "its max_rate is an acceleration" if self.kind is ActionKind.VELOCITY else "it follows no path"
                )
                raise ValueError(f"{self.name!r} is a {self.kind.value} and has no {name}: {instead}; leave it out")
        if self.max_jerk is not None and "max_acceleration" in known and self.max_acceleration is None:
            raise ValueError(f"{self.name!r} has a max_jerk but no max_acceleration; give both")

    @property
    def derivative_limits(self) -> tuple[float, float, float]:
        """Largest first, second and third derivative of the value, units/s, /s² and /s³; inf: not limited."""
        values = [getattr(self, name) for name in _DERIVATIVES[self.kind]]
        first, second, third = [math.inf if value is None else value for value in (*values, None, None)][:3]
        return first, second, third


class Interpolation(str, Enum):
    """What a position or velocity does between two rows of a chunk."""

    LINEAR = "linear"
    CUBIC = "cubic"
    MINIMUM_JERK = "minimum_jerk"


class MotionSpec(Strict):
    """How the rows of a chunk become a motion. Deltas, efforts and grippers are sent as the rows say."""

    interpolation: Interpolation = Interpolation.LINEAR
    blend_s: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.1, description="in this time the motion passes from one chunk over to the next"
    )
    fade_out_s: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.25, description="a motion that no next chunk continues comes to rest within this time"
    )


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
