"""The architectures that can be trained: each is a network, its loss and its way of making a chunk.

A new one is a subclass of ``ChunkModel`` and a line in ``ARCHITECTURES``; training, checkpoints and inference follow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.core.ports import Conditioning
from xrollout_ros.learning.networks import Normalizer, ParallelMLP, VelocityNet, mlp
from xrollout_ros.learning.prefix import Given, draw_lengths, guidance_gain, soft_weights

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
    max_prefix: Annotated[int, Field(ge=0, le=511)] = Field(
        default=0, description="most leading rows that it was trained to go on from; 0: trained without"
    )
    skip: bool = Field(default=False, description="the noisy chunk has a way past the body, which a long chunk needs")

    @model_validator(mode="after")
    def _check(self) -> FlowConfig:
        if self.max_prefix >= self.horizon:
            raise ValueError(f"max_prefix {self.max_prefix} must be less than the horizon {self.horizon}")
        return self


class MLPConfig(ModelConfig):
    """Sizes of the L1 baseline."""

    depth: Annotated[int, Field(ge=1, le=16)] = 2


class EnsembleConfig(MLPConfig):
    """Sizes of the ensemble, each member as large as the baseline."""

    members: Annotated[int, Field(ge=2, le=32)] = 5


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


def _masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``error (B, H, A)`` over the rows of each sample where ``mask`` is 1, ``(B,)``; 0 where none is."""
    return (error.mean(-1) * mask).sum(-1) / mask.sum(-1).clamp_min(1)


class FlowModel(ChunkModel):
    """Flow matching on action chunks along straight paths, Euler steps (Lipman et al. 2023, arXiv:2210.02747).

    Real-time chunking: with ``max_prefix`` it is trained to go on from given rows, which it sees without noise and
    flagged (Black et al. 2025, arXiv:2512.05964). Without, sampling is guided towards them (arXiv:2506.07339).
    """

    name = "flow"
    loss_name = "flow-matching loss (normalized actions)"
    config_type = FlowConfig

    times: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)
        self._config = config
        flags = config.horizon if config.max_prefix else 0
        chunk_dim = config.horizon * config.action_dim
        self.net = VelocityNet(config.state_dim, chunk_dim, config.width, config.depth, flags, skip=config.skip)
        self.register_buffer("times", torch.arange(config.steps).view(-1, 1, 1) / config.steps, persistent=False)

    @property
    def config(self) -> FlowConfig:
        return self._config

    @property
    def conditioning(self) -> Conditioning:
        return "prefix" if self._config.max_prefix else "guidance"

    @property
    def max_prefix(self) -> int:
        return self._config.max_prefix or self._config.horizon

    def loss(self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(actions.shape, generator=generator)
        time = torch.rand(len(state), 1, generator=generator)
        target = actions - noise
        noisy = noise + time.unsqueeze(-1) * target
        flags = None
        if self._config.max_prefix:
            lengths = draw_lengths(len(state), self._config.max_prefix, generator)
            given = torch.arange(self._config.horizon) < lengths
            noisy = torch.where(given.unsqueeze(-1), actions, noisy)
            mask, flags = mask * ~given, given.to(state.dtype)
        velocity = self.net(state, noisy.flatten(1), time, flags).view_as(actions)
        return _masked_mean((velocity - target).square(), mask)

    def sample(
        self, state: Tensor, generator: torch.Generator, given: Given | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        config = self._config
        chunk = torch.randn(1, config.horizon * config.action_dim, generator=generator).to(state.device)
        row = state.view(1, -1)
        if config.max_prefix:
            chunk = self._continued(row, chunk, given)
        elif given is not None:
            chunk = self._guided(row, chunk, given)
        else:
            for time in self.times:
                chunk = chunk + self.net(row, chunk, time) / config.steps
        chunk = chunk.view(config.horizon, config.action_dim)
        if given is not None:
            chunk[: given.frozen] = given.actions[: given.frozen]
        return chunk, {}

    def _continued(self, row: Tensor, chunk: Tensor, given: Given | None) -> Tensor:
        """From noise ``(1, H·A)`` to a chunk, the given rows kept as they are throughout."""
        config, frozen = self._config, 0 if given is None else given.frozen
        flags = torch.zeros(1, config.horizon, device=row.device)
        flags[:, :frozen] = 1
        fixed = frozen * config.action_dim
        for time in self.times:
            if given is not None:
                chunk[0, :fixed] = given.actions[:frozen].flatten()
            chunk = chunk + self.net(row, chunk, time, flags) / config.steps
        return chunk

    def _guided(self, row: Tensor, chunk: Tensor, given: Given) -> Tensor:
        """From noise ``(1, H·A)`` to a chunk, each step pulled towards the given rows by the gradient of its error."""
        config = self._config
        target = torch.zeros(config.horizon, config.action_dim, device=row.device)
        rows = min(len(given.actions), config.horizon)
        target[:rows] = given.actions[:rows]
        weights = soft_weights(config.horizon, rows, given.frozen).to(row.device)
        weights = weights.repeat_interleave(config.action_dim)
        for step, time in enumerate(self.times):
            at = step / config.steps
            with torch.enable_grad():
                noisy = chunk.detach().requires_grad_()
                velocity = self.net(row, noisy, time)
                clean = noisy + (1 - at) * velocity
                error = weights * (target.view(1, -1) - clean.detach())
                [pull] = torch.autograd.grad(clean, noisy, error)
            chunk = noisy.detach() + (velocity.detach() + guidance_gain(at) * pull) / config.steps
        return chunk


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

    def sample(
        self, state: Tensor, generator: torch.Generator, given: Given | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        chunk: Tensor = self.net(state.view(1, -1))
        return chunk.view(self._config.horizon, self._config.action_dim), {}


class EnsembleModel(ChunkModel):
    """Baselines that differ in their first weights alone; their mean acts, and their variance is a detector's score."""

    name = "ensemble"
    loss_name = "L1 loss (normalized actions)"
    config_type = EnsembleConfig

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__(config)
        self._config = config
        self.net = ParallelMLP(
            config.members, config.state_dim, config.width, config.depth, config.horizon * config.action_dim
        )

    @property
    def config(self) -> EnsembleConfig:
        return self._config

    def loss(self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        chunks = self.net(state).view(self._config.members, *actions.shape)
        return _masked_mean((chunks - actions).abs().mean(0), mask)

    def sample(
        self, state: Tensor, generator: torch.Generator, given: Given | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        chunks = self.net(state.view(1, -1)).view(-1, self._config.horizon, self._config.action_dim)
        return chunks.mean(0), {"ensemble_variance": float(chunks.var(0, unbiased=False).mean())}


ARCHITECTURES: dict[str, type[ChunkModel]] = {model.name: model for model in (FlowModel, MLPModel, EnsembleModel)}


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
