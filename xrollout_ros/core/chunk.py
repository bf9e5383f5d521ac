"""What crosses from policy to supervisor: observations in, action chunks out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.modes import Mode, Request, Severity, Source

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """One complete observation of the robot."""

    episode_id: str
    step: int
    """Number of the observation in the stepped drive; 0 in real time."""
    stamp_ns: int
    """Time of the newest value; simulated in the stepped drive."""
    state: Array
    """(D,) float64, ordered by the RobotSpec."""
    observed_ns: int = 0
    """When all of it was there, on the wall clock; 0: not known."""


@dataclass(frozen=True)
class ActionChunk:
    """A horizon of actions answering one observation."""

    episode_id: str
    policy_id: str
    sequence: int
    step: int
    stamp_ns: int
    start_ns: int
    period_ns: int
    actions: npt.NDArray[np.float32]
    """(H, A) float32; H = 0 says "keep playing the chunk in play"."""
    prefix_length: int = 0
    observed_ns: int = 0
    """When the observation behind it was all there, on the wall clock; 0: not known."""
    accepted_ns: int = 0
    """When the supervisor accepted it, on the wall clock; 0: it has not, or simulated time drives."""
    inference_s: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OperatorAction:
    """What an operator commands, answering one observation."""

    episode_id: str
    operator: str
    step: int
    stamp_ns: int
    action: Array
    """(A,) float64."""
    enabled: bool = True
    requests: tuple[Request, ...] = ()
    """Stepped drive: changes of mode asked for, which take effect at this step."""
    reason: str = ""


@dataclass(frozen=True)
class Command:
    """What the supervisor sends in one tick: the action that is recorded and trained on."""

    stamp_ns: int
    episode_id: str
    step: int
    source: Source
    mode: Mode
    chunk_sequence: int
    chunk_index: int
    """The row; -1 while the end of a chunk comes to rest, and where no chunk is in play."""
    action: Array
    """(A,) float64, within the limits."""
    clipped: npt.NDArray[np.bool_]
    """(A,) where a limit changed the value."""
    accepted_ns: int = 0
    """``accepted_ns`` of the chunk in play."""
    help_wanted: bool = False
    """An alarm asks for an operator."""
    recovery: str = ""
    """The recovery that drives from now on; empty: none."""


@dataclass(frozen=True)
class SafetyEvent:
    """A check began or ceased to object."""

    stamp_ns: int
    episode_id: str
    check: str
    severity: Severity
    value: float
    limit: float
    action_taken: str
    began: bool
