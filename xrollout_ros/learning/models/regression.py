"""Regression of the chunk, by one network or by several."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from xrollout_ros.learning.models.base import ChunkModel, ModelConfig, masked_mean
from xrollout_ros.learning.models.networks import ParallelMLP, mlp
from xrollout_ros.learning.models.prefix import Given


class MLPConfig(ModelConfig):
    """Sizes of the L1 baseline."""

    depth: Annotated[int, Field(ge=1, le=16)] = 2


class EnsembleConfig(MLPConfig):
    """Sizes of the ensemble, each member as large as the baseline."""

    members: Annotated[int, Field(ge=2, le=32)] = 5


class MLPModel(ChunkModel):
    """Regression of the chunk with an L1 loss: the baseline."""

    name = "mlp"
    loss_name = "L1 loss (normalized actions)"
    config_type = MLPConfig

    def __init__(self, config: MLPConfig) -> None:
        super().__init__(config)
        self._config = config
        self.net = mlp(self.context_dim, config.width, config.depth, config.horizon * config.action_dim, config.dropout)

    @property
    def config(self) -> MLPConfig:
        return self._config

    def _loss(self, context: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        return masked_mean((self.net(context).view_as(actions) - actions).abs(), mask)

    def _chunks(
        self, context: Tensor, generator: torch.Generator, given: Given | None
    ) -> tuple[Tensor, dict[str, float]]:
        chunks: Tensor = self.net(context)
        return chunks.view(-1, self._config.horizon, self._config.action_dim), {}


class EnsembleModel(ChunkModel):
    """Baselines that differ in their first weights alone; their mean acts, and their variance is a detector's score."""

    name = "ensemble"
    loss_name = "L1 loss (normalized actions)"
    config_type = EnsembleConfig
    detectors = ("ensemble_variance",)

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__(config)
        self._config = config
        self.net = ParallelMLP(
            config.members,
            self.context_dim,
            config.width,
            config.depth,
            config.horizon * config.action_dim,
            config.dropout,
        )

    @property
    def config(self) -> EnsembleConfig:
        return self._config

    def _loss(self, context: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        chunks = self.net(context).view(self._config.members, *actions.shape)
        return masked_mean((chunks - actions).abs().mean(0), mask)

    def _chunks(
        self, context: Tensor, generator: torch.Generator, given: Given | None
    ) -> tuple[Tensor, dict[str, float]]:
        config = self._config
        chunks = self.net(context).view(config.members, -1, config.horizon, config.action_dim)
        return chunks.mean(0), {"ensemble_variance": float(chunks.var(0, unbiased=False).mean())}
