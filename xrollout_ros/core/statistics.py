"""Statistics of success rates."""

from __future__ import annotations

import math
from statistics import NormalDist

from xrollout_ros.core.errors import SpecError


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a success rate (E. B. Wilson, JASA 22, 1927).

    Args:
        successes: attempts that succeeded.
        n: attempts made; 0 gives (0, 1), since nothing is known.
        confidence: coverage of the interval, between 0 and 1.

    Returns:
        Lower and upper limit, each between 0 and 1.

    Raises:
        SpecError: the counts or the confidence make no sense.
    """
    if not 0 <= successes <= n:
        raise SpecError(f"{successes} successes of {n} attempts", "Successes lie between 0 and the number of attempts.")
    if not 0 < confidence < 1:
        raise SpecError(f"confidence {confidence}", "It lies between 0 and 1, both excluded.")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At the ends the interval touches 0 or 1 exactly; rounding must not leave it a hair outside or short of that.
    lower = 0.0 if successes == 0 else max(0.0, centre - half)
    upper = 1.0 if successes == n else min(1.0, centre + half)
    return lower, upper
