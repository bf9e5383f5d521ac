"""What every architecture is: a network, its loss and its way of making a chunk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from xrollout_ros.core.ports import Conditioning
from xrollout_ros.learning.networks import Normalizer
from xrollout_ros.learning.prefix import Given

Dim = Annotated[int, Field(ge=1, le=4096)]


class ModelConfig(BaseModel):
    """Sizes that every architecture needs. The bounds keep a damaged file from asking for all memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_dim: Dim
    action_dim: Dim
    horizon: Annotated[int, Field(ge=1, le=512)]
    width: Dim = 256
    depth: Annotated[int, Field(ge=1, le=16)] = 3


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

    @property
    def conditioning(self) -> Conditioning:
        """How ``sample`` makes a chunk go on from given rows."""
        return "none"

    @property
    def max_prefix(self) -> int:
        """Most rows that can be given."""
        return 0

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
    def sample(
        self, state: Tensor, generator: torch.Generator, given: Given | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Normalized chunk ``(H, A)`` for one normalized state ``(D,)``, and the model's detector scores.

        Args:
            state: on the model's device.
            generator: the only source of randomness, on the CPU.
            given: rows to go on from, for a model whose ``conditioning`` is not "none".
        """


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``error (B, H, A)`` over the rows of each sample where ``mask`` is 1, ``(B,)``; 0 where none is."""
    return (error.mean(-1) * mask).sum(-1) / mask.sum(-1).clamp_min(1)
