"""ACT: a transformer whose queries are the rows of the chunk, trained as a conditional variational autoencoder."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from xrollout_ros.learning.models.base import ChunkModel, Dim, ModelConfig, masked_mean
from xrollout_ros.learning.models.prefix import Given
from xrollout_ros.learning.models.transformer import Decoder, Encoder, places


class ACTConfig(ModelConfig):
    """Sizes of ACT, whose ``width`` is that of its tokens, and ``depth`` the layers of each encoder and decoder."""

    width: Dim = 64
    depth: Annotated[int, Field(ge=1, le=16)] = 2
    heads: Annotated[int, Field(ge=1, le=64)] = 4
    feed_forward: Dim = Field(default=256, description="hidden units of a layer")
    latent: Annotated[int, Field(ge=1, le=512)] = Field(default=16, description="values of the style variable")
    kl_weight: Annotated[float, Field(ge=0, le=1e4, allow_inf_nan=False)] = Field(
        default=10.0, description="of the divergence from the prior; larger: the style tells less about the chunk"
    )

    @model_validator(mode="after")
    def _check(self) -> ACTConfig:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of heads {self.heads}")
        return self


class Posterior(nn.Module):
    """The style of a chunk: what it is, beyond what the state tells. Needed in training alone."""

    places: Tensor

    def __init__(self, config: ACTConfig) -> None:
        super().__init__()
        width = config.width
        self.summary = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.state = nn.Linear(config.state_dim, width)
        self.action = nn.Linear(config.action_dim, width)
        self.encoder = Encoder(config.depth, width, config.heads, config.feed_forward, config.dropout)
        self.out = nn.Linear(width, 2 * config.latent)
        # It begins as the prior; otherwise the first epochs do nothing but pull it there.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("places", places(config.horizon + 2, width), persistent=False)

    def forward(self, state: Tensor, actions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``(B, L)`` of the style of chunks ``(B, H, A)`` whose real rows are 1 in ``mask``."""
        rows = len(state)
        tokens = [self.summary.expand(rows, -1, -1), self.state(state)[:, None], self.action(actions)]
        real = torch.cat([mask.new_ones(rows, 2), mask], dim=1) > 0
        seen = self.encoder(torch.cat(tokens, dim=1) + self.places, real, wanted=1)
        # Float32 in mixed precision, too: the divergence is a small difference.
        mean, log_variance = self.out(seen[:, 0]).float().chunk(2, dim=-1)
        return mean, log_variance


class ACTModel(ChunkModel):
    """Action chunking with transformers (Zhao et al. 2023, arXiv:2304.13705).

    In training an encoder makes a style variable of the state and the chunk; the policy must make the chunk again from
    state, images and style: L1 loss, plus the divergence of the style from a standard normal distribution. The policy
    acts with the style 0, the mean of that. State, style and each camera are one token of the policy's encoder; the
    paper makes one of each place in the image, of which a small network on a CPU would have too many.
    """

    name = "act"
    loss_name = "L1 loss + KL (normalized actions)"
    config_type = ACTConfig

    def __init__(self, config: ACTConfig) -> None:
        super().__init__(config)
        self._config = config
        width, cameras = config.width, len(config.cameras)
        self.posterior = Posterior(config)
        self.state = nn.Linear(config.state_dim, width)
        self.style = nn.Linear(config.latent, width)
        self.image = nn.Linear(config.image_features, width) if cameras else None
        self.kinds = nn.Parameter(torch.randn(2 + cameras, width) * 0.02)
        self.encoder = Encoder(config.depth, width, config.heads, config.feed_forward, config.dropout)
        self.queries = nn.Parameter(torch.randn(config.horizon, width))
        self.decoder = Decoder(config.depth, width, config.heads, config.feed_forward, config.dropout)
        self.out = nn.Linear(width, config.action_dim)

    @property
    def config(self) -> ACTConfig:
        return self._config

    def _loss(self, context: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        mean, log_variance = self.posterior(context[:, : self._config.state_dim], actions, mask)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        error = (self._act(context, mean + (log_variance / 2).exp() * noise) - actions).abs()
        divergence: Tensor = (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1) / 2
        return masked_mean(error, mask) + self._config.kl_weight * divergence

    def _chunks(
        self, context: Tensor, generator: torch.Generator, given: Given | None
    ) -> tuple[Tensor, dict[str, float]]:
        return self._act(context, context.new_zeros(len(context), self._config.latent)), {}

    def _act(self, context: Tensor, style: Tensor) -> Tensor:
        """Chunks ``(B, H, A)`` of contexts ``(B, C)`` and styles ``(B, L)``."""
        config = self._config
        state, images = context[:, : config.state_dim], context[:, config.state_dim :]
        tokens = [self.state(state)[:, None], self.style(style)[:, None]]
        if self.image is not None:
            tokens.append(self.image(images.reshape(len(images), -1, config.image_features)))
        memory = self.encoder(torch.cat(tokens, dim=1) + self.kinds)
        chunks: Tensor = self.out(self.decoder(self.queries[None], memory))
        return chunks
