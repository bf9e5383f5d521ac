"""The Wilson score interval of a rate (Wilson 1927)."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(successes: int, attempts: int, confidence: float = 0.95) -> tuple[float, float]:
    """Least and largest rate that the counts agree with; from 0 to 1 without attempts.

    The closed form; scipy has it too, but takes a second to import, which every list of episodes would wait for.
    """
    if attempts == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, scale = successes / attempts, 1 + z * z / attempts
    centre = (rate + z * z / (2 * attempts)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / attempts + z * z / (4 * attempts * attempts))
    # At the ends it touches 0 or 1 exactly, which rounding must not miss by a hair.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == attempts else min(1.0, centre + half)
    return low, high
