"""Arguments of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xrollout_ros.core.errors import from_validation
from xrollout_ros.learning.dataset import Include
from xrollout_ros.learning.models import ARCHITECTURES

DEFAULT_POLICY = "flow"
DEFAULT_HORIZON = 8
DEFAULT_STEPS = 6000
MIN_EPOCHS = 20

Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]


class TrainOptions(BaseModel):
    """Arguments of a training run. Where a default is None, the base model or the data decide."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path = Field(description="data folder with bags")
    output: Path = Field(description="checkpoint to write; the loss curve and the history are written beside it")
    base_model: Path | None = Field(default=None, description="checkpoint to fine-tune")
    policy: str | None = Field(default=None, description="architecture; the base model's, or flow")
    task: str | None = Field(default=None, description="train on this task's episodes only")
    robot: str | None = Field(
        default=None, description="RobotSpec whose processors are used; the base model's, or those of the newest bag"
    )
    include: Include = Include.DEMONSTRATIONS
    epochs: PositiveInt | None = Field(
        default=None, description=f"passes over the data; as many as make {DEFAULT_STEPS} steps, at least {MIN_EPOCHS}"
    )
    lr: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = Field(default=1e-3, description="peak learning rate")
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 64
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    horizon: Annotated[int, Field(ge=1, le=512)] | None = Field(
        default=None, description=f"rows of a chunk; the base model's, or {DEFAULT_HORIZON}"
    )
    execute: PositiveInt | None = Field(
        default=None, description="rows played before the next inference; the base model's, or half the horizon"
    )
    max_prefix: Annotated[int, Field(ge=0, le=511)] | None = Field(
        default=None,
        description="most rows that a flow policy learns to go on from (real-time chunking), 0: none; "
        "the base model's, or half the horizon",
    )
    held_out: Fraction = Field(default=0.1, description="share of the episodes kept for validation, rounded down")
    ema: Fraction = Field(default=0.999, description="decay of the average of the weights")
    weight_decay: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 1e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    state_noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = Field(
        default=0.0, description="deviation of the noise added to normalized states"
    )

    @model_validator(mode="after")
    def _check(self) -> TrainOptions:
        if self.policy is not None and self.policy not in ARCHITECTURES:
            raise ValueError(f"unknown policy {self.policy!r}; known are {', '.join(sorted(ARCHITECTURES))}")
        if self.execute is not None and self.horizon is not None and self.execute > self.horizon:
            raise ValueError(f"execute {self.execute} is more than the horizon {self.horizon}")
        return self

    @classmethod
    def of(cls, **values: Any) -> TrainOptions:
        """Checked options.

        Raises:
            SpecError: naming each argument that is wrong, and what is allowed.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            remedy = "`xrollout train --help` lists the arguments."
            raise from_validation(error, "arguments of", "training", remedy) from error
