"""What real-time chunking needs of a flow: rows that are given, in training and while sampling."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_GAIN = 5.0
"""As in arXiv:2506.07339, which found it enough for 5 Euler steps; more makes few steps diverge."""
UNCONDITIONED = 0.5
"""Share of the training samples without a prefix: as a chunk is made at the start, and where there is no delay."""


class Given(NamedTuple):
    """Rows that a chunk goes on from."""

    actions: Tensor
    """``(R, A)`` normalized, what is left of the chunk in play."""
    frozen: int
    """Leading rows that will have been played: the chunk must have these, and should keep to the others."""


def draw_lengths(count: int, most: int, generator: torch.Generator) -> Tensor:
    """Prefix lengths for training, ``(count, 1)``: 0 for half of the samples, otherwise 1 to ``most``, uniformly."""
    lengths = torch.randint(1, most + 1, (count, 1), generator=generator)
    return torch.where(torch.rand(count, 1, generator=generator) < UNCONDITIONED, 0, lengths)


def soft_weights(horizon: int, rows: int, frozen: int) -> Tensor:
    """How much each row ``(H,)`` of a chunk is held to what is given: 1 where frozen, 0 where nothing is given.

    Between, the weights fall off exponentially (equation 5 of arXiv:2506.07339).
    """
    place = torch.arange(horizon, dtype=torch.float32)
    fall = (rows - place) / (rows - frozen + 1)
    weights = fall * torch.expm1(fall) / (math.e - 1)
    return torch.where(place < frozen, 1.0, torch.where(place < rows, weights, 0.0))


def guidance_gain(time: float) -> float:
    """Weight of the guidance at flow time ``time`` in [0, 1), from 0 at the noise (equation 2 of arXiv:2506.07339)."""
    if time <= 0:
        return LARGEST_GAIN
    return min(LARGEST_GAIN, (time**2 + (1 - time) ** 2) / (time * (1 - time)))
