"""The training loop: arrays in, weights out, the same bit for bit for the same seed on one machine, killed or not."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xrollout_ros.core.clock import Clock, SystemClock, seconds
from xrollout_ros.core.errors import DataError, TrainingDivergedError
from xrollout_ros.core.threads import one_thread
from xrollout_ros.learning.models import ChunkModel
from xrollout_ros.learning.training.loader import Batch, Samples, batches
from xrollout_ros.learning.training.replay import Replay, Weighted
from xrollout_ros.learning.training.resume import TrainingState
from xrollout_ros.learning.windows import Windows

_VALIDATION_DRAWS = 4
"""Noise draws for each validation sample, the same ones in every epoch, so that the curve shows learning, not luck."""
_VALIDATION_BATCH = 4096
SAVE_EVERY_S = 20.0
"""Of work, at least, between two states that are kept."""


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
    patience: int = 0
    """Epochs without a better validation loss after which training stops, with the best weights; 0: it never does."""
    precision: str = "fp32"
    """``bf16``: mixed precision, the weights themselves stay float32."""
    device: str = "cpu"


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
    waiting: float = 0.0
    """Share of the time so far that training waited for data."""


@dataclass(frozen=True)
class Fitted:
    """What came of it."""

    model: ChunkModel
    """With averaged weights."""
    history: list[Progress]
    resumed_from: int = 0
    """Epochs that an earlier process had done."""
    stopped_early: bool = False
    """No better validation loss came any more: the weights are those of ``best_epoch``."""
    best_epoch: int | None = None
    """The one with the least validation loss."""
    unsaved: str = ""
    """Why the state could not be kept meanwhile; empty: it could."""

    def __iter__(self) -> Iterator[Any]:
        """``model, history = fit(…)``."""
        return iter((self.model, self.history))


class _Average:
    """Exponential moving average of a model's weights; its memory grows with the steps taken, up to ``decay``."""

    def __init__(self, model: ChunkModel, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self._decay = decay
        self._mine: list[Tensor] = list(self.model.parameters())
        self._theirs: list[Tensor] = list(model.parameters())
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._mine, self._theirs, 1 - decay)


