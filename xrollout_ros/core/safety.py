"""What a robot must never do, and what is done when it is about to: the ``safety`` section of a RobotSpec."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from xrollout_ros.core.action import ActionDim, ActionKind
from xrollout_ros.core.calibration import ALARM
from xrollout_ros.core.document import Box, Finite, Name, Positive, Strict
from xrollout_ros.core.levels import Level, LevelSpec, refuse_looser
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.recoveries import BacktrackSpec, LearnedSpec, RecoverySpec, RetreatSpec
from xrollout_ros.core.sensing import Topic


def _by_name(value: object) -> object:
    names = {severity.name.lower(): severity for severity in Severity} | {"log": Severity.CLIP}
    if isinstance(value, Severity):
        return value
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"severity is {value!r}; allowed are {', '.join(names)}")
    return names[value]


SeverityName = Annotated[
    Severity, BeforeValidator(_by_name), PlainSerializer(lambda value: Severity(value).name.lower(), return_type=str)
]
"""A severity, written by its name; of an alarm ``log`` (only told) is the same as ``clip``."""


class PointSpec(Strict):
    """The point of the robot that bounds are about and recoveries steer, and the actions that move it."""

    observation: Name = Field(description="where it is measured, e.g. the hand's position")
    actions: tuple[Name, ...] = Field(
        default=(), description="the actions that move it, one for each of its values, all positions or all deltas"
    )
    scale: Positive = Field(default=1.0, description="delta: units of the observation for one unit of the action")


class WorkspaceSpec(Box):
    """Where the robot may be. Commands that would lead out are clipped; ``severity`` is for one measured outside."""

    severity: SeverityName = Severity.RECOVER


class GripperZone(Box):
    """A region in which the gripper may only be commanded within ``allowed``."""

    gripper: Name = Field(description="the action")
    allowed: tuple[Finite, Finite] = Field(description="[least, largest] command, units of the action")

    @model_validator(mode="after")
    def _check_allowed(self) -> GripperZone:
        if self.allowed[0] > self.allowed[1]:
            raise ValueError(f"allowed {self.allowed} is inverted")
        return self


class ForceSpec(Strict):
    """The largest force: Euclidean norm of an observation."""

    observation: Name
    limit: Positive = Field(default=15.0, description="units of the observation, N for a force")
    severity: SeverityName = Severity.RECOVER


class JumpSpec(Strict):
    """How far an action of the policy may be from what is being sent."""

    limits: dict[Name, Positive] = Field(min_length=1, description="by action, units of the action")
    severity: SeverityName = Field(
        default=Severity.HOLD, description="clip: go no farther than the limit; hold: do not go there at all"
    )


class TimeSpec(Strict):
    """Alarm: the attempt lasts longer than ``factor`` times the median of the successful ones.

    Of a calibrated policy: longer than its own time limit, and ``factor`` is of no matter.
    """

    kind: Literal["time"] = "time"
    factor: Positive = 2.0
    severity: SeverityName = Severity.CLIP


class NoProgressSpec(Strict):
    """Alarm: although the robot is commanded to, an observation has not changed for a while."""

    kind: Literal["no_progress"]
    observation: Name
    distance: Positive = Field(description="a value that changes by more than this is progress, its own units")
    window_s: Positive = 3.0
    severity: SeverityName = Severity.CLIP


AUDITED = 0.1
"""Share of a calibrated alarm's attempts in which it is only told, so that its false alarms can be counted."""


class ScoreSpec(Strict):
    """Alarm: a score that comes with the chunks is above a threshold. Only told until a severity is given."""

    kind: Literal["score"]
    score: Name = Field(description="e.g. chunk_consistency, ensemble_variance; alarm, of a calibrated policy")
    threshold: Positive
    severity: SeverityName = Severity.CLIP
    audit: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description=f"share of the attempts in which it is only told all the same; none: {AUDITED} of `alarm`, else 0",
    )

    @property
    def audited(self) -> float:
        """The share that holds."""
        if self.audit is not None:
            return self.audit
        return AUDITED if self.score == ALARM else 0.0

    def only_told(self, episode_id: str) -> bool:
        """Whether this attempt is one in which nothing follows from the alarm.

        Drawn from the attempt's id alone, so that every process, and whoever reads the bag, draws the same.
        """
        drawn = hashlib.sha256(f"audit:{self.score}:{episode_id}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") < self.audited * 2**64


