"""Windows of future actions: the samples that a chunk policy is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array
from xrollout_ros.learning.dataset import TrainingEpisode


@dataclass(frozen=True)
class Windows:
    """Samples for training: a state and the actions that followed it."""

    state: npt.NDArray[np.float32]
    """(N, D)"""
    actions: npt.NDArray[np.float32]
    """(N, H, A)"""
    mask: npt.NDArray[np.float32]
    """(N, H): 1 for a real row, 0 for padding."""

    def __len__(self) -> int:
        return len(self.state)


def windows(episodes: Sequence[TrainingEpisode], horizon: int) -> Windows:
    """For each usable row, its state and the next ``horizon`` actions at the policy's rate, itself included.

    Where rows come at another rate (a control rate above the policy's, an operator's own) each action is that of the
    row nearest in time. A window never reaches over a row that does not train, nor past the end: what is missing
    repeats the last action, so that the network sees plausible values there, and is masked, so that the loss does not
    teach them. (Episodes end at success, not at rest; teaching "stop" there would be inventing data.)
    """
    parts: list[tuple[Array, Array, npt.NDArray[np.bool_]]] = []
    for episode in episodes:
        for begin, end in runs(episode.usable):
            given = episode.policy_step
            steps = np.arange(end - begin, dtype=np.float64) if given is None else given[begin:end]
            due = steps[:, None] + np.arange(horizon)
            index = nearest(steps, due)
            real = np.abs(steps[index] - due) < 0.5
            first = episode.sampled[begin:end]
            parts.append((episode.state[begin:end][first], episode.action[begin + index][first], real[first]))
    return Windows(
        np.concatenate([part[0] for part in parts]).astype(np.float32),
        np.concatenate([part[1] for part in parts]).astype(np.float32),
        np.concatenate([part[2] for part in parts]).astype(np.float32),
    )


def nearest(ascending: Array, wanted: Array) -> npt.NDArray[np.intp]:
    """Index of the value nearest to each one wanted; of two equally near the later one."""
    after = np.clip(np.searchsorted(ascending, wanted), 1, max(1, len(ascending) - 1))
    after = np.minimum(after, len(ascending) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(wanted - ascending[before] < ascending[after] - wanted, before, after)


def runs(usable: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open stretches ``[begin, end)`` of consecutive true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], usable, [False])).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
