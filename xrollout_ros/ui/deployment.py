"""What a report says about one deployment of a policy, as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.episode import Outcome, OutcomeSource, Result
from xrollout_ros.mining.statistics import SuccessRate, success_rate_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """Where hand and object were in one attempt."""

    times_s: Array
    """(T,) from the first observation."""
    hand_m: Array
    """(T, 3)."""
    object_m: Array
    """(T, 3)."""

    @property
    def closest_m(self) -> float:
        """Least distance between hand and object."""
        return float(np.linalg.norm(self.hand_m - self.object_m, axis=1).min())


@dataclass(frozen=True)
class Attempt:
    """One attempt, with every judgement on it applied."""

    number: int
    """In the order made, from 1."""
    episode_id: str
    seed: int | None
    outcome: Outcome
    outcome_source: OutcomeSource
    outcome_reason: str
    duration_s: float
    bag: Path
    helped: bool = False
    """An operator drove for a while: a success is not the policy's."""
    failure_mode: str = ""
    """The tag; empty: none."""
    stage: str = ""
    evidence: str = ""
    remarks: tuple[tuple[str, str], ...] = ()
    """What is worth knowing of a success: tag, and why it was given."""
    trace: Trace | None = None
    """None: the task names no hand and object, or the bag holds no observation."""

    @property
    def result(self) -> Result:
        """What counts of it."""
        return Result(self.outcome, self.helped)


@dataclass(frozen=True)
class FromStart:
    """A policy's attempts from one named start distribution."""

    name: str
    description: str
    attempts: tuple[Attempt, ...]

    @property
    def remarks(self) -> tuple[tuple[str, int], ...]:
        """What is worth knowing of its successes: tag, and how many have it."""
        return tuple(sorted(Counter(tag for attempt in self.attempts for tag, _ in attempt.remarks).items()))

    @property
    def rate(self) -> SuccessRate:
        """The policy's success rate there, with its 95 % interval."""
        return success_rate_of(attempt.result for attempt in self.attempts)


@dataclass(frozen=True)
class Training:
    """How the policy was made."""

    checkpoint: Path
    checkpoint_hash: str
    """SHA-256 of the file."""
    policy: str
    episodes: int
    """Demonstrations learned from."""
    rows: int
    """Observations learned from."""
    losses: tuple[float, ...]
    """Mean training loss of each epoch."""
    duration_s: float
    left_out: tuple[tuple[str, int], ...] = ()
    """Why episodes were not learned from, and how many."""


@dataclass(frozen=True)
class StageTime:
    """How long one stage took."""

    name: str
    duration_s: float


@dataclass(frozen=True)
class DeploymentSummary:
    """One policy's attempts at one task, and how they came about."""

    task: str
    instruction: str
    robot: str
    policy_id: str
    starts: tuple[FromStart, ...]
    """What it was deployed on, in the order made."""
    data: Path
    """Folder of the bags."""
    command: str
    """What to type to make all this again."""
    made_at: str
    """ISO 8601, UTC."""
    demonstrations: tuple[Attempt, ...] = ()
    training: Training | None = None
    timings: tuple[StageTime, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Those from all starts, in the order made."""
        return tuple(attempt for start in self.starts for attempt in start.attempts)

    @property
    def unsuccessful(self) -> tuple[Attempt, ...]:
        """Attempts that did not succeed, in order."""
        return tuple(attempt for attempt in self.attempts if attempt.outcome is not Outcome.SUCCESS)