class NearFailureSpec(Strict):
    """Alarm: the attempt is about to fail, as hand and object tell."""

    kind: Literal["near_failure"]
    hand: Name = Field(description="observation, a position")
    object: Name = Field(description="observation, a position of as many values")
    near: Positive = Field(description="the hand has come to the object, units of the observations")
    lost: Positive = Field(description="and is this far from it again: the object was missed, dropped or lost")
    moved: Positive = Field(description="the object has moved this far before the hand came to it: it was bumped")
    severity: SeverityName = Severity.CLIP

    @model_validator(mode="after")
    def _check(self) -> NearFailureSpec:
        if self.lost <= self.near:
            raise ValueError(f"lost {self.lost:g} must be more than near {self.near:g}")
        return self


class MomentSpec(Strict):
    """Alarm: the moment has come that somebody named beforehand."""

    kind: Literal["moment"]
    at_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(description="s since the attempt began")
    severity: SeverityName = Severity.CLIP


class PluginDetectorSpec(Strict):
    """Alarm of a detector that another package brings, by its entry point in the group ``xrollout.detectors``."""

    kind: Literal["plugin"]
    name: Name
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of its class")
    severity: SeverityName = Severity.CLIP


DetectorSpec = Annotated[
    TimeSpec | NoProgressSpec | ScoreSpec | NearFailureSpec | MomentSpec | PluginDetectorSpec,
    Field(discriminator="kind"),
]


class HelpSpec(Strict):
    """An alarm of the severity ``recover`` first asks for an operator."""

    timeout_s: Positive = 10.0
    meanwhile: Literal["hold", "go_on"] = "hold"
    otherwise: Literal["recover", "abort"] = Field(default="recover", description="if nobody takes over in time")


class HandoverSpec(Strict):
    """How control passes between policy and operator."""

    ramp_s: Positive = Field(default=0.5, description="velocities blend and deltas grow for so long")
    approach_s: Positive = Field(
        default=4.0, description="a position closes in, after the ramp, at a speed that crosses its range in this time"
    )
    gripper: Literal["when_changed", "at_once"] = Field(
        default="when_changed",
        description="when_changed: what is gripped stays so until the operator commands something else",
    )


class DeadManSpec(Strict):
    """An enabling signal (``std_msgs/Bool``, true: enabled) without which the robot is not driven."""

    topic: Topic
    timeout_s: Positive = Field(default=0.3, description="silence of this long counts as released")
    severity: Literal["hold", "stop"] = "stop"


