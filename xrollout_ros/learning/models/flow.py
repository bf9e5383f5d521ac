"""Flow matching: noise is turned into a chunk along straight paths."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor

from xrollout_ros.core.ports import Conditioning
from xrollout_ros.learning.models.base import ChunkModel, ModelConfig, masked_mean
from xrollout_ros.learning.models.networks import VelocityNet
from xrollout_ros.learning.models.prefix import Given, draw_lengths, guidance_gain, soft_weights

LOSS_DRAWS = 4
"""Noises and times at which a chunk's own loss is taken."""


class FlowConfig(ModelConfig):
    """Sizes of the flow-matching policy."""

    steps: Annotated[int, Field(ge=1, le=100)] = Field(default=5, description="Euler steps from noise to chunk")
    max_prefix: Annotated[int, Field(ge=0, le=511)] = Field(
        default=0, description="most leading rows that it was trained to go on from; 0: trained without"
    )
    skip: bool = Field(default=False, description="the noisy chunk has a way past the body, which a long chunk needs")

    @model_validator(mode="after")
    def _check(self) -> FlowConfig:
        if self.max_prefix >= self.horizon:
            raise ValueError(f"max_prefix {self.max_prefix} must be less than the horizon {self.horizon}")
        return self


class FlowModel(ChunkModel):
    """Flow matching on action chunks along straight paths, Euler steps (Lipman et al. 2023, arXiv:2210.02747).

    Real-time chunking: with ``max_prefix`` it is trained to go on from given rows, which it sees without noise and
    flagged (Black et al. 2025, arXiv:2512.05964). Without, sampling is guided towards them (arXiv:2506.07339).
    """

    name = "flow"
    loss_name = "flow-matching loss (normalized actions)"
    config_type = FlowConfig
    detectors = ("policy_loss",)
    samples_noise = True

    times: Tensor
    loss_noise: Tensor
    loss_times: Tensor
    loss_start: Tensor
    loss_flags: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)
        self._config = config
        flags = config.horizon if config.max_prefix else 0
        chunk_dim = config.horizon * config.action_dim
        self.net = VelocityNet(
            self.context_dim, chunk_dim, config.width, config.depth, flags, skip=config.skip, dropout=config.dropout
        )
        self.register_buffer("times", torch.arange(config.steps).view(-1, 1, 1) / config.steps, persistent=False)
        noise = torch.randn(LOSS_DRAWS, chunk_dim, generator=torch.Generator().manual_seed(0))
        self.register_buffer("loss_noise", noise, persistent=False)
        times = (torch.arange(LOSS_DRAWS).view(-1, 1) + 0.5) / LOSS_DRAWS
        self.register_buffer("loss_times", times, persistent=False)
        self.register_buffer("loss_start", (1 - times) * noise, persistent=False)
        self.register_buffer("loss_flags", torch.zeros(LOSS_DRAWS, flags), persistent=False)

    @property
    def config(self) -> FlowConfig:
        return self._config

    @property
    def conditioning(self) -> Conditioning:
        return "prefix" if self._config.max_prefix else "guidance"

    @property
    def max_prefix(self) -> int:
        return self._config.max_prefix or self._config.horizon

    def _loss(self, context: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(actions.shape, generator=generator).to(actions.device)
        time = torch.rand(len(actions), 1, generator=generator).to(actions.device)
        target = actions - noise
        noisy = noise + time.unsqueeze(-1) * target
        flags = None
        if self._config.max_prefix:
            lengths = draw_lengths(len(actions), self._config.max_prefix, generator)
            given = (torch.arange(self._config.horizon) < lengths).to(actions.device)
            noisy = torch.where(given.unsqueeze(-1), actions, noisy)
            mask, flags = mask * ~given, given.to(context.dtype)
        velocity = self.net(context, noisy.flatten(1), time, flags).view_as(actions)
        return masked_mean((velocity - target).square(), mask)

    def _chunks(
        self, context: Tensor, generator: torch.Generator, given: Given | None
    ) -> tuple[Tensor, dict[str, float]]:
        config = self._config
        noise = torch.randn(1, config.horizon * config.action_dim, generator=generator)
        chunk = (self.temperature * noise).to(context.device)
        chunk = chunk.repeat(len(context), 1)
        if config.max_prefix:
            chunk = self._continued(context, chunk, given)
        elif given is not None:
            chunk = self._guided(context, chunk, given)
        else:
            for time in self.times:
                chunk = chunk + self._velocity(context, chunk, time) / config.steps
        chunks = chunk.view(-1, config.horizon, config.action_dim)
        if given is not None:
            chunks[:, : given.frozen] = given.actions[: given.frozen]
        return chunks, {}

    def _velocity(self, context: Tensor, chunk: Tensor, time: Tensor, flags: Tensor | None = None) -> Tensor:
        """Velocities ``(B, H·A)`` at one time ``(1, 1)``, with one set of flags ``(1, H)``."""
        rows = len(context)
        velocity: Tensor = self.net(
            context, chunk, time.expand(rows, 1), None if flags is None else flags.expand(rows, -1)
        )
        return velocity

    def _continued(self, context: Tensor, chunk: Tensor, given: Given | None) -> Tensor:
        """From noise ``(B, H·A)`` to chunks, the given rows kept as they are throughout."""
        config, frozen = self._config, 0 if given is None else given.frozen
        flags = torch.zeros(1, config.horizon, device=context.device)
        flags[:, :frozen] = 1
        fixed = frozen * config.action_dim
        for time in self.times:
            if given is not None:
                chunk[:, :fixed] = given.actions[:frozen].flatten()
            chunk = chunk + self._velocity(context, chunk, time, flags) / config.steps
        return chunk

    def _guided(self, context: Tensor, chunk: Tensor, given: Given) -> Tensor:
        """From noise ``(B, H·A)`` to chunks, each step pulled towards the given rows by the gradient of its error."""
        config = self._config
        target = torch.zeros(config.horizon, config.action_dim, device=context.device)
        rows = min(len(given.actions), config.horizon)
        target[:rows] = given.actions[:rows]
        weights = soft_weights(config.horizon, rows, given.frozen).to(context.device)
        weights = weights.repeat_interleave(config.action_dim)
        for step, time in enumerate(self.times):
            at = step / config.steps
            with torch.enable_grad():
                noisy = chunk.detach().requires_grad_()
                velocity = self._velocity(context, noisy, time)
                clean = noisy + (1 - at) * velocity
                error = weights * (target.view(1, -1) - clean.detach())
                [pull] = torch.autograd.grad(clean, noisy, error)
            chunk = noisy.detach() + (velocity.detach() + guidance_gain(at) * pull) / config.steps
        return chunk

    def _doubts(self, context: Tensor, chunk: Tensor, given: Given | None) -> dict[str, float]:
        """The loss that its own chunk has, mean over noises and times that are always the same.

        After Lee et al. 2024 (Diff-DAgger, arXiv:2410.14868), who take the loss of a diffusion policy.
        """
        config = self._config
        clean = chunk.reshape(1, -1)
        noisy, flags, fixed = torch.addcmul(self.loss_start, self.loss_times, clean), None, 0
        if config.max_prefix:
            flags = self.loss_flags
            if given is not None:
                fixed = given.frozen * config.action_dim
                noisy[:, :fixed] = clean[:, :fixed]
                flags = flags.clone()
                flags[:, : given.frozen] = 1
        wrong = self.net(context.expand(LOSS_DRAWS, -1), noisy, self.loss_times, flags)
        wrong = wrong.add_(self.loss_noise).sub_(clean)
        return {"policy_loss": float(wrong[:, fixed:].square().mean() if fixed else wrong.square_().mean())}
