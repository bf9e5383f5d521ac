"""Which windows come early in training: the best data first, or easy starts first.

After Bengio et al. 2009 (Curriculum learning): what is hard fades in while training goes on, and at the end
everything counts as its weight says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.windows import Windows

Order = Literal["none", "levels", "difficulty"]
ORDERS: tuple[Order, ...] = get_args(Order)
FADED_IN = 0.7
"""Share of the training after which everything counts fully."""
LEAST = 0.05
"""What is yet to come counts this much: nothing is unheard of when it comes."""
UNKNOWN = 0.5
"""Difficulty of a start of which nothing is known."""
Floats = npt.NDArray[np.float64]


class Curriculum:
    """Factors on the weights of windows over the course of a training."""

    def __init__(self, order: Order, samples: Windows, episodes: Sequence[TrainingEpisode]) -> None:
        """
        Args:
            order: what fades in; ``none``: nothing does.
            samples: cut from ``episodes``.
            episodes: say their level and the difficulty of their start.
        """
        late = np.zeros(len(episodes))
        if order == "levels":
            # The pyramid's top comes first, then each level below it.
            levels = sorted({episode.level for episode in episodes}, reverse=True)
            late = np.array([levels.index(episode.level) / max(1, len(levels) - 1) for episode in episodes])
        elif order == "difficulty":
            late = np.array([UNKNOWN if each.difficulty is None else each.difficulty for each in episodes])
        self._late: Floats = late[samples.episode]
        self.active = order != "none" and float(np.ptp(self._late)) > 0

    def factors(self, progress: float) -> Floats:
        """(N,) in (0, 1].

        Args:
            progress: share of the training that is over, 0 to 1.
        """
        if not self.active:
            return np.ones(len(self._late))
        reached = progress / FADED_IN
        found: Floats = np.clip(1.0 - 3.0 * (self._late - reached), LEAST, 1.0)
        return found
