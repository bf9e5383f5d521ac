"""What every architecture is: a network, its loss and its way of making a chunk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Conditioning
from xrollout_ros.learning.models.networks import Normalizer
from xrollout_ros.learning.models.prefix import Given
from xrollout_ros.learning.models.vision import Images, Vision

Dim = Annotated[int, Field(ge=1, le=4096)]
Side = Annotated[int, Field(ge=16, le=512)]


class ModelConfig(BaseModel):
    """Sizes that every architecture needs. The bounds keep a damaged file from asking for all memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_dim: Dim
    action_dim: Dim
    horizon: Annotated[int, Field(ge=1, le=512)]
    width: Dim = 256
    depth: Annotated[int, Field(ge=1, le=16)] = 3
    dropout: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = Field(
        default=0.0, description="share of hidden units, in training"
    )
    cameras: Annotated[dict[str, tuple[Side, Side]], Field(max_length=8)] = Field(
        default={}, description="height and width of each camera's images, as the network sees them"
    )
    image_features: Dim = Field(default=64, description="that each camera's images become")


class ChunkModel(nn.Module, ABC):
    """A network that maps a state, and images where it has cameras, to an action chunk.

    Its normalization travels in its state dict. Inside, what the chunk depends on is one *context* ``(B, C)``: the
    normalized state and the features of the images.
    """

    name: ClassVar[str]
    loss_name: ClassVar[str]
    """What the loss is, with its unit, for the axis of a picture."""
    config_type: ClassVar[type[ModelConfig]]
    detectors: ClassVar[tuple[str, ...]] = ()
    """Names of the scores that ``sample`` gives."""
    samples_noise: ClassVar[bool] = False
    """Whether a chunk depends on noise, which ``temperature`` scales."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.shape = config
        self.temperature = 1.0
        """Standard deviation of the noise that a chunk is made from; the one of training is 1."""
        self.normalizer = Normalizer(config.state_dim, config.action_dim)
        self.vision = Vision(config.cameras, config.image_features) if config.cameras else None

    @property
    @abstractmethod
    def config(self) -> ModelConfig:
        """What builds this model again."""

    @property
    def context_dim(self) -> int:
        """C, the length of the context."""
        return self.shape.state_dim + len(self.shape.cameras) * self.shape.image_features

    @property
    def conditioning(self) -> Conditioning:
        """How ``sample`` makes a chunk go on from given rows."""
        return "none"

    @property
    def max_prefix(self) -> int:
        """Most rows that can be given."""
        return 0

    def loss(
        self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator, images: Images | None = None
    ) -> Tensor:
        """Loss of each sample ``(B,)``.

        Args:
            state: normalized states ``(B, D)``.
            actions: normalized chunks ``(B, H, A)``.
            mask: ``(B, H)``, 1 where the row is real and 0 where it is padding.
            generator: the only source of randomness, on the CPU.
            images: ``(B, H, W, 3) uint8`` of each camera; a model without cameras looks at none.

        Raises:
            SpecError: a camera's images are missing, or of another size or type.
        """
        if not (self.training and self.shape.dropout > 0):
            return self._loss(self._context(state, images), actions, mask, generator)
        with _global_randomness(generator, state.device):
            return self._loss(self._context(state, images), actions, mask, generator)

    def sample(
        self,
        state: Tensor,
        generator: torch.Generator,
        given: Given | None = None,
        images: Images | None = None,
        *,
        doubts: bool = False,
    ) -> tuple[Tensor, dict[str, float]]:
        """Normalized chunk ``(H, A)`` for one normalized state ``(D,)``, and the model's detector scores.

        Args:
            state: on the model's device.
            generator: the only source of randomness, on the CPU.
            given: rows to go on from, for a model whose ``conditioning`` is not "none".
            images: ``(H, W, 3) uint8`` of each camera; a model without cameras looks at none.
            doubts: give those scores too that take a computation of their own.

        Raises:
            SpecError: a camera's image is missing, or of another size or type.
        """
        context = self._context(state[None], _batch(images))
        chunks, scores = self._chunks(context, generator, given)
        return chunks[0], scores | self._doubts(context, chunks[0], given) if doubts else scores

    def samples_with_dropout(
        self, state: Tensor, generator: torch.Generator, draws: int, images: Images | None = None
    ) -> Tensor:
        """Normalized chunks ``(N, H, A)`` for one normalized state ``(D,)``, which differ by dropout alone.

        They are computed as one batch. Monte Carlo dropout: their spread tells how unsure the network is
        (Gal and Ghahramani 2016, arXiv:1506.02142).

        Args:
            state: on the model's device.
            generator: the only source of randomness, on the CPU.
            draws: N.
            images: as for ``sample``.

        Raises:
            SpecError: the model has no dropout; or as ``sample``.
        """
        if self.shape.dropout == 0:
            raise SpecError(f"this {self.name} policy has no dropout to draw from", "Train it with dropout, e.g. 0.1.")
        context = self._context(state[None], _batch(images)).expand(draws, -1)
        with self.dropout_on(), _global_randomness(generator, state.device):
            return self._chunks(context, generator, None)[0]

    @contextmanager
    def dropout_on(self) -> Iterator[None]:
        """Inside, dropout drops as in training, from torch's global generator; all else stays as it is."""
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Dropout)]
        before = [layer.training for layer in layers]
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer, mode in zip(layers, before, strict=True):
                layer.train(mode)

    def _context(self, state: Tensor, images: Images | None) -> Tensor:
        """``(B, C)``, each camera's features behind the state."""
        return state if self.vision is None else torch.cat([state, self.vision(images).flatten(1)], dim=-1)

    @abstractmethod
    def _loss(self, context: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """As ``loss``, for contexts ``(B, C)``."""

    @abstractmethod
    def _chunks(
        self, context: Tensor, generator: torch.Generator, given: Given | None
    ) -> tuple[Tensor, dict[str, float]]:
        """Chunks ``(B, H, A)`` for contexts ``(B, C)``, all from the same noise and given rows, and scores."""

    def _doubts(self, context: Tensor, chunk: Tensor, given: Given | None) -> dict[str, float]:
        """Scores of a chunk ``(H, A)`` made for a context ``(1, C)`` that take a computation of their own."""
        return {}


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``error (B, H, A)`` over the rows of each sample where ``mask`` is 1, ``(B,)``; 0 where none is."""
    return (error.mean(-1) * mask).sum(-1) / mask.sum(-1).clamp_min(1)


def _batch(images: Images | None) -> Images | None:
    return None if images is None else {name: image[None] for name, image in images.items()}


@contextmanager
def _global_randomness(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generator, which dropout draws from, follows from ``generator``; outside it is unmoved."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield
