"""What crosses from policy to supervisor: observations in, action chunks out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

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
