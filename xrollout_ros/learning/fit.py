"""The training loop: arrays in, weights out, the same bit for bit for the same seed on one machine."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from xrollout_ros.core.clock import Clock, SystemClock, seconds
from xrollout_ros.core.errors import TrainingDivergedError
from xrollout_ros.core.threads import one_thread
from xrollout_ros.learning.models import ChunkModel
from xrollout_ros.learning.windows import Windows

_VALIDATION_DRAWS = 4
"""Noise draws for each validation sample, the same ones in every epoch, so that the curve shows learning, not luck."""


@dataclass(frozen=True)
class Recipe:
    """How to fit."""

    epochs: int
    lr: float
    batch_size: int
    seed: int
    weight_decay: float
    warmup_steps: int
    ema: float
    state_noise: float
    gradient_norm: float = 1.0


@dataclass(frozen=True)
class Progress:
    """One epoch is done."""

    epoch: int
    """From 1."""
    epochs: int
    train_loss: float
    """Mean over the epoch, of the weights as they were while it ran."""
    val_loss: float | None
    """Of the averaged weights on the held-out episodes; None where none are held out."""
    samples_per_s: float
    elapsed_s: float


@dataclass(frozen=True)
class _Samples:
    """Normalized tensors of one set of windows."""

    state: Tensor
    actions: Tensor
    mask: Tensor

    @classmethod
    def of(cls, windows: Windows, model: ChunkModel) -> _Samples:
        with torch.no_grad():
            return cls(
                model.normalizer.state(torch.from_numpy(windows.state)),
                model.normalizer.action(torch.from_numpy(windows.actions)),
                torch.from_numpy(windows.mask),
            )


class _Average:
    """Exponential moving average of a model's weights; its memory grows with the steps taken, up to ``decay``."""

    def __init__(self, model: ChunkModel, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self._decay = decay
        self._mine: list[Tensor] = list(self.model.parameters())
        self._theirs: list[Tensor] = list(model.parameters())
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)


def _schedule(step: int, total: int, warmup: int) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to 0."""
    warmup = min(warmup, total // 10)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def fit(
    model: ChunkModel,
    train: Windows,
    held_out: Windows | None,
    recipe: Recipe,
    report: Callable[[Progress], None],
    clock: Clock | None = None,
) -> tuple[ChunkModel, list[Progress]]:
    """Train ``model`` (whose normalization is set) and return its averaged weights and the history.

    AdamW with decoupled weight decay (arXiv:1711.05101), linear warm-up and cosine decay, clipped gradients. ``model``
    itself keeps the last raw weights.

    Raises:
        TrainingDivergedError: the loss became infinite or not a number.
    """
    with one_thread():
        samples = _Samples.of(train, model)
        validation = _Samples.of(held_out, model) if held_out is not None else None
        generator = torch.Generator().manual_seed(recipe.seed)
        parameters = list(model.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
        total = recipe.epochs * math.ceil(len(train) / recipe.batch_size)
        average = _Average(model, recipe.ema)
        history: list[Progress] = []
        clock = clock or SystemClock()
        began_ns, step = clock.steady_ns(), 0
        model.train()
        for epoch in range(1, recipe.epochs + 1):
            losses: list[Tensor] = []
            order = torch.randperm(len(train), generator=generator)
            for batch in torch.split(order, recipe.batch_size):
                for group in optimizer.param_groups:
                    group["lr"] = recipe.lr * _schedule(step, total, recipe.warmup_steps)
                state = samples.state[batch]
                if recipe.state_noise > 0:
                    state = state + recipe.state_noise * torch.randn(state.shape, generator=generator)
                each = model.loss(state, samples.actions[batch], samples.mask[batch], generator)
                optimizer.zero_grad(set_to_none=True)
                each.mean().backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(parameters, recipe.gradient_norm)
                optimizer.step()
                average.update()
                losses.append(each.detach())
                step += 1
            train_loss = float(torch.cat(losses).mean())
            val_loss = None if validation is None else _validate(average.model, validation, recipe.seed)
            elapsed = seconds(clock.steady_ns() - began_ns)
            progress = Progress(
                epoch, recipe.epochs, train_loss, val_loss, epoch * len(train) / max(elapsed, 1e-9), elapsed
            )
            if not math.isfinite(train_loss) or (val_loss is not None and not math.isfinite(val_loss)):
                raise TrainingDivergedError(
                    f"training diverged in epoch {epoch} of {recipe.epochs}: loss {train_loss}, validation {val_loss}",
                    f"Nothing was written. Lower the learning rate (it was {recipe.lr:g}).",
                )
            history.append(progress)
            report(progress)
    return average.model, history


@torch.no_grad()
def _validate(model: ChunkModel, samples: _Samples, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    draws = [
        model.loss(samples.state, samples.actions, samples.mask, generator).mean() for _ in range(_VALIDATION_DRAWS)
    ]
    return float(torch.stack(draws).mean())
