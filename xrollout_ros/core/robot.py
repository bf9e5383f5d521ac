"""RobotSpec: what a robot senses, how it is commanded and what it must never do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from xrollout_ros.core.clock import NS
from xrollout_ros.core.document import Finite, Name, Positive, Strict
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.processors import Entry, Processor, outcome

Topic = Annotated[str, Field(pattern=r"^/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$")]
MessageType = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]*/msg/[A-Z][A-Za-z0-9]*$", examples=["sensor_msgs/msg/JointState"])
]


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


class ObservationSpec(Strict):
    """One entry of the state vector, taken from a field of a topic's messages."""

    name: Name
    topic: Topic
    type: MessageType
    field: str = Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$",
        description="path inside the message; ends at a number, an array, a Point, Vector3 or Quaternion",
    )
    names: tuple[str, ...] = Field(
        default=(), description="JointState only: joints to take, in this order; empty: all, as they come"
    )
    shape: tuple[Annotated[int, Field(ge=1)], ...]
    unit: str
    rate_hz: Positive
    max_age_s: Positive = Field(description="older than this counts as stale (real-time drive)")

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @model_validator(mode="after")
    def _check(self) -> ObservationSpec:
        if self.names and len(self.names) != self.size:
            raise ValueError(f"{len(self.names)} joint names for shape {self.shape}: they must agree")
        if self.max_age_s * self.rate_hz < 1:
            raise ValueError(
                f"max_age_s {self.max_age_s} is shorter than one period at rate_hz {self.rate_hz}; "
                f"allowed is at least {1 / self.rate_hz:g}"
            )
        return self


class CameraRecord(str, Enum):
    """How a camera's images are kept in the bag."""

    RAW = "raw"
    JPEG = "jpeg"
    H264 = "h264"


class CameraSpec(Strict):
    """A camera of the robot."""

    name: Name
    topic: Topic
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    rate_hz: Positive
    max_age_s: Positive = 0.5
    record: CameraRecord = Field(
        default=CameraRecord.RAW,
        description="raw; jpeg: `<topic>/compressed` instead; h264: `<topic>/h264` instead",
    )
    quality: Annotated[int, Field(ge=1, le=100)] = Field(default=90, description="jpeg: larger is better")
    crf: Annotated[int, Field(ge=0, le=51)] = Field(default=20, description="h264: smaller is better")
    keyframe_s: Positive = Field(default=1.0, description="h264: s between frames that can be decoded by themselves")

    @property
    def recorded_topic(self) -> str:
        """Where the bag has its images."""
        suffix = {CameraRecord.RAW: "", CameraRecord.JPEG: "/compressed", CameraRecord.H264: "/h264"}
        return self.topic + suffix[self.record]

    @model_validator(mode="after")
    def _check(self) -> CameraSpec:
        if self.record is CameraRecord.H264 and (self.width % 2 or self.height % 2):
            raise ValueError(
                f"h264 halves the colour in both directions: {self.width}x{self.height} must be even; or record jpeg"
            )
        return self


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


class SafetyLimits(Strict):
    """Limits of the whole robot that the supervisor watches."""

    hold_abort_s: Positive = Field(
        default=1.0, description="holding this long for want of actions or sensors ends the attempt"
    )
    manager_timeout_s: Positive = Field(default=1.0, description="without the manager's heartbeat this long: hold")


class SimSpec(Strict):
    """How the simulated robot is made."""

    backend: Literal["metaworld", "gymnasium"]
    env_id: str | None = Field(default=None, description="Gymnasium id; Meta-World takes the task's scene")
    make: dict[str, Any] = Field(default_factory=dict, description="further arguments of gymnasium.make")
    observation: dict[Name, tuple[int, int]] = Field(
        description="slice [from, to) of the environment's observation vector for each observation entry"
    )
    success: str = Field(
        default="success",
        pattern=r"^(terminated|[A-Za-z_][A-Za-z0-9_.]*)$",
        description="key of the environment's info that is true at success, or `terminated`",
    )


