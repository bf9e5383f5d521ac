"""How long a policy that fails is left alone, and when it is given up."""

from __future__ import annotations

from xrollout_ros.core.clock import nanoseconds

FIRST_S = 0.05
LONGEST_S = 1.0
MOST_FAILURES = 5


class Backoff:
    """Doubles the wait with each failure in a row, up to a bound; after the fifth nothing is tried any more.

    Times are those of the observations, so that in simulation nothing depends on the wall clock.
    """

    def __init__(self) -> None:
        self.failures = 0
        """In a row."""
        self._not_before_ns = 0

    def reset(self) -> None:
        """An inference succeeded, or an attempt begins."""
        self.failures = self._not_before_ns = 0

    def failed(self, t_ns: int) -> None:
        """An inference on an observation of this time failed."""
        self.failures += 1
        # The exponent is bounded too: nothing grows, however long somebody goes on.
        wait_s = min(LONGEST_S, FIRST_S * 2 ** min(self.failures - 1, MOST_FAILURES))
        self._not_before_ns = t_ns + nanoseconds(wait_s)

    @property
    def gave_up(self) -> bool:
        """Whether nothing more is tried until the next attempt."""
        return self.failures >= MOST_FAILURES

    def allows(self, t_ns: int) -> bool:
        """Whether an observation of this time may be tried."""
        return not self.gave_up and t_ns >= self._not_before_ns