def schedule(step: int, total: int, warmup: int) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to 0."""
    warmup = min(warmup, total // 10)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def fit(
    model: ChunkModel,
    train: Windows | Samples,
    held_out: Windows | Samples | None,
    recipe: Recipe,
    report: Callable[[Progress], None],
    clock: Clock | None = None,
    *,
    replay: Replay | None = None,
    state: TrainingState | None = None,
) -> Fitted:
    """Train ``model`` (whose normalization is set) and return its averaged weights and the history.

    AdamW with decoupled weight decay (arXiv:1711.05101), linear warm-up and cosine decay, clipped gradients. ``model``
    itself keeps the last raw weights.

    Args:
        model: moved to the recipe's device.
        train: what it learns from.
        held_out: what it is validated on.
        recipe: how.
        report: called after each epoch.
        clock: measures the time.
        replay: which windows are drawn; None: each once in an epoch.
        state: where the state is kept, and taken from if one is there; None: nowhere.

    Raises:
        TrainingDivergedError: the loss became infinite or not a number.
        DataError: the state that is there cannot be gone on from.
    """
    with one_thread():
        return _Fit(model.to(recipe.device), train, held_out, recipe, replay, state, clock or SystemClock()).run(report)


class _Fit:
    """One training. What follows from the seed alone is in :meth:`_state`."""

    def __init__(
        self,
        model: ChunkModel,
        train: Windows | Samples,
        held_out: Windows | Samples | None,
        recipe: Recipe,
        replay: Replay | None,
        kept: TrainingState | None,
        clock: Clock,
    ) -> None:
        self._samples = _tensors(train, model, recipe.device)
        self._validation = None if held_out is None else _tensors(held_out, model, recipe.device)
        self._model, self._recipe, self._kept, self._clock = model, recipe, kept, clock
        count = len(self._samples)
        self._replay = replay or Weighted(np.ones(count), np.zeros(count, dtype=np.uint8))
        self._generator = torch.Generator().manual_seed(recipe.seed)
        self._parameters = list(model.parameters())
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
        self._average = _Average(model, recipe.ema)
        self._steps = math.ceil(len(self._samples) / recipe.batch_size)
        self._history: list[Progress] = []
        self._best: tuple[float, int, dict[str, Tensor]] | None = None
        self._before_s, self._waited_ns = 0.0, 0
        self._unsaved = ""

    def run(self, report: Callable[[Progress], None]) -> Fitted:
        recipe, clock = self._recipe, self._clock
        resumed = self._resume()
        saved_ns = began_ns = clock.steady_ns()
        stopped = self._is_over()
        while len(self._history) < recipe.epochs and not stopped:
            epoch = len(self._history) + 1
            self._model.train()
            train_loss = self._epoch((epoch - 1) / recipe.epochs)
            self._model.eval()
            val_loss = None if self._validation is None else self._validate(self._validation)
            here_s = seconds(clock.steady_ns() - began_ns)
            elapsed_s = self._before_s + here_s
            rate = (epoch - resumed) * len(self._samples) / max(here_s, 1e-9)
            waiting = seconds(self._waited_ns) / max(here_s, 1e-9)
            progress = Progress(epoch, recipe.epochs, train_loss, val_loss, rate, elapsed_s, waiting)
            if not math.isfinite(train_loss) or (val_loss is not None and not math.isfinite(val_loss)):
                if self._kept is not None:
                    self._kept.forget()
                raise TrainingDivergedError(
                    f"training diverged in epoch {epoch} of {recipe.epochs}: loss {train_loss}, validation {val_loss}",
                    f"Nothing was written. Lower the learning rate (it was {recipe.lr:g}).",
                )
            self._history.append(progress)
            if val_loss is not None and (self._best is None or val_loss < self._best[0]):
                weights = self._average.model.state_dict() if recipe.patience else {}
                self._best = (val_loss, epoch, {name: each.clone() for name, each in weights.items()})
            report(progress)
            stopped = self._is_over()
            if seconds(clock.steady_ns() - saved_ns) >= SAVE_EVERY_S and not stopped and epoch < recipe.epochs:
                self._save(elapsed_s)
                saved_ns = clock.steady_ns()
        best = self._best
        if stopped and best is not None:
            self._average.model.load_state_dict(best[2])
        return Fitted(
            self._average.model.cpu(), self._history, resumed, stopped, best[1] if best else None, self._unsaved
        )

    def _is_over(self) -> bool:
        """Whether no better validation loss has come for long enough."""
        patience, best = self._recipe.patience, self._best
        return bool(patience) and best is not None and len(self._history) - best[1] >= patience

    def _epoch(self, done: float) -> float:
        recipe, generator = self._recipe, self._generator
        order, correction = self._replay.epoch(done, generator)
        parts = torch.split(order, recipe.batch_size)
        weighed = [None] * len(parts) if correction is None else torch.split(correction, recipe.batch_size)
        losses: list[Tensor] = []
        step = len(self._history) * self._steps
        total = recipe.epochs * self._steps
        loading = batches(self._samples, parts, generator, self._wait, self._clock)
        for batch, weights in zip(loading, weighed, strict=True):
            for group in self._optimizer.param_groups:
                group["lr"] = recipe.lr * schedule(step, total, recipe.warmup_steps)
            each = self._loss(batch)
            self._optimizer.zero_grad(set_to_none=True)
            (each if weights is None else each * weights.to(each.device)).mean().backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._parameters, recipe.gradient_norm)
            self._optimizer.step()
            self._average.update()
            losses.append(each.detach())
            step += 1
        found = torch.cat(losses)
        self._replay.learned(order, found)
        return float(found.mean())

    def _wait(self, ns: int) -> None:
        self._waited_ns += ns

    def _loss(self, batch: Batch) -> Tensor:
        recipe, state = self._recipe, batch.state
        if recipe.state_noise > 0:
            noise = torch.randn(state.shape, generator=self._generator)
            state = state + recipe.state_noise * noise.to(state.device)
        with self._precision():
            loss = _loss(self._model, batch, state, self._generator)
        return loss.float()

    def _precision(self) -> Any:
        if self._recipe.precision != "bf16":
            return nullcontext()
        return torch.autocast(self._recipe.device.partition(":")[0], dtype=torch.bfloat16)

    @torch.no_grad()
    def _validate(self, samples: Samples) -> float:
        generator = torch.Generator().manual_seed(self._recipe.seed)
        parts = torch.split(torch.arange(len(samples)), _VALIDATION_BATCH)
        sums = []
        for batch in batches(samples, parts, None, lambda ns: None, self._clock):
            draws = [_loss(self._average.model, batch, batch.state, generator).mean() for _ in range(_VALIDATION_DRAWS)]
            sums.append(torch.stack(draws).mean() * len(batch.index))
        return float(torch.stack(sums).sum() / len(samples))

    # --- what a killed training goes on from ------------------------------------------------------------------------

    def _save(self, elapsed_s: float) -> None:
        if self._kept is None:
            return
        best = self._best
        state = {
            "model": self._model.state_dict(),
            "average": self._average.model.state_dict(),
            "average_steps": self._average.steps,
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "replay": self._replay.state(),
            "history": [asdict(progress) for progress in self._history],
            "best": None if best is None else {"loss": best[0], "epoch": best[1], "weights": best[2]},
            "elapsed_s": elapsed_s,
        }
        try:
            self._kept.save(state)
            self._unsaved = ""
        except DataError as error:  # a full disk does not end the training; it may have room again at the end
            self._unsaved = str(error)

    def _resume(self) -> int:
        """Go on from where an earlier process was; how many epochs that had done."""
        state = None if self._kept is None else self._kept.load()
        if state is None:
            return 0
        self._model.load_state_dict(state["model"])
        self._average.model.load_state_dict(state["average"])
        self._average.steps = state["average_steps"]
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        self._replay.restore(state["replay"])
        self._history = [Progress(**each) for each in state["history"]]
        best = state["best"]
        self._best = None if best is None else (best["loss"], best["epoch"], best["weights"])
        self._before_s = state["elapsed_s"]
        return len(self._history)


def _tensors(given: Windows | Samples, model: ChunkModel, device: str) -> Samples:
    return given if isinstance(given, Samples) else Samples(given, (), model, device)


def _loss(model: ChunkModel, batch: Batch, state: Tensor, generator: torch.Generator) -> Tensor:
    if batch.images is None:
        return model.loss(state, batch.actions, batch.mask, generator)
    return model.loss(state, batch.actions, batch.mask, generator, batch.images)
