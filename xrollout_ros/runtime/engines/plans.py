"""Two plans on one time axis: what is left of the one, and how far it disagrees with the other."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import ActionChunk, Array

Rows = npt.NDArray[np.float32]


def rows_played(start_ns: int, t_ns: int, period_ns: int) -> int:
    """Rows of a plan from ``start_ns`` whose time has begun before ``t_ns``: what was consumed if it arrives then."""
    return max(0, -((start_ns - t_ns) // period_ns))


def rows_from(chunk: ActionChunk, start_ns: int, smooth: npt.NDArray[np.bool_]) -> Rows:
    """What a chunk says for a plan that starts at ``start_ns``: ``(R, A)``, empty where it has run out or not begun.

    Args:
        chunk: the chunk in play.
        start_ns: when the other plan's row 0 acts. Between two rows, values that are interpolated while they are
            played are interpolated here too; the others are taken from the nearer row.
        smooth: ``(A,)`` which ones are.
    """
    whole, rest = divmod(start_ns - chunk.start_ns, chunk.period_ns)
    if whole < 0:
        return chunk.actions[:0]
    if not rest:
        return chunk.actions[whole:]
    before, after = chunk.actions[whole:-1], chunk.actions[whole + 1 :]
    share = np.float32(rest / chunk.period_ns)
    nearer = after if share > 0.5 else before
    return np.where(smooth, before + (after - before) * share, nearer)


def disagreement(new: Rows, old: Rows, scale: Array, skip: int = 0) -> float | None:
    """Mean squared difference of two plans in normalized units, over the rows that both have.

    Args:
        new: ``(H, A)``.
        old: ``(R, A)``, row 0 at the same time.
        scale: ``(A,)`` unit of a normalized action.
        skip: leading rows that agree by construction.

    Returns:
        0 for identical plans; None where they have no row in common.
    """
    rows = min(len(new), len(old))
    if rows <= skip:
        return None
    difference = (new[skip:rows].astype(np.float64) - old[skip:rows]) / scale
    mean = float(np.mean(np.square(difference)))
    return mean if math.isfinite(mean) else None
