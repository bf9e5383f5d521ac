"""How often attempts succeed, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from xrollout_ros.core.episode import Outcome, Result
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.wilson import wilson


@dataclass(frozen=True)
class SuccessRate:
    """Successes among attempts, with the Wilson score interval (Wilson 1927)."""

    successes: int
    """Those of whoever was to do it: what a policy was helped with is none."""
    attempts: int
    """Attempts whose outcome is known."""
    low: float
    high: float
    confidence: float
    unknown: int = 0
    """Attempts whose outcome nobody knows; they count in nothing above."""
    helped: int = 0
    """Attempts of a policy in which an operator drove for a while, whatever came of them."""

    @property
    def rate(self) -> float:
        """0 to 1; NaN without attempts."""
        return self.successes / self.attempts if self.attempts else math.nan

    def __str__(self) -> str:
        if not self.attempts:
            return "no attempts with a known outcome"
        interval = f"{self.confidence:.0%} interval {self.low:.0%} to {self.high:.0%}"
        unknown = f", {self.unknown} unknown" if self.unknown else ""
        helped = f", {self.helped} helped by an operator" if self.helped else ""
        autonomous = " autonomous" if self.helped else ""
        return f"{self.successes}/{self.attempts} = {self.rate:.0%}{autonomous} ({interval}{unknown}{helped})"


def success_rate(
    successes: int, attempts: int, confidence: float = 0.95, unknown: int = 0, helped: int = 0
) -> SuccessRate:
    """The rate with its interval; from 0 to 1 without attempts.

    Raises:
        DataError: the counts or the confidence are impossible.
    """
    if not 0 <= successes <= attempts:
        raise DataError(f"{successes} successes among {attempts} attempts", "Allowed is 0 to the number of attempts.")
    if not 0 < confidence < 1:
        raise DataError(f"confidence {confidence} of an interval", "Allowed is between 0 and 1, e.g. 0.95.")
    low, high = wilson(successes, attempts, confidence)
    return SuccessRate(successes, attempts, low, high, confidence, unknown, helped)


def success_rate_of(results: Iterable[Result], confidence: float = 0.95) -> SuccessRate:
    """The rate over attempts: an abort is one that failed, an unknown outcome is left out.

    An attempt in which a policy was helped counts as made and not as a success.

    Raises:
        DataError: the confidence is impossible.
    """
    found = list(results)
    unknown = sum(result.outcome is Outcome.UNKNOWN for result in found)
    successes, helped = sum(result.success for result in found), sum(result.helped for result in found)
    return success_rate(successes, len(found) - unknown, confidence, unknown, helped)
