"""The architectures that can be trained: each is a network, its loss and its way of making a chunk.

A new one is a subclass of ``ChunkModel`` and a line in ``ARCHITECTURES``; training, checkpoints and inference follow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.learning.networks import Normalizer, VelocityNet, mlp

Dim = Annotated[int, Field(ge=1, le=4096)]


class ModelConfig(BaseModel):
    """Sizes that every architecture needs. The bounds keep a damaged file from asking for all memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_dim: Dim
    action_dim: Dim
    horizon: Annotated[int, Field(ge=1, le=512)]
    width: Dim = 256
    depth: Annotated[int, Field(ge=1, le=16)] = 3


class FlowConfig(ModelConfig):
    """Sizes of the flow-matching policy."""

    steps: Annotated[int, Field(ge=1, le=100)] = Field(default=5, description="Euler steps from noise to chunk")


class MLPConfig(ModelConfig):
    """Sizes of the L1 baseline."""

    depth: Annotated[int, Field(ge=1, le=16)] = 2


class ChunkModel(nn.Module, ABC):
    """A network that maps a state to an action chunk; its normalization travels in its state dict."""

    name: ClassVar[str]
    loss_name: ClassVar[str]
    """What the loss is, with its unit, for the axis of a picture."""
    config_type: ClassVar[type[ModelConfig]]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.shape = config
        self.normalizer = Normalizer(config.state_dim, config.action_dim)

    @property
    @abstractmethod
    def config(self) -> ModelConfig:
        """What builds this model again."""

    @abstractmethod
    def loss(self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of each sample ``(B,)``.

        Args:
            state: normalized states ``(B, D)``.
            actions: normalized chunks ``(B, H, A)``.
            mask: ``(B, H)``, 1 where the row is real and 0 where it is padding.
            generator: the only source of randomness.
        """

    @abstractmethod
    def sample(self, state: Tensor, generator: torch.Generator) -> Tensor:
        """Normalized chunk ``(H, A)`` for one normalized state ``(D,)``; all randomness is ``generator``'s."""


def _masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``error (B, H, A)`` over the real rows of each sample, ``(B,)``."""
    return (error.mean(-1) * mask).sum(-1) / mask.sum(-1)


class FlowModel(ChunkModel):
    """Flow matching on action chunks along straight paths, Euler steps (Lipman et al. 2023, arXiv:2210.02747)."""

    name = "flow"
    loss_name = "flow-matching loss (normalized actions)"
    config_type = FlowConfig

    times: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)
        self._config = config
        self.net = VelocityNet(config.state_dim, config.horizon * config.action_dim, config.width, config.depth)
        self.register_buffer("times", torch.arange(config.steps).view(-1, 1, 1) / config.steps, persistent=False)

    @property
    def config(self) -> FlowConfig:
        return self._config

    def loss(self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(actions.shape, generator=generator)
        time = torch.rand(len(state), 1, generator=generator)
        target = actions - noise
        noisy = noise + time.unsqueeze(-1) * target
        velocity = self.net(state, noisy.flatten(1), time).view_as(actions)
        return _masked_mean((velocity - target).square(), mask)

    def sample(self, state: Tensor, generator: torch.Generator) -> Tensor:
        config = self._config
        chunk = torch.randn(1, config.horizon * config.action_dim, generator=generator)
        row = state.view(1, -1)
        for time in self.times:
            chunk = chunk + self.net(row, chunk, time) / config.steps
        return chunk.view(config.horizon, config.action_dim)


class MLPModel(ChunkModel):
    """Regression of the chunk with an L1 loss: the baseline."""

    name = "mlp"
    loss_name = "L1 loss (normalized actions)"
    config_type = MLPConfig

    def __init__(self, config: MLPConfig) -> None:
        super().__init__(config)
        self._config = config
        self.net = mlp(config.state_dim, config.width, config.depth, config.horizon * config.action_dim)

    @property
    def config(self) -> MLPConfig:
        return self._config

    def loss(self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        return _masked_mean((self.net(state).view_as(actions) - actions).abs(), mask)

    def sample(self, state: Tensor, generator: torch.Generator) -> Tensor:
        chunk: Tensor = self.net(state.view(1, -1))
        return chunk.view(self._config.horizon, self._config.action_dim)


ARCHITECTURES: dict[str, type[ChunkModel]] = {model.name: model for model in (FlowModel, MLPModel)}


def build_model(name: str, config: Mapping[str, Any], origin: str = "arguments") -> ChunkModel:
    """The model of architecture ``name``, with fresh weights from torch's global generator.

    Raises:
        SpecError: the architecture is unknown, or a size is missing or out of range.
    """
    if name not in ARCHITECTURES:
        raise SpecError(f"unknown policy architecture {name!r}", f"Known are {', '.join(sorted(ARCHITECTURES))}.")
    model_type = ARCHITECTURES[name]
    try:
        checked = model_type.config_type.model_validate(dict(config))
    except ValidationError as error:
        raise from_validation(error, f"configuration of policy {name!r} in", origin, "Mend these values.") from error
    return model_type(checked)