class RobotSpec(Strict):
    """What a robot senses, how it is commanded, and its limits; ``config/robots/*.yaml``.

    The state vector ``(D,) float64`` is the observations' values flattened in the order given; an action
    ``(A,) float64`` has one value for each entry of ``actions``, in order.
    """

    id: Name
    description: str
    control_rate_hz: Positive
    policy_rate_hz: Positive
    frame: str = "world"
    observations: tuple[ObservationSpec, ...] = Field(min_length=1)
    cameras: tuple[CameraSpec, ...] = ()
    actions: tuple[ActionDim, ...] = Field(min_length=1)
    command: CommandSpec
    processors: tuple[Processor, ...] = Field(
        default=(), description="what is done to observations before a policy trained on this robot sees them"
    )
    safety: SafetyLimits = SafetyLimits()
    sim: SimSpec | None = Field(default=None, description="absent: a real robot, whose driver is expected to run")

    @model_validator(mode="after")
    def _check(self) -> RobotSpec:
        for what, names in (
            ("observations", [entry.name for entry in self.observations]),
            ("actions", [dim.name for dim in self.actions]),
            ("cameras", [camera.name for camera in self.cameras]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} named twice: {', '.join(twice)}")
        self.command.refuse(self.actions)
        entries = {entry.name: Entry(entry.size, entry.unit) for entry in self.observations}
        outcome(self.processors, entries, {camera.name: (camera.width, camera.height) for camera in self.cameras})
        ratio = self.control_rate_hz / self.policy_rate_hz
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-9:
            raise ValueError(
                f"control_rate_hz {self.control_rate_hz} must be a whole multiple of "
                f"policy_rate_hz {self.policy_rate_hz}"
            )
        sizes = {entry.name: entry.size for entry in self.observations}
        for dim in self.actions:
            if dim.measured is None:
                continue
            size = sizes.get(dim.measured.observation)
            if size is None or dim.measured.index >= size:
                raise ValueError(
                    f"action {dim.name!r} is measured by {dim.measured.observation}[{dim.measured.index}], "
                    f"which is not among the observations {sizes}"
                )
        if self.sim is not None:
            for name, size in sizes.items():
                span = self.sim.observation.get(name)
                if span is None or span[1] - span[0] != size:
                    raise ValueError(f"sim.observation[{name!r}] is {span}; it must be a slice of {size} values")
            extra = sorted(set(self.sim.observation) - set(sizes))
            if extra:
                raise ValueError(f"sim.observation names no observation: {', '.join(extra)}")
            if self.sim.backend == "gymnasium" and not self.sim.env_id:
                raise ValueError("sim.env_id is missing; the gymnasium backend needs one")
        return self

    @property
    def state_dim(self) -> int:
        """D, the length of the state vector."""
        return sum(entry.size for entry in self.observations)

    @property
    def action_dim(self) -> int:
        """A, the length of an action."""
        return len(self.actions)

    @property
    def lower(self) -> npt.NDArray[np.float64]:
        """(A,) least values."""
        return np.array([dim.lower for dim in self.actions])

    @property
    def upper(self) -> npt.NDArray[np.float64]:
        """(A,) largest values."""
        return np.array([dim.upper for dim in self.actions])

    @property
    def max_rate(self) -> npt.NDArray[np.float64]:
        """(A,) largest changes in units/s; inf where there is no limit."""
        return np.array([math.inf if dim.max_rate is None else dim.max_rate for dim in self.actions])

    @property
    def control_period_ns(self) -> int:
        """Time between two control ticks."""
        return round(NS / self.control_rate_hz)

    @property
    def policy_period_ns(self) -> int:
        """Time between two rows of an action chunk."""
        return round(NS / self.policy_rate_hz)

    @property
    def measured(self) -> tuple[str, ...]:
        """Observations that say where an action dimension stands."""
        named = {dim.measured.observation for dim in self.actions if dim.measured is not None}
        return tuple(entry.name for entry in self.observations if entry.name in named)

    def state_slices(self) -> dict[str, slice]:
        """Where each observation lies in the state vector."""
        slices, begin = {}, 0
        for entry in self.observations:
            slices[entry.name] = slice(begin, begin + entry.size)
            begin += entry.size
        return slices

    def state_vector(self, values: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float64]:
        """Flatten the observations' values into the state vector ``(D,) float64``.

        Raises:
            SpecError: an entry is missing or has another number of values.
        """
        parts = []
        for entry in self.observations:
            if entry.name not in values:
                raise SpecError(f"observation {entry.name!r} is missing", f"The robot {self.id!r} needs it.")
            part = np.asarray(values[entry.name], dtype=np.float64).reshape(-1)
            if part.size != entry.size:
                raise SpecError(
                    f"observation {entry.name!r} has {part.size} values",
                    f"The robot {self.id!r} says shape {entry.shape}: mend the spec or the driver.",
                )
            parts.append(part)
        return np.concatenate(parts)

    def interface_hash(self) -> str:
        """Short hash of what a policy sees and sends: two robots with the same one can share a checkpoint."""
        text = repr(
            (
                self.policy_rate_hz,
                [(entry.name, entry.shape, entry.unit) for entry in self.observations],
                [(dim.name, dim.kind.value, dim.unit) for dim in self.actions],
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]
