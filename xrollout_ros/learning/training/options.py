"""Arguments of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xrollout_ros.core.errors import from_validation
from xrollout_ros.learning.augment.spec import AugmentSpec
from xrollout_ros.learning.dataset import Include
from xrollout_ros.learning.models import ARCHITECTURES
from xrollout_ros.learning.training.curriculum import Order
from xrollout_ros.learning.training.replay import REPLAYS, Weighted
from xrollout_ros.learning.training.weights import Scheme

DEFAULT_POLICY = "flow"
DEFAULT_HORIZON = 8
DEFAULT_STEPS = 20_000
MIN_EPOCHS = 50

Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]


class TrainOptions(BaseModel):
    """Arguments of a training run. Where a default is None, the base model or the data decide."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path = Field(description="data folder with bags, or a dataset such as a level of a pyramid")
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
    dropout: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = Field(
        default=None, description="share of hidden units that are left out at each step; the base model's, or 0"
    )
    cameras: tuple[str, ...] = Field(default=(), description="cameras that the policy sees, beside the state")
    weights: Scheme = Field(default="sirius", description="how interventions weigh beside the rest")
    augment: AugmentSpec | None = Field(default=None, description="how data are varied; the dataset's recipe says it")
    replay: str = Field(default=Weighted.name, description="which windows are drawn, and how often")
    curriculum: Order = Field(default="none", description="what comes first and what fades in")
    up_weight: dict[str, Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]] = Field(
        default_factory=dict, description="factor on the weight of episodes of a failure mode"
    )
    patience: Annotated[int, Field(ge=0)] = Field(
        default=0, description="epochs without a better validation loss after which training stops; 0: it never does"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="bf16: mixed precision; auto: that on a GPU which can, else fp32"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where it is trained")
    restart: bool = Field(default=False, description="do not go on with an interrupted training: begin anew")

    @model_validator(mode="after")
    def _check(self) -> TrainOptions:
        if self.policy is not None and self.policy not in ARCHITECTURES:
            raise ValueError(f"unknown policy {self.policy!r}; known are {', '.join(sorted(ARCHITECTURES))}")
        if self.replay not in REPLAYS:
            raise ValueError(f"unknown replay {self.replay!r}; known are {', '.join(sorted(REPLAYS))}")
        if self.patience and not self.held_out:
            raise ValueError(f"patience {self.patience} needs held-out episodes: held_out is 0")
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
