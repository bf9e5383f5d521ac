"""Stretches of consecutive rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def runs(usable: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open stretches ``[begin, end)`` of consecutive true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], usable, [False])).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
