"""Transformer layers (Vaswani et al. 2017, arXiv:1706.03762) that normalize before each part.

So they learn without a long warm-up (Xiong et al. 2020, arXiv:2002.04745). All their dropout is in layers, which
``ChunkModel.dropout_on`` finds; torch's own encoder has a fast path at inference that leaves it out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xrollout_ros.learning.models.networks import dropping


class Attention(nn.Module):
    """Multi-head attention, with the softmax over a dimension that is not the last.

    Torch computes that three times as fast where keys are few: on a CPU and with 10 tokens, softmax is what attention
    takes most of its time for.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, rows: Tensor, memory: Tensor, real: Tensor | None = None) -> Tensor:
        """``(B, Q, W)`` for ``rows (B, Q, W)`` that look at ``memory (B, K, W)``, where ``real (B, K)`` if given."""
        query = self._split(self.query(rows))
        key, value = map(self._split, self.key_value(memory).chunk(2, dim=-1))
        fit = key @ (query * query.shape[-1] ** -0.5).transpose(-1, -2)
        if real is not None:
            fit = fit.masked_fill(~real[:, None, :, None], -torch.inf)
        seen = torch.softmax(fit, dim=-2).transpose(-1, -2) @ value
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out

    def _split(self, rows: Tensor) -> Tensor:
        """``(B, heads, T, W / heads)``."""
        return rows.view(*rows.shape[:2], self._heads, -1).transpose(1, 2)


def feed_forward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """The part of a layer that looks at each row by itself."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), dropping(dropout), nn.Linear(hidden, width))


class EncoderLayer(nn.Module):
    """Rows look at each other."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.attention = Attention(width, heads)
        self.feed_forward = feed_forward(width, hidden, dropout)
        self.dropout = dropping(dropout)

    def forward(self, rows: Tensor, real: Tensor | None, wanted: int | None = None) -> Tensor:
        """``(B, T, W)``, or the first rows of that, if those alone are wanted."""
        normed = self.norms[0](rows)
        rows = rows[:, :wanted] + self.dropout(self.attention(normed[:, :wanted], normed, real))
        out: Tensor = rows + self.dropout(self.feed_forward(self.norms[1](rows)))
        return out


class DecoderLayer(nn.Module):
    """Rows look at each other, then at a memory."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.own = Attention(width, heads)
        self.cross = Attention(width, heads)
        self.feed_forward = feed_forward(width, hidden, dropout)
        self.dropout = dropping(dropout)

    def forward(self, rows: Tensor, memory: Tensor) -> Tensor:
        """``(B, T, W)`` for ``rows (B, T, W)``, or the same ``(1, T, W)`` for all, and ``memory (B, M, W)``."""
        normed = self.norms[0](rows)
        rows = rows + self.dropout(self.own(normed, normed))
        rows = rows + self.dropout(self.cross(self.norms[1](rows), memory))
        out: Tensor = rows + self.dropout(self.feed_forward(self.norms[2](rows)))
        return out


class Encoder(nn.Module):
    """Encoder layers and a last normalization."""

    def __init__(self, layers: int, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([EncoderLayer(width, heads, hidden, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: Tensor, real: Tensor | None = None, wanted: int | None = None) -> Tensor:
        """``(B, T, W)``, or its first rows, if those alone are wanted; what is not ``real (B, T)`` is not looked at."""
        for layer in self.layers[:-1]:
            rows = layer(rows, real)
        rows = self.layers[-1](rows, real, wanted)
        out: Tensor = self.norm(rows)
        return out


class Decoder(nn.Module):
    """Decoder layers and a last normalization."""

    def __init__(self, layers: int, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderLayer(width, heads, hidden, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: Tensor, memory: Tensor) -> Tensor:
        """``(B, T, W)`` for ``rows (B, T, W)``, or the same ``(1, T, W)`` for all, and ``memory (B, M, W)``."""
        for layer in self.layers:
            rows = layer(rows, memory)
        out: Tensor = self.norm(rows)
        return out


def places(count: int, width: int) -> Tensor:
    """Sines and cosines ``(count, width)`` that tell a row its place; ``width`` is even."""
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(count)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
