"""TaskSpec: what is to be done, from which starts, and how success is known."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from xrollout_ros.core.document import Name, Positive, Strict
from xrollout_ros.core.mirror import MirrorSpec

Range = tuple[float, float]


class StartSpec(Strict):
    """A named distribution of initial states.

    ``widen`` scales the simulator's own reset box about its centre, axis by axis; ``ranges`` replaces the range of a
    named quantity outright (units of the simulator, usually m).
    """

    description: str = ""
    widen: Annotated[float, Field(gt=0, le=5)] = 1.0
    ranges: dict[str, Range] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> StartSpec:
        for name, (low, high) in self.ranges.items():
            if low > high:
                raise ValueError(f"range {name!r} is inverted: {low} is above {high}")
        return self


class SuccessSpec(Strict):
    """How success is known. ``robot``: the driver's success signal; ``human``: only an operator's mark."""

    signal: Literal["robot", "human"] = "robot"
    hold_steps: Annotated[int, Field(ge=1)] = Field(default=1, description="policy steps that it must last")


class ReachSpec(Strict):
    """Which two observations must meet before the task can be said to have begun."""

    hand: Name
    object: Name
    distance_m: Positive


class TaggingSpec(Strict):
    """What the failure rules go by; a rule whose signal is not named does not apply. Hand and object are those of
    ``reach``.
    """

    goal: Name | None = Field(default=None, description="observation of where the object is wanted, m")
    opening: Name | None = Field(default=None, description="observation of how far the fingers are open, any unit")
    gripper: Name | None = Field(default=None, description="action that closes the fingers, the more the larger")
    force: Name | None = Field(default=None, description="observation of the force at the hand, N")
    familiar: dict[Name, tuple[Range, ...]] = Field(
        default_factory=dict,
        description="observation: range of each of its values at the starts that are known to work",
    )
    rules: dict[Name, dict[str, float]] = Field(
        default_factory=dict, description="rule: thresholds other than its own; docs/failures.md lists them"
    )

    @model_validator(mode="after")
    def _check(self) -> TaggingSpec:
        for name, ranges in self.familiar.items():
            for low, high in ranges:
                if low > high:
                    raise ValueError(f"familiar range of {name!r} is inverted: {low} is above {high}")
        return self


class TaskSpec(Strict):
    """What is to be done; ``config/tasks/*.yaml``."""

    id: Name
    instruction: str
    robot: Name
    scene: str = Field(description="the simulator's name of the scene; any label for a real robot")
    starts: dict[Name, StartSpec] = Field(min_length=1)
    default_start: Name = "nominal"
    success: SuccessSpec = SuccessSpec()
    time_limit_s: Positive
    reach: ReachSpec | None = None
    tagging: TaggingSpec = TaggingSpec()
    mirror: MirrorSpec | None = Field(default=None, description="absent: an attempt seen in a mirror is none")
    operator: str | None = Field(default=None, description="scripted operator that can do this task")

    @model_validator(mode="after")
    def _check(self) -> TaskSpec:
        if self.default_start not in self.starts:
            raise ValueError(f"default_start {self.default_start!r} is not one of starts {sorted(self.starts)}")
        return self
