"""How much each window counts: by the class of its rows, and by its episode.

``sirius``: interventions are half of all that is drawn (or more, if they are more), demonstrations keep their share,
and what is left goes to rollouts (Liu et al. 2022, arXiv:2211.08416). ``iwr``: interventions are half, everything
else the other half (Mandlekar et al. 2020, arXiv:2012.06733). ``uniform``: every row counts the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.frames import Frame
from xrollout_ros.learning.windows import Windows

Scheme = Literal["sirius", "iwr", "uniform"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
INTERVENTIONS = 0.5
"""Least share of interventions, where there are any."""
Floats = npt.NDArray[np.float64]


def class_shares(natural: Mapping[Frame, float], scheme: Scheme) -> dict[Frame, float]:
    """Share of each class in what is drawn, 1 in all.

    Args:
        natural: share of each class in the data, 1 in all; those that are there.
        scheme: see above.
    """
    present = {frame: share for frame, share in natural.items() if share > 0}
    corrected = present.get(Frame.INTERVENTION, 0.0)
    others: dict[Frame, float] = {frame: share for frame, share in present.items() if frame is not Frame.INTERVENTION}
    if scheme == "uniform" or not corrected or not others:
        return present
    half = max(INTERVENTIONS, corrected)
    left = 1.0 - half
    shown, rest = others.get(Frame.DEMONSTRATION, 0.0), sum(others.values()) - others.get(Frame.DEMONSTRATION, 0.0)
    if scheme == "sirius" and shown and rest:
        kept = min(shown, left)
        found: dict[Frame, float] = {frame: share * (left - kept) / rest for frame, share in others.items()}
        found[Frame.DEMONSTRATION] = kept
    else:
        found = {frame: share * left / (shown + rest) for frame, share in others.items()}
    return {**found, Frame.INTERVENTION: half}


def window_weights(samples: Windows, episodes: Sequence[TrainingEpisode], scheme: Scheme) -> Floats:
    """Weight of each window ``(N,)``, 1 on average.

    Args:
        samples: cut from ``episodes``.
        episodes: their own weights hold within each class.
        scheme: see above.
    """
    own = np.array([episode.weight for episode in episodes], dtype=np.float64)[samples.episode]
    if not own.sum() > 0:
        own = np.ones(len(samples))
    total = own.sum()
    natural = {frame: float(own[samples.frame == frame].sum() / total) for frame in Frame}
    weights = own / total
    for frame, share in class_shares(natural, scheme).items():
        weights[samples.frame == frame] *= share / natural[frame]
    found: Floats = weights * len(samples)
    return found
