"""Recoveries that a RobotSpec may name: how the robot withdraws when the policy is not trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from xrollout_ros.core.action import ActionDim, ActionKind
from xrollout_ros.core.document import Box, Finite, Name, Positive, Strict

LEARNED: Final = "learned"
"""Kind and name of the recovery in which a policy drives."""
Share = Annotated[float, Field(gt=0, le=1)]


class HoldSpec(Strict):
    """Stand still. Succeeds after ``duration_s`` if no check objects any more."""

    kind: Literal["hold"]
    duration_s: Positive = 1.0
    time_limit_s: Positive = 5.0


class _Withdrawal(Strict):
    time_limit_s: Positive = 10.0
    speed: Share = Field(default=0.5, description="share of each action's largest rate, or of a delta's limits")
    tolerance: Positive = Field(default=0.02, description="how near counts as reached, units of what is steered")

    def refuse(self, actions: Sequence[ActionDim], size: int | None) -> None:
        """Refuse a robot that cannot be steered.

        Args:
            actions: the robot's.
            size: number of values of ``safety.point.observation``; None where no actions steer it.

        Raises:
            ValueError: saying what the spec must name.
        """
        if size is None and not any(dim.kind is ActionKind.POSITION for dim in actions):
            raise ValueError(
                f"the recovery {type(self).__name__.removesuffix('Spec').lower()!r} needs actions that are positions, "
                "or safety.point with the actions that move its observation"
            )


class RetreatSpec(_Withdrawal):
    """Go to a safe posture. Succeeds when it is reached."""

    kind: Literal["retreat"]
    pose: dict[Name, Finite] = Field(
        default_factory=dict, description="by action (positions only), units of the action; others hold"
    )
    point: tuple[Finite, ...] = Field(default=(), description="instead: a value of safety.point.observation")

    def refuse(self, actions: Sequence[ActionDim], size: int | None) -> None:
        super().refuse(actions, size)
        if bool(self.pose) == bool(self.point):
            raise ValueError("the recovery 'retreat' needs either `pose` (by action) or `point`")
        dims = {dim.name: dim for dim in actions}
        for name, value in self.pose.items():
            dim = dims.get(name)
            if dim is None or dim.kind is not ActionKind.POSITION or not dim.lower <= value <= dim.upper:
                positions = ", ".join(
                    f"{each.name} [{each.lower:g}, {each.upper:g}]"
                    for each in actions
                    if each.kind is ActionKind.POSITION
                )
                raise ValueError(f"retreat.pose gives {name!r} the value {value:g}; allowed are {positions}")
        if self.point and (size is None or len(self.point) != size):
            raise ValueError(
                f"retreat.point has {len(self.point)} values: give one for each value of safety.point.observation, "
                "and safety.point.actions"
            )


class BacktrackSpec(_Withdrawal):
    """Go back along the path travelled. Succeeds at its end."""

    kind: Literal["backtrack"]
    duration_s: Positive = Field(default=2.0, description="how much of the path, s of travel")


class WithinSpec(Box):
    """Bounds of an observation: where a recovery is to lead."""

    observation: Name


class LearnedSpec(Strict):
    """A second checkpoint drives. Succeeds when nothing objects, and it is ``within``, for ``clear_s``."""

    kind: Literal["learned"]
    model: str = Field(
        default="", description="checkpoint, relative to the RobotSpec's file; empty: the argument recovery_model"
    )
    within: WithinSpec | None = Field(default=None, description="where it is to lead; absent: to where nothing objects")
    clear_s: Positive = Field(default=1.0, description="for how long, counted from its first action at the earliest")
    answer_s: Positive = Field(default=0.5, description="without an action due this long it has failed")
    time_limit_s: Positive = 10.0

    def refuse(self, sizes: Mapping[str, int]) -> None:
        """Refuse bounds that do not fit the robot's observations (``sizes`` by name).

        Raises:
            ValueError: saying what does not fit.
        """
        if self.within is not None and len(self.within.lower) != sizes[self.within.observation]:
            raise ValueError(
                f"the recovery 'learned' is to be within {len(self.within.lower)} bounds of "
                f"{self.within.observation!r}, which has {sizes[self.within.observation]} values"
            )


class PluginRecoverySpec(Strict):
    """A recovery that another package brings, by its entry point in the group ``xrollout.recoveries``."""

    kind: Literal["plugin"]
    name: Name
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of its class")
    time_limit_s: Positive = 10.0


RecoverySpec = Annotated[
    HoldSpec | RetreatSpec | BacktrackSpec | LearnedSpec | PluginRecoverySpec, Field(discriminator="kind")
]
