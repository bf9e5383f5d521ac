"""The detectors of a policy: what it computes beside each chunk that says how sure it can be.

They run where the policy runs, in the worker's thread of its node. What they mean together is a matter of
calibration (``learning.calibration``); ``chunk_consistency`` is the engine's, which knows the chunk in play.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xrollout_ros.core.calibration import CONSISTENCY
from xrollout_ros.core.chunk import Array
from xrollout_ros.learning.models import ChunkModel
from xrollout_ros.runtime.novelty import Kind, Novelty, Steps

NOVELTY, LOGPZO = "novelty", "novelty_logpzo"
DROPOUT = "dropout_variance"
FITTED: tuple[Kind, ...] = ("rnd", "logpzo")
"""Novelty models that training fits."""
DRAWS = 8
"""Chunks that dropout makes different."""


def score_name(novelty: Novelty) -> str:
    """What the score of a novelty model is called."""
    return LOGPZO if novelty.kind == "logpzo" else NOVELTY


def detectors_of(model: ChunkModel, novelties: Sequence[Novelty]) -> tuple[str, ...]:
    """Names of all scores that come with the chunks of such a policy."""
    dropout = (DROPOUT,) if model.shape.dropout > 0 else ()
    return (*map(score_name, novelties), *model.detectors, *dropout, CONSISTENCY)


def novelty_scores(novelties: Sequence[Novelty], state: Array) -> dict[str, float]:
    """How unlike its training data a state ``(I,)`` is."""
    steps = Steps(state[None])
    return {score_name(each): float(each.scores(steps)[0]) for each in novelties}


def dropout_variance(model: ChunkModel, row: Tensor, images: dict[str, Tensor] | None = None) -> dict[str, float]:
    """Variance of the chunk for a normalized state ``(D,)`` under dropout; nothing without dropout.

    The draws are the same ones each time, so that a state has one score.
    """
    if model.shape.dropout == 0:
        return {}
    chunks = model.samples_with_dropout(row, torch.Generator().manual_seed(0), DRAWS, images)
    return {DROPOUT: float(chunks.var(0, unbiased=False).mean())}
