"""What makes an alarm of a policy's scores: the document that ``xrollout calibrate`` leaves beside a checkpoint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from xrollout_ros.core.document import Finite, Name, Positive, Strict

FORMAT: Literal["xrollout.calibration"] = "xrollout.calibration"
VERSION = 1
ALARM = "alarm"
"""Name of the score that is above 1 where a calibrated policy is in trouble."""
OVERTIME = "overtime"
"""Name of the score that is above 1 where the attempt lasts longer than the policy's successes do."""
CONSISTENCY = "chunk_consistency"
"""Name of the engine's score: how much overlapping chunks disagree."""
Ulid = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EpisodeId = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
Count = Annotated[int, Field(ge=0)]


class Usual(Strict):
    """What a detector's score is like in successful rollouts of the policy."""

    detector: Name
    location: Finite = Field(description="median")
    scale: Positive = Field(description="1.4826 × median absolute deviation, or what stands for it where that is 0")


class Calibration(Strict):
    """Bound to one checkpoint file by its hash."""

    format: Literal["xrollout.calibration"] = FORMAT
    version: Literal[1] = 1
    calibration_id: Ulid
    checkpoint_hash: Sha256
    policy_id: Ulid
    robot: str
    task: str
    engine: str = Field(description="inference engine of the rollouts: the alarm is for this one alone")
    drive: str = Field(description="stepped or real_time, as in the rollouts")
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(description="nominal share of successes with a false alarm")
    detectors: tuple[Usual, ...] = Field(min_length=1)
    ewma: Annotated[float, Field(gt=0, le=1)] = Field(description="weight of the newest value")
    threshold: Positive = Field(description="of the combined score; `alarm` is the combined score divided by it")
    n: Annotated[int, Field(ge=1)] = Field(description="rollouts whose maxima gave the threshold")
    rank: Annotated[int, Field(ge=1)] = Field(description="the threshold is the rank-th smallest of them")
    normalized_on: tuple[EpisodeId, ...] = Field(min_length=1)
    calibrated_on: tuple[EpisodeId, ...] = Field(min_length=1)
    time_limit_s: Positive = Field(description="the same for the time to success, of both halves together")
    time_n: Annotated[int, Field(ge=1)]
    starts: dict[str, Count] = Field(description="named start distributions of the rollouts, and how many")
    recomputed: Count = Field(description="rollouts whose scores were not taken from the bag, but computed again")
    seed: int = Field(description="of the split into halves")
    created_at: str = Field(description="ISO 8601, UTC")
    software_version: str

    @model_validator(mode="after")
    def _check(self) -> Calibration:
        names = [each.detector for each in self.detectors]
        if len(set(names)) < len(names):
            raise ValueError(f"a detector is named twice: {', '.join(names)}")
        if len(self.calibrated_on) != self.n or self.rank > self.n:
            raise ValueError(f"n {self.n} and rank {self.rank} do not fit {len(self.calibrated_on)} rollouts")
        if set(self.normalized_on) & set(self.calibrated_on):
            raise ValueError("a rollout is in both halves")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The detectors that are combined."""
        return tuple(each.detector for each in self.detectors)
