"""Which windows a training draws, and how often: one of the four stages that a recipe can swap.

``weighted`` draws each window as often as its weight says; where all weights are the same each comes once in an epoch.
``prioritized`` also draws more of what is not learned yet (Schaul et al. 2016, arXiv:1511.05952), and weighs the loss
so that the expected gradient stays that of the weights alone as training ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrollout_ros.core.errors import SpecError
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.frames import Frame, Frames
from xrollout_ros.learning.training.curriculum import Curriculum, Order
from xrollout_ros.learning.training.weights import Scheme, window_weights
from xrollout_ros.learning.windows import Windows

ALPHA, BETA = 0.6, 0.4
"""Exponent of the priorities, and of the correction at the beginning; it ends at 1."""
Floats = npt.NDArray[np.float64]


def systematic(weights: Floats, count: int, offset: float) -> npt.NDArray[np.int64]:
    """``count`` indices, ascending, each as often as its weight says, rounded up or down (Kitagawa 1996).

    Args:
        weights: ``(N,)``, 0 and above, not all 0.
        count: how many.
        offset: 0 to 1, the only thing that is drawn.
    """
    edges = np.cumsum(weights)
    places = (np.arange(count) + offset) * (edges[-1] / count)
    found: npt.NDArray[np.int64] = np.minimum(np.searchsorted(edges, places, side="right"), len(weights) - 1)
    return found


class Replay(ABC):
    """Draws the windows of each epoch. All randomness comes from the generator that it is given."""

    name: ClassVar[str]

    def __init__(self, weights: Floats, frame: Frames, factors: Callable[[float], Floats] | None = None) -> None:
        """
        Args:
            weights: ``(N,)`` of the windows.
            frame: ``(N,)`` their classes.
            factors: ``(N,)`` on the weights, for the share of the training that is over; None: always 1.
        """
        self.weights, self._frame = weights, frame
        self._factors = factors or (lambda progress: np.ones(len(weights)))
        self._drawn = np.zeros(len(weights), dtype=np.int64)

    def epoch(self, progress: float, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Indices ``(N,)`` of the windows of an epoch, in the order drawn; and ``(N,)`` weights of their loss, if any.

        Args:
            progress: share of the training that is over, 0 to 1.
            generator: the only source of randomness.
        """
        weights, correction = self._now(progress)
        count = len(weights)
        order = torch.randperm(count, generator=generator)
        if np.ptp(weights) <= 1e-12 * weights.max():
            chosen = np.arange(count)
        else:
            chosen = systematic(weights, count, float(torch.rand((), generator=generator, dtype=torch.float64)))
        self._drawn += np.bincount(chosen, minlength=count)
        indices = torch.from_numpy(chosen)[order]
        if correction is None:
            return indices, None
        return indices, torch.from_numpy(correction[indices.numpy()].astype(np.float32))

    @abstractmethod
    def _now(self, progress: float) -> tuple[Floats, Floats | None]:
        """Weight ``(N,)`` of each window, and ``(N,)`` what its loss is multiplied with."""

    def learned(self, indices: Tensor, losses: Tensor) -> None:
        """Losses of windows that were drawn, ``(M,)`` both; of one drawn twice the last counts."""
        return  # what is drawn by weights alone does not follow from them

    def counts(self) -> dict[str, Any]:
        """For the report: what was there, and what was drawn, by class."""
        found: dict[str, Any] = {"stage": self.name, "windows": len(self._drawn), "drawn": int(self._drawn.sum())}
        found["never_drawn"] = int((self._drawn == 0).sum())
        found["classes"] = {
            frame.label: {"windows": int(own.sum()), "drawn": int(self._drawn[own].sum())}
            for frame in Frame
            if (own := self._frame == frame).any()
        }
        return found

    def state(self) -> dict[str, Tensor]:
        """What a training that goes on later needs."""
        return {"drawn": torch.from_numpy(self._drawn.copy())}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`state`."""
        self._drawn = state["drawn"].numpy().copy()


class Weighted(Replay):
    """As often as the weights say."""

    name = "weighted"

    def _now(self, progress: float) -> tuple[Floats, Floats | None]:
        return self.weights * self._factors(progress), None


class Prioritized(Replay):
    """More of what is not learned yet."""

    name = "prioritized"

    def __init__(self, weights: Floats, frame: Frames, factors: Callable[[float], Floats] | None = None) -> None:
        super().__init__(weights, frame, factors)
        self._loss = np.full(len(weights), np.nan)

    def _now(self, progress: float) -> tuple[Floats, Floats | None]:
        base = self.weights * self._factors(progress)
        known = self._loss[np.isfinite(self._loss)]
        if not len(known):
            return base, None
        # What was not drawn yet may be the worst there is.
        loss = np.where(np.isfinite(self._loss), self._loss, known.max())
        priority = np.maximum(loss, 1e-3 * known.mean() + 1e-12) ** ALPHA
        priority /= (priority * base).sum() / base.sum()
        correction = priority ** -(BETA + (1 - BETA) * progress)
        return base * priority, correction / correction.max()

    def learned(self, indices: Tensor, losses: Tensor) -> None:
        self._loss[indices.numpy()] = losses.float().cpu().numpy()

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "loss": torch.from_numpy(self._loss.copy())}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self._loss = state["loss"].numpy().copy()


REPLAYS: dict[str, type[Replay]] = {each.name: each for each in (Weighted, Prioritized)}


def make_replay(
    name: str, samples: Windows, episodes: Sequence[TrainingEpisode], scheme: Scheme = "sirius", order: Order = "none"
) -> Replay:
    """The replay stage of this name.

    Raises:
        SpecError: there is none.
    """
    if name not in REPLAYS:
        raise SpecError(f"unknown replay {name!r}", f"Known are {', '.join(sorted(REPLAYS))}.")
    curriculum = Curriculum(order, samples, episodes)
    factors = curriculum.factors if curriculum.active else None
    return REPLAYS[name](window_weights(samples, episodes, scheme), samples.frame, factors)
