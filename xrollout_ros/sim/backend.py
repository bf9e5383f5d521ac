"""What a simulator must offer to be driven as a robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Shape
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import StartSpec

MAX_REDRAWS = 100
"""Starts drawn in a row that already satisfy success before the distribution is refused."""


@dataclass(frozen=True)
class Frame:
    """What the simulator says after a reset or a step."""

    observation: Array
    """(N,) float64, the simulator's whole observation vector."""
    success: bool
    ended: bool
    """The simulator itself will not go on."""


class Backend(Protocol):
    """A simulator. Called from one thread only."""

    @property
    def observation_size(self) -> int:
        """N, the length of the simulator's observation vector."""
        ...

    def reset(self, seed: int, start: StartSpec) -> Frame:
        """Go to the start that ``seed`` draws; a pure function of its arguments, whatever happened before."""
        ...

    def step(self, action: Array) -> Frame:
        """Apply one action ``(A,) float64`` for one policy period."""
        ...

    def shapes(self) -> tuple[Shape, ...]:
        """The scene as it is now; names stay the same from one step to the next."""
        ...

    def render(self, camera: str) -> npt.NDArray[np.uint8]:
        """The scene as one of the cameras asked for sees it, ``(H, W, 3) uint8`` RGB."""
        ...

    def close(self) -> None:
        """Free the simulator."""
        ...


def success_of(info: Mapping[str, Any], terminated: bool, key: str) -> bool:
    """The simulator's success signal: ``terminated``, or the info value under ``key`` (dots go into nested mappings).

    Raises:
        SpecError: the simulator gives no such value.
    """
    if key == "terminated":
        return terminated
    value: Any = info
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise SpecError(
                f"sim.success is {key!r}, which the simulator's info does not hold",
                f"It holds {', '.join(sorted(map(str, info))) or 'nothing'}; `terminated` is allowed too.",
            )
        value = value[part]
    return bool(value)


def check_action_box(robot: RobotSpec, low: npt.ArrayLike, high: npt.ArrayLike, simulator: str) -> None:
    """Compare the RobotSpec's action limits with the simulator's action box.

    Raises:
        SpecError: another number of actions, or limits beyond those of the simulator.
    """
    lower, upper = (np.asarray(bound, dtype=np.float64).reshape(-1) for bound in (low, high))
    if lower.size != robot.action_dim:
        raise SpecError(
            f"robot {robot.id!r} has {robot.action_dim} actions but {simulator} takes {lower.size}",
            "Mend `actions` in the RobotSpec.",
        )
    for dim, least, most in zip(robot.actions, lower, upper, strict=True):
        # A float32 box of the simulator may round a decimal limit of the spec.
        slack = 1e-6 * max(1.0, abs(dim.lower), abs(dim.upper))
        if dim.lower < least - slack or dim.upper > most + slack:
            raise SpecError(
                f"action {dim.name!r} of robot {robot.id!r} has limits [{dim.lower:g}, {dim.upper:g}], "
                f"beyond those of {simulator}, [{least:g}, {most:g}]",
                "Narrow `lower` and `upper` in the RobotSpec.",
            )
