"""What a motion does between the rows of a chunk: polynomials, made once when a chunk is accepted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.action import Interpolation
from xrollout_ros.core.chunk import Array


def coefficients(rows: Array, smooth: npt.NDArray[np.bool_], how: Interpolation) -> Array:
    """Polynomials from each row to the next, in the time since the row, counted in rows (0 to 1).

    No curve leaves the range of the two rows that it joins, so what is within the limits at the rows is within them
    between.

    Args:
        rows: ``(H, A)``.
        smooth: ``(A,)`` which values are interpolated; the others stay as the row says.
        how: ``linear``: straight lines; ``cubic``: monotone cubics, whose velocity is continuous;
            ``minimum_jerk``: quintics, whose velocity and acceleration are continuous.

    Returns:
        ``(H - 1, 6, A)``, the constant term first.
    """
    ahead = np.diff(rows, axis=0)
    made = np.zeros((len(ahead), 6, rows.shape[1]))
    made[:, 0] = rows[:-1]
    if how is Interpolation.LINEAR or len(ahead) < 2:
        made[:, 1] = np.where(smooth, ahead, 0.0)
        return made
    slopes = _monotone_slopes(ahead)
    begin, end = slopes[:-1], slopes[1:]
    made[:, 1] = begin
    if how is Interpolation.CUBIC:
        made[:, 2] = 3 * ahead - 2 * begin - end
        made[:, 3] = begin + end - 2 * ahead
    else:
        bends = _monotone_bends(ahead, slopes)
        first, last = bends[:-1], bends[1:]
        made[:, 2] = first / 2
        made[:, 3] = 10 * ahead - 6 * begin - 4 * end - (3 * first - last) / 2
        made[:, 4] = -15 * ahead + 8 * begin + 7 * end + (3 * first - 2 * last) / 2
        made[:, 5] = 6 * ahead - 3 * (begin + end) - (first - last) / 2
    made[:, 1:] *= smooth
    return made


def evaluate(polynomial: Array, part: float) -> tuple[Array, Array]:
    """Value and slope (per row) of one polynomial ``(6, A)``, ``part`` of a row after its beginning; each ``(A,)``."""
    if part == 0:
        return polynomial[0], polynomial[1]
    square = part * part
    cube, fourth = square * part, square * square
    powers = np.array(
        ((1.0, part, square, cube, fourth, fourth * part), (0.0, 1.0, 2 * part, 3 * square, 4 * cube, 5 * fourth))
    )
    value, slope = powers @ polynomial
    return value, slope


def _monotone_slopes(ahead: Array) -> Array:
    """Slopes at the rows ``(H, A)`` from the steps between them ``(H - 1, A)``, H at least 3.

    The mean of the steps on both sides, at most twice the smaller one, and zero where they turn (B. van Leer's
    monotonized central difference, 1977). On a smooth motion it is the central difference; the harmonic mean that PCHIP
    takes is smaller, which makes a constant acceleration ripple.
    """
    left, right = ahead[:-1], ahead[1:]
    least = np.minimum(np.minimum(np.abs(left), np.abs(right)) * 2, np.abs(left + right) / 2)
    inner = np.where(left * right > 0, np.sign(left) * least, 0.0)
    return np.concatenate([_end_slope(ahead[0], ahead[1])[None], inner, _end_slope(ahead[-1], ahead[-2])[None]])


def _end_slope(nearest: Array, next_one: Array) -> Array:
    """The slope of the parabola through three rows at its end, kept from turning."""
    slope = (3 * nearest - next_one) / 2
    slope = np.where(slope * nearest > 0, slope, 0.0)
    return np.where(np.abs(slope) > 2 * np.abs(nearest), 2 * nearest, slope)


def _monotone_bends(ahead: Array, slopes: Array) -> Array:
    """Second derivatives at the rows ``(H, A)``.

    An acceleration of zero at each row would make one that is constant ripple from row to row, so it is estimated from
    the neighbours. It is bounded so that the control points of the quintics (Bézier's) stay between the rows: a quintic
    never leaves the hull of its control points.
    """
    estimated = np.zeros_like(slopes)
    estimated[1:-1] = np.diff(ahead, axis=0)
    estimated[0], estimated[-1] = estimated[1], estimated[-2]
    least, most = np.full_like(slopes, -np.inf), np.full_like(slopes, np.inf)
    down, up = np.minimum(ahead, 0.0), np.maximum(ahead, 0.0)
    # Third control point after a row: slope * 2/5 + bend / 20 beyond it, towards the next row.
    least[:-1], most[:-1] = 20 * down - 8 * slopes[:-1], 20 * up - 8 * slopes[:-1]
    # Third control point before a row: the same, mirrored.
    least[1:] = np.maximum(least[1:], 8 * slopes[1:] - 20 * up)
    most[1:] = np.minimum(most[1:], 8 * slopes[1:] - 20 * down)
    return np.clip(estimated, least, most)
