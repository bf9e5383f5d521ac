"""What an alarm is made of: what is usual in successes, and a threshold that few further successes pass.

Split conformal prediction (Papadopoulos et al. 2002; Vovk et al. 2005): with n rollouts that are exchangeable with the
next success, the ⌈(n+1)(1-α)⌉-th smallest of their maxima is passed by that success with a probability of α at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from xrollout_ros.core.calibration import Usual
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.learning.calibration.scored import Scored
from xrollout_ros.runtime.alarm import Smoothed

ALPHA = 0.1
EWMA = 0.15
"""Weight of the newest chunk: about the last seven count."""
_MAD = 1.4826
"""Makes the median absolute deviation of a normal distribution its standard deviation."""
_LEAST = 1e-9


def check_alpha(alpha: float) -> None:
    """Refuse a share that is none.

    Raises:
        SpecError: it is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise SpecError(f"alpha is {alpha:g}", "Allowed is a share between 0 and 1, e.g. 0.1: one false alarm in ten.")


def rank_of(n: int, alpha: float) -> int:
    """⌈(n+1)(1-α)⌉, exactly; above n where n is too few."""
    return math.ceil((n + 1) * (1 - Fraction(str(alpha))))


def least(alpha: float) -> int:
    """The smallest n that gives a threshold, ⌈1/α⌉ - 1: 9 for α = 0.1."""
    return max(1, math.ceil(1 / Fraction(str(alpha))) - 1)


def needed(alpha: float) -> int:
    """Successes that are needed in all: one half normalizes, the other half, the larger one, gives the threshold."""
    return max(2, 2 * least(alpha) - 1)


def conformal(maxima: Sequence[float], alpha: float) -> tuple[float, int]:
    """The threshold, and its rank among the maxima.

    Raises:
        SpecError: they are too few.
    """
    rank = rank_of(len(maxima), alpha)
    if rank > len(maxima):
        raise SpecError(f"{len(maxima)} maxima are too few for alpha {alpha:g}", f"Give {least(alpha)} or more.")
    return float(np.sort(np.asarray(maxima, dtype=np.float64))[rank - 1]), rank


def usual(detector: str, attempts: Sequence[Scored]) -> Usual | None:
    """Location and scale of a detector's score over all chunks of some attempts; None: it never was a number."""
    values = np.concatenate([each.values(detector) for each in attempts]) if attempts else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    location = float(np.median(values))
    scale = _MAD * float(np.median(np.abs(values - location))) or float(values.std())
    return Usual(detector=detector, location=location, scale=max(scale, _LEAST, abs(location) * _LEAST))


def halves(ids: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Ids split at random, whatever their order: those that normalize, and those that give the threshold."""
    names = sorted(ids)
    order = np.random.default_rng(seed).permutation(len(names))
    cut = len(names) // 2
    return sorted(names[place] for place in order[:cut]), sorted(names[place] for place in order[cut:])


def smoothed(attempt: Scored, normal: Sequence[Usual], ewma: float = EWMA) -> Array:
    """(N,) the combined score after each chunk."""
    running = Smoothed(normal, ewma)
    return np.array([running.update(scores) for scores in attempt.scores])
