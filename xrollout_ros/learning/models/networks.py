"""The networks and the normalization that the policies are made of; plain torch, no robot in sight."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

LEAST_SCALE = 1e-3
"""Keeps the scale of what never varied from being 0."""


def dropping(share: float) -> nn.Module:
    """Dropout of this share; without one nothing, which costs nothing. Neither has weights."""
    return nn.Dropout(share) if share > 0 else nn.Identity()


def mlp(inputs: int, width: int, depth: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """``depth`` hidden layers of ``width`` units with SiLU between, and a linear output.

    Weights have the same names with and without dropout.
    """
    layers: list[nn.Module] = []
    size = inputs
    for _ in range(depth):
        between = nn.Sequential(nn.SiLU(), nn.Dropout(dropout)) if dropout > 0 else nn.SiLU()
        layers += [nn.Linear(size, width), between]
        size = width
    layers.append(nn.Linear(size, outputs))
    return nn.Sequential(*layers)


class VelocityNet(nn.Module):
    """Velocity of a flow from noise to an action chunk, given the state and the flow's time.

    The time enters as sine and cosine of octaves, as in Vaswani et al. 2017 (arXiv:1706.03762).

    With a skip the velocity is the body's output plus the noisy chunk, times a learned function of the time,
    as in Karras et al. 2022 (arXiv:2206.00364, section 5). The velocity holds the whole noise, and for a long chunk (48
    rows of 4 values) that does not pass through a body of 256 units beside the state. A short chunk is better without.
    """

    frequencies: Tensor

    def __init__(
        self,
        state_dim: int,
        chunk_dim: int,
        width: int,
        depth: int,
        flags: int = 0,
        time_features: int = 16,
        *,
        skip: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        octaves = math.pi * 2.0 ** torch.arange(time_features // 2, dtype=torch.float32) / 2
        self.register_buffer("frequencies", octaves, persistent=False)
        self.body = mlp(state_dim + chunk_dim + 2 * len(octaves) + flags, width, depth, chunk_dim, dropout)
        self.skip = nn.Linear(2 * len(octaves), 1) if skip else None

    def forward(self, state: Tensor, noisy: Tensor, time: Tensor, flags: Tensor | None = None) -> Tensor:
        """Velocity ``(B, H·A)`` at ``noisy (B, H·A)`` for ``state (B, D)`` and ``time (B, 1)`` in [0, 1].

        ``flags (B, F)`` say which rows are given, where the network was made with them.
        """
        angle = time * self.frequencies
        sine, cosine = angle.sin(), angle.cos()
        parts = [state, noisy, sine, cosine] if flags is None else [state, noisy, sine, cosine, flags]
        out: Tensor = self.body(torch.cat(parts, dim=-1))
        return out if self.skip is None else out + self.skip(torch.cat([sine, cosine], dim=-1)) * noisy


class ParallelMLP(nn.Module):
    """Networks as ``mlp`` makes them, each with weights of its own, computed together."""

    def __init__(self, members: int, inputs: int, width: int, depth: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        nets = [mlp(inputs, width, depth, outputs) for _ in range(members)]
        layers = [[layer for layer in net if isinstance(layer, nn.Linear)] for net in nets]
        together = list(zip(*layers, strict=True))
        self.weights = nn.ParameterList([torch.stack([layer.weight.T for layer in each]) for each in together])
        self.biases = nn.ParameterList([torch.stack([layer.bias[None] for layer in each]) for each in together])
        self.dropout = dropping(dropout)

    def forward(self, rows: Tensor) -> Tensor:
        """``(M, B, O)`` for ``(B, I)``."""
        values = rows.expand(len(self.weights[0]), *rows.shape)
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, self.dropout(nn.functional.silu(values)) if place else values, weight)
        return values


class Normalizer(nn.Module):
    """Centres and scales states, unit by unit, and actions to [-1, 1], by the training data's figures.

    State values of one unit share one scale. So a value that hardly varied in training (the quaternion of an object
    that lay still) is not blown up into noise at deployment, and a distance is a plain difference of two inputs.
    """

    state_mean: Tensor
    state_scale: Tensor
    action_low: Tensor
    action_high: Tensor

    def __init__(self, state_dim: int, action_dim: int) -> None:
        super().__init__()
        self.register_buffer("state_mean", torch.zeros(state_dim))
        self.register_buffer("state_scale", torch.ones(state_dim))
        self.register_buffer("action_low", -torch.ones(action_dim))
        self.register_buffer("action_high", torch.ones(action_dim))

    def fit(self, state: Tensor, action: Tensor, units: Sequence[str]) -> None:
        """Take the figures of ``state (N, D)``, whose values have these ``units``, and of ``action (N, A)``."""
        self.state_mean.copy_(state.mean(0))
        variance = state.var(0, unbiased=False)
        for unit in set(units):
            index = [place for place, other in enumerate(units) if other == unit]
            self.state_scale[index] = variance[index].mean().sqrt().clamp_min(LEAST_SCALE)
        low, high = action.amin(0), action.amax(0)
        middle, half = (low + high) / 2, ((high - low) / 2).clamp_min(LEAST_SCALE)
        self.action_low.copy_(middle - half)
        self.action_high.copy_(middle + half)

    def state(self, state: Tensor) -> Tensor:
        """Normalized ``(…, D)``."""
        return (state - self.state_mean) / self.state_scale

    def action(self, action: Tensor) -> Tensor:
        """Normalized ``(…, A)``."""
        return 2 * (action - self.action_low) / (self.action_high - self.action_low) - 1

    def action_back(self, normalized: Tensor) -> Tensor:
        """Actions ``(…, A)`` in the robot's units."""
        return self.action_low + (normalized + 1) / 2 * (self.action_high - self.action_low)
