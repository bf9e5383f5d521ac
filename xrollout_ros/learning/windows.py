"""Windows of future actions: the samples that a chunk policy is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.runs import runs


@dataclass(frozen=True)
class Windows:
    """Samples for training: a state and the actions that followed it."""

    state: npt.NDArray[np.float32]
    """(N, D)"""
    actions: npt.NDArray[np.float32]
    """(N, H, A)"""
    mask: npt.NDArray[np.float32]
    """(N, H): 1 for a real row, 0 for padding."""
    episode: npt.NDArray[np.int64]
    """(N,) number of the episode among those that it was cut from."""
    row: npt.NDArray[np.int64]
    """(N,) row of the episode at which it begins."""
    frame: npt.NDArray[np.uint8]
    """(N,) class of that row."""

    def __len__(self) -> int:
        return len(self.state)

    @classmethod
    def of(cls, state: npt.NDArray[np.float32], actions: npt.NDArray[np.float32]) -> Windows:
        """Whole windows from states ``(N, D)`` and chunks ``(N, H, A)`` alone, as if of one demonstration."""
        count = len(state)
        mask = np.ones(actions.shape[:2], dtype=np.float32)
        return cls(state, actions, mask, np.zeros(count, np.int64), np.arange(count), np.zeros(count, np.uint8))


def windows(episodes: Sequence[TrainingEpisode], horizon: int) -> Windows:
    """For each usable row, its state and the next ``horizon`` actions at the policy's rate, itself included.

    Where rows come at another rate (a control rate above the policy's, an operator's own) each action is that of the
    row nearest in time. A window never reaches over a row that does not train, nor past the end: what is missing
    repeats the last action, so that the network sees plausible values there, and is masked, so that the loss does not
    teach them. (Episodes end at success, not at rest; teaching "stop" there would be inventing data.)
    """
    parts: list[Windows] = []
    for number, episode in enumerate(episodes):
        classes = episode.classes
        for begin, end in runs(episode.usable):
            given = episode.policy_step
            steps = np.arange(end - begin, dtype=np.float64) if given is None else given[begin:end]
            first = np.flatnonzero(episode.sampled[begin:end])
            due = steps[first, None] + np.arange(horizon)
            index = nearest(steps, due)
            real = np.abs(steps[index] - due) < 0.5
            # Slices first: of rows that are mapped from disk, those that train are read once, in order.
            state, action = np.asarray(episode.state[begin:end]), np.asarray(episode.action[begin:end])
            parts.append(
                Windows(
                    state[first].astype(np.float32),
                    action[index].astype(np.float32),
                    real.astype(np.float32),
                    np.full(len(first), number, dtype=np.int64),
                    begin + first,
                    classes[begin:end][first],
                )
            )
    return Windows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Windows.__dataclass_fields__))


def nearest(ascending: Array, wanted: Array) -> npt.NDArray[np.intp]:
    """Index of the value nearest to each one wanted; of two equally near the later one."""
    after = np.clip(np.searchsorted(ascending, wanted), 1, max(1, len(ascending) - 1))
    after = np.minimum(after, len(ascending) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(wanted - ascending[before] < ascending[after] - wanted, before, after)
