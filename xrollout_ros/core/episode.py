"""Episode: one attempt at a task, and what is known about it."""

from __future__ import annotations

import math
from enum import Enum
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from xrollout_ros.core.modes import Severity

FAILURE_RECOVERY = "failure-recovery"
"""Tag of an attempt of a policy in which an operator or a recovery had to drive: it shows a way out of a failure."""
PERTURBATION = "perturbation"
"""Tag of an attempt in which somebody or something disturbed the robot on purpose."""
ENGINE, DELAY_STEPS = "engine", "delay_steps"
"""Where an episode's parameters say how the policy was asked, and with which simulated delay, in policy steps."""
RUN = "run"
"""Where they say which run of a graph made it: a ULID, the same for all of its attempts."""
FAILED_ATTEMPT = "failed_attempt"
"""Where they say which attempt had failed from the start that a demonstration was collected from."""
GENERATION, TEMPERATURE, CONTROL = "generation", "temperature", "control"
"""Where they say how a rollout came about that was generated for training, by how much the policy's noise was scaled,
and by which constraints the policy was held while it acted."""


class EpisodeKind(str, Enum):
    """Why the attempt was made. An evaluation rollout is just another episode; a clip is no attempt at all."""

    ATTEMPT = "attempt"
    DEMONSTRATION = "demonstration"
    EVALUATION = "evaluation"
    CLIP = "clip"

    @property
    def counts(self) -> bool:
        """Whether it is an attempt at all, whoever made it."""
        return self is not EpisodeKind.CLIP

    @property
    def rated(self) -> bool:
        """Whether it is an attempt of a policy's success rate; what people demonstrated says nothing of a policy."""
        return self in (EpisodeKind.ATTEMPT, EpisodeKind.EVALUATION)


class Outcome(str, Enum):
    """How the attempt ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    ABORT = "abort"
    UNKNOWN = "unknown"


class OutcomeSource(str, Enum):
    """Who said so."""

    SAFETY = "safety"
    HUMAN = "human"
    ROBOT = "robot"
    TIME_LIMIT = "time_limit"
    SYSTEM = "system"
    MODEL = "model"
    """A success classifier; said afterwards, never by a bag."""
    NONE = "none"


class Result(NamedTuple):
    """What a success rate sees of an attempt."""

    outcome: Outcome
    helped: bool = False
    """An operator drove for a while in the place of the policy."""

    @property
    def success(self) -> bool:
        """Whether it is a success of whoever was to do it: what a policy was helped with is not the policy's."""
        return self.outcome is Outcome.SUCCESS and not self.helped


def counts_in_rate(kind: EpisodeKind, outcome: Outcome) -> bool:
    """Whether an episode is an attempt of a success rate: clips, demonstrations and unknown outcomes are not."""
    return kind.rated and outcome is not Outcome.UNKNOWN


class Strategy(str, Enum):
    """What is recorded."""

    BASE = "base"
    SENTRY = "sentry"
    HIGHLIGHT = "highlight"
    DAGGER = "dagger"
    EPISODIC = "episodic"


class InterventionSpan(BaseModel):
    """A stretch in which an operator drove."""

    model_config = ConfigDict(extra="forbid")

    operator: str
    begin_s: float = Field(description="s since the start of the episode")
    end_s: float


class KeptSpan(BaseModel):
    """A stretch of an attempt that its bag holds."""

    model_config = ConfigDict(extra="forbid")

    begin_s: float = Field(description="s since the start of the episode")
    end_s: float


class SafetyRecord(BaseModel):
    """A safety event as kept with the episode."""

    model_config = ConfigDict(extra="forbid")

    at_s: float = Field(description="s since the start of the episode")
    check: str
    severity: Severity
    value: float
    limit: float
    began: bool

    @field_serializer("value", "limit", when_used="json")
    def _as_json(self, value: float) -> float | str:
        # NaN and infinity are what some checks are about, and JSON has no numbers for them.
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class TopicCount(BaseModel):
    """Messages of one topic that are in the bag, and known to be missing from it."""

    model_config = ConfigDict(extra="forbid")

    received: Annotated[int, Field(ge=0)] = 0
    lost: Annotated[int, Field(ge=0)] = 0


class EpisodeMeta(BaseModel):
    """What a bag says about itself: metadata record ``xrollout.episode`` and ``custom_data`` of ``metadata.yaml``."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    episode_id: str
    kind: EpisodeKind
    task: str
    robot: str
    site: str = ""
    start: str = Field(description="named start distribution of the task")
    scene: str = ""
    seed: int | None = None
    level: str = Field(default="L0", description="environment level, L0 simulation to L4 production")
    strategy: Strategy
    operator: str = ""
    policy_id: str = ""
    checkpoint_hash: str = Field(default="", description="SHA-256 of the checkpoint file")
    dataset_version: str = ""
    software_version: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    tags: list[str] = Field(default_factory=list)
    started_at: str = Field(description="ISO 8601, UTC")
    duration_s: float = 0.0
    outcome: Outcome = Outcome.UNKNOWN
    outcome_source: OutcomeSource = OutcomeSource.NONE
    outcome_reason: str = ""
    recovered: bool = Field(default=False, description="the bag was torn and has been repaired")
    topics: dict[str, TopicCount] = Field(default_factory=dict)
    interventions: list[InterventionSpan] = Field(default_factory=list)
    kept: list[KeptSpan] | None = Field(default=None, description="what of it the bag holds; none: all of it")
    safety_events: list[SafetyRecord] = Field(default_factory=list)

    def result(self, outcome: Outcome | None = None) -> Result:
        """What counts of it.

        Args:
            outcome: the one that holds, if a later judgement overrides its own.
        """
        # Without a policy the operator is not helping: it is the one who demonstrates.
        helped = bool(self.policy_id) and bool(self.interventions)
        return Result(self.outcome if outcome is None else outcome, helped)


class FailureJudgement(BaseModel):
    """Why an attempt ended as it did, as the tagger or a reviewer says."""

    model_config = ConfigDict(extra="forbid")

    episode_id: str
    mode: str
    stage: str = ""
    moment_s: float
    severity: Annotated[float, Field(ge=0, le=1)]
    confidence: Annotated[float, Field(ge=0, le=1)]
    evidence: str
    author: str
