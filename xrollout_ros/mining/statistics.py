"""How often attempts succeed, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError


@dataclass(frozen=True)
class SuccessRate:
    """Successes among attempts, with the Wilson score interval (Wilson 1927)."""

    successes: int
    attempts: int
    """Attempts whose outcome is known."""
    low: float
    high: float
    confidence: float
    unknown: int = 0
    """Attempts whose outcome nobody knows; they count in nothing above."""

    @property
    def rate(self) -> float:
        """0 to 1; NaN without attempts."""
        return self.successes / self.attempts if self.attempts else math.nan

    def __str__(self) -> str:
        if not self.attempts:
            return "no attempts with a known outcome"
        unknown = f", {self.unknown} unknown" if self.unknown else ""
        return (
            f"{self.successes}/{self.attempts} = {self.rate:.0%} "
            f"({self.confidence:.0%} interval {self.low:.0%} to {self.high:.0%}{unknown})"
        )


def success_rate(successes: int, attempts: int, confidence: float = 0.95, unknown: int = 0) -> SuccessRate:
    """The rate with its interval; from 0 to 1 without attempts.

    Raises:
        DataError: the counts or the confidence are impossible.
    """
    if not 0 <= successes <= attempts:
        raise DataError(f"{successes} successes among {attempts} attempts", "Allowed is 0 to the number of attempts.")
    if not 0 < confidence < 1:
        raise DataError(f"confidence {confidence} of an interval", "Allowed is between 0 and 1, e.g. 0.95.")
    if attempts == 0:
        return SuccessRate(0, 0, 0.0, 1.0, confidence, unknown)
    from scipy.stats import binomtest  # half a second to import, and most commands need no statistics

    interval = binomtest(successes, attempts).proportion_ci(confidence_level=confidence, method="wilson")
    return SuccessRate(successes, attempts, float(interval.low), float(interval.high), confidence, unknown)


def success_rate_of(outcomes: Iterable[Outcome], confidence: float = 0.95) -> SuccessRate:
    """The rate over outcomes: an abort is an attempt that failed, an unknown outcome is left out.

    Raises:
        DataError: the confidence is impossible.
    """
    known = list(outcomes)
    unknown = known.count(Outcome.UNKNOWN)
    return success_rate(known.count(Outcome.SUCCESS), len(known) - unknown, confidence, unknown)
