"""How unlike the demonstrations failed attempts were, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.mining.attempts import Row
from xrollout_ros.runtime.novelty import Kind, Steps
from xrollout_ros.runtime.novelty_fit import fit

KNOWN = 100
"""So many demonstrations are read, the newest."""


@dataclass(frozen=True)
class Novel:
    """Of one failed attempt, up to its failure."""

    most: float
    """1: as unlike as one in a hundred states of demonstrations that were held out."""
    since_s: float | None
    """When it first was above 1, s since the first command; none: never."""


def novelty_of(
    data: Path, failures: Sequence[Row], demonstrations: Sequence[Row], kind: Kind = "density"
) -> dict[str, Novel]:
    """Novelty of failures by episode id; without those that cannot be read, and none without two demonstrations."""
    known = [each for row in demonstrations[-KNOWN:] if (each := _read(data, row)) is not None]
    sizes = {each.state.shape[1] for each in known}
    if len(known) < 2 or len(sizes) > 1:
        return {}
    model = fit(kind, [Steps.of(each.state, each.action) for each in known])
    found = {}
    for row in failures:
        episode = _read(data, row)
        if episode is None or episode.state.shape[1] != model.state_dim:
            continue
        scores = model.scores(Steps.of(episode.state, episode.action))
        until = episode.stamp_s[: len(scores)] <= (np.inf if row.failure_moment_s is None else row.failure_moment_s)
        until[0] = True
        above = np.flatnonzero(until & (scores > 1.0))
        found[row.episode_id] = Novel(
            float(scores[until].max()), float(episode.stamp_s[above[0]]) if len(above) else None
        )
    return found


def _read(data: Path, row: Row) -> EpisodeData | None:
    try:
        episode = read_episode(data / row.path)
    except (XRolloutError, OSError):
        return None
    return episode if len(episode) > 1 and np.isfinite(episode.state).all() else None
