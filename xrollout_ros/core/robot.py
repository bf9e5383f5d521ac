"""RobotSpec: what a robot senses, how it is commanded and what it must never do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from xrollout_ros.core.action import ActionDim, CommandSpec, MotionSpec
from xrollout_ros.core.clock import NS
from xrollout_ros.core.document import Name, Positive, Strict
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.processors import Entry, Processor, outcome
from xrollout_ros.core.safety import SafetyLimits
from xrollout_ros.core.sensing import CameraSpec, ObservationSpec


class SimSpec(Strict):
    """How the simulated robot is made."""

    backend: Literal["metaworld", "gymnasium"]
    env_id: str | None = Field(default=None, description="Gymnasium id; Meta-World takes the task's scene")
    make: dict[str, Any] = Field(default_factory=dict, description="further arguments of gymnasium.make")
    repeat: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1,
        description="simulator steps for one row of a chunk: a delta is spread evenly over them, other values are "
        "given to each",
    )
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
    motion: MotionSpec = MotionSpec()
    processors: tuple[Processor, ...] = Field(
        default=(), description="what is done to observations before a policy trained on this robot sees them"
    )
    safety: SafetyLimits = SafetyLimits()
    sim: SimSpec | None = Field(default=None, description="absent: a real robot, whose driver is expected to run")
    simulation: Name | None = Field(
        default=None, description="RobotSpec id of a real robot's simulation, whose gate a policy must pass first"
    )

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
        self.safety.refuse(self.actions, sizes)
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
        return np.array([dim.derivative_limits[0] for dim in self.actions])

    @property
    def derivative_limits(self) -> npt.NDArray[np.float64]:
        """(3, A) largest first, second and third derivative of each value; inf where there is no limit."""
        return np.array([dim.derivative_limits for dim in self.actions]).T

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
        """Observations that say where an action dimension stands, or that a limit is about."""
        named = {dim.measured.observation for dim in self.actions if dim.measured is not None}
        named |= self.safety.watched
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
