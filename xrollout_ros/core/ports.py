"""The small interfaces through which the runtime sees policies, operators and simulated robots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.calibration import Calibration
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.modes import Request, Source
from xrollout_ros.core.processors import Processor

Conditioning = Literal["prefix", "guidance", "none"]
"""``prefix``: trained to go on from given rows; ``guidance``: steered towards them while it samples; ``none``: neither,
its chunks are spliced in as they are."""


@dataclass(frozen=True)
class PolicyInfo:
    """What is known of a loaded policy."""

    policy_id: str
    checkpoint_hash: str
    robot: str
    task: str
    horizon: int
    """H, rows of a chunk."""
    execute: int
    """Rows played before the next inference; at most H."""
    state_dim: int
    """I, the length of what it sees: the robot's state vector, after the processors."""
    action_dim: int
    dataset_version: str = ""
    processors: tuple[Processor, ...] = ()
    """What is done to observations before it sees them; ``runtime.processors`` does it."""
    conditioning: Conditioning = "none"
    """How it makes a chunk go on from what is being played."""
    max_prefix: int = 0
    """Most rows that can be given."""
    cameras: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Cameras whose images it must be given: height and width, by name."""
    action_scale: tuple[float, ...] = ()
    """``(A,)`` half the range of each action in training, the unit of a normalized action; empty: 1."""
    detectors: tuple[str, ...] = ()
    """Names of the scores that come with its chunks."""
    calibration: Calibration | None = None
    """What makes an alarm of them; none: it is not calibrated."""


@dataclass(frozen=True)
class Prefix:
    """What a chunk is spliced onto."""

    actions: npt.NDArray[np.float32]
    """``(R, A) float32``: rows left of the chunk in play, its row 0 acting when that of the new chunk does; R ≥ 1."""
    frozen: int
    """Leading rows that will have been played before the new chunk arrives; 1 to R."""


class Policy(Protocol):
    """A policy that turns a state into an action chunk. Called from one thread only."""

    @property
    def info(self) -> PolicyInfo: ...

    def reset(self, seed: int) -> None:
        """Begin an attempt: all randomness until the next reset follows from ``seed``."""
        ...

    @property
    def scores(self) -> Mapping[str, float]:
        """Detector scores of the last prediction, dimensionless; empty for a policy that has none."""
        ...

    def predict(self, state: Array, prefix: Prefix | None = None) -> npt.NDArray[np.float32]:
        """Action chunk ``(H, A) float32`` in the robot's units, for what the processors made of a state ``(I,)``.

        With a prefix, which only a policy whose ``info.conditioning`` is not "none" is given, the chunk's leading
        ``prefix.frozen`` rows are those of the prefix, and the rest goes on from there.
        """
        ...


class Expert(Protocol):
    """A script that can do a task from what the robot's topics say."""

    @property
    def name(self) -> str: ...

    def reset(self, seed: int) -> None:
        """Begin an attempt."""
        ...

    def act(self, state: Array) -> Array:
        """Action ``(A,) float64`` for a state vector ``(D,) float64``."""
        ...


@dataclass(frozen=True)
class Moment:
    """What an operator is asked to answer."""

    t_ns: int
    """The drive's clock: simulated time when stepped, the steady clock in real time."""
    state: Array | None
    """(D,) what the robot senses; None until each of its topics has been heard (real time)."""
    step: int = 0
    """Stepped drive: number of the observation; real time: 0."""
    sent: Array | None = None
    """(A,) the command before this one, whoever it came from; None: none in this attempt."""
    driving: bool = False
    """This operator is in control, or is being given it."""
    help_wanted: bool = False
    """An alarm asks for an operator."""


@dataclass(frozen=True)
class OperatorAnswer:
    """What an operator would have the robot do."""

    action: Array
    """(A,) finite, within the robot's limits."""
    enabled: bool
    """False: "I am not commanding"; the robot holds if this operator is in control."""


@runtime_checkable
class Withdraws(Protocol):
    """An expert that knows how to come back to where it is at home, after somebody else has driven."""

    def strayed(self, state: Array) -> bool:
        """Whether what it would do from here is of no use: something has gone wrong since it drives."""
        ...

    def withdraw(self, state: Array) -> Array | None:
        """Action ``(A,) float64`` on the way back; None: it is there, or may go on from here."""
        ...


@dataclass(frozen=True)
class Asked:
    """A request of an operator."""

    request: Request
    reason: str = ""


class Operator(Protocol):
    """Somebody, or a script, who may drive the robot. Called from one thread only."""

    @property
    def name(self) -> str: ...

    def reset(self, seed: int) -> None:
        """Begin an attempt."""
        ...

    def answer(self, moment: Moment) -> OperatorAnswer:
        """What it would do now. Asked for each step (stepped) or at a fixed rate (real time), driving or not."""
        ...

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        """What was asked for since the last call, each once.

        Args:
            driving: this operator is in control, which is what a button for both directions goes by.
        """
        ...

    def problem(self) -> str:
        """Why nothing can come from it, e.g. its topic is silent; empty: nothing is wrong."""
        ...


@dataclass(frozen=True)
class Shape:
    """One thing of the scene to draw, in the frame of the RobotSpec."""

    name: str
    kind: str
    """``sphere``, ``box``, ``cylinder`` or ``line``."""
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    """Quaternion x, y, z, w."""
    size: tuple[float, float, float] = (0.02, 0.02, 0.02)
    """Full extents in m, as ``visualization_msgs/Marker.scale``."""
    color: tuple[float, float, float, float] = (0.6, 0.6, 0.6, 1.0)
    """Red, green, blue, opacity, each 0 to 1."""
    points: tuple[tuple[float, float, float], ...] = ()
    """``line`` only: its corners, m."""


@dataclass(frozen=True)
class SimObservation:
    """What a simulated robot senses after a reset or a step."""

    step: int
    values: Mapping[str, Array]
    """Observation values by name, each of the RobotSpec's shape."""
    success: bool
    done: bool
    """Success has lasted long enough, the environment ended, or the step limit is reached."""
    shapes: tuple[Shape, ...] = ()
    images: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    """``(H, W, 3) uint8`` RGB by camera name."""


@runtime_checkable
class KnowsDriver(Protocol):
    """A simulated robot to which something else happens when somebody else drives."""

    def driven_by(self, source: Source) -> None:
        """Who sends the action of the next step; to be told before it."""
        ...


class SimRobot(Protocol):
    """A simulated robot. Called from one thread only."""

    def reset(self, seed: int, start: str) -> SimObservation:
        """Go to the start that ``seed`` draws from the task's distribution ``start``; the result has step 0."""
        ...

    def step(self, action: npt.ArrayLike) -> SimObservation:
        """Apply one action ``(A,)`` in the robot's units for one policy period."""
        ...

    def close(self) -> None:
        """Free the simulator."""
        ...