class SafetyLimits(Strict):
    """Limits of the whole robot that the supervisor watches."""

    hold_abort_s: Positive = Field(
        default=1.0, description="holding this long for want of actions or sensors ends the attempt"
    )
    manager_timeout_s: Positive = Field(default=1.0, description="without the manager's heartbeat this long: hold")
    operator_timeout_s: Positive = Field(
        default=0.25, description="without a command of the operator who drives this long: hold (real-time drive)"
    )
    limit: SeverityName = Field(default=Severity.CLIP, description="a value outside its dimension's limits")
    rate: SeverityName = Field(default=Severity.CLIP, description="a value that changes faster than its max_rate")
    jump: JumpSpec | None = None
    point: PointSpec | None = None
    workspace: WorkspaceSpec | None = None
    gripper_zones: tuple[GripperZone, ...] = ()
    force: ForceSpec | None = None
    detectors: tuple[DetectorSpec, ...] = (TimeSpec(),)
    recoveries: tuple[RecoverySpec, ...] = Field(
        default=(), description="tried one after the other in an attempt; after the last one it is aborted"
    )
    help: HelpSpec | None = None
    handover: HandoverSpec = HandoverSpec()
    dead_man: DeadManSpec | None = None
    levels: dict[Level, LevelSpec] = Field(
        default_factory=dict, description="what of these limits holds at an environment level, where not as usual"
    )

    @model_validator(mode="after")
    def _check_levels(self) -> SafetyLimits:
        refuse_looser(self.levels)
        return self

    @property
    def observations(self) -> set[str]:
        """Observations that are named."""
        return self.watched | ({self.point.observation} if self.point is not None else set())

    @property
    def watched(self) -> set[str]:
        """Observations that must be measured; the point only where bounds or recoveries are about it."""
        steered = bool(self.workspace or self.gripper_zones or self.recoveries)
        named = {each.observation for each in (self.point if steered else None, self.force) if each is not None}
        named |= {each.within.observation for each in self.learned if each.within is not None}
        for each in self.detectors:
            if isinstance(each, NoProgressSpec):
                named.add(each.observation)
            elif isinstance(each, NearFailureSpec):
                named |= {each.hand, each.object}
        return named

    @property
    def learned(self) -> tuple[LearnedSpec, ...]:
        """Recoveries in which a policy of their own drives."""
        return tuple(each for each in self.recoveries if isinstance(each, LearnedSpec))

    def refuse(self, actions: Sequence[ActionDim], sizes: Mapping[str, int]) -> None:
        """Refuse what does not fit the robot's actions and observations (``sizes`` by name).

        Raises:
            ValueError: naming it, and what is allowed.
        """
        dims = {dim.name: dim for dim in actions}
        for name in sorted(self.observations - set(sizes)):
            raise ValueError(f"safety names the observation {name!r}; the robot has {', '.join(sizes)}")
        grippers = [zone.gripper for zone in self.gripper_zones]
        for name in (*(self.jump.limits if self.jump else ()), *grippers):
            if name not in dims:
                raise ValueError(f"safety names the action {name!r}; the robot has {', '.join(dims)}")
        self._refuse_point(dims, sizes)
        for recovery in self.recoveries:
            if isinstance(recovery, (RetreatSpec, BacktrackSpec)):
                steered = self.point is not None and bool(self.point.actions)
                recovery.refuse(actions, sizes[self.point.observation] if self.point and steered else None)
        for learned in self.learned:
            learned.refuse(sizes)
        models = sorted({learned.model for learned in self.learned})
        if len(models) > 1:
            raise ValueError(f"learned recoveries name the models {models}: one checkpoint serves all of an attempt")

    def _refuse_point(self, dims: Mapping[str, ActionDim], sizes: Mapping[str, int]) -> None:
        boxes = [*([self.workspace] if self.workspace else []), *self.gripper_zones]
        if self.point is None:
            if boxes:
                raise ValueError("safety.workspace and gripper_zones need safety.point: whose position they bound")
            return
        size = sizes[self.point.observation]
        for box in boxes:
            if len(box.lower) != size:
                raise ValueError(
                    f"a box of {len(box.lower)} axes for the observation {self.point.observation!r} of {size} values"
                )
        if not self.point.actions:
            return
        unknown = [name for name in self.point.actions if name not in dims]
        if unknown or len(self.point.actions) != size:
            raise ValueError(
                f"safety.point.actions is {list(self.point.actions)}: give one action of {', '.join(dims)} for each "
                f"of the {size} values of {self.point.observation!r}"
            )
        kinds = {dims[name].kind for name in self.point.actions}
        if len(kinds) > 1 or not kinds <= {ActionKind.POSITION, ActionKind.DELTA}:
            shown = ", ".join(f"{name} is a {dims[name].kind.value}" for name in self.point.actions)
            raise ValueError(f"safety.point.actions must be all positions or all deltas, but {shown}")
