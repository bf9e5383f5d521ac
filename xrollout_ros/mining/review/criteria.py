"""What makes an episode one that a person is to look at, as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xrollout_ros.core.errors import DataError
from xrollout_ros.mining.taxonomy import FailureMode


@dataclass(frozen=True)
class Criteria:
    """When an episode is ambiguous, and how many of the others are looked at."""

    sample: float = 0.2
    """Share of those that are not ambiguous, drawn by id."""
    double: float = 0.1
    """Share of the queue that two reviewers see, drawn by id."""
    salt: str = "review"
    """Another one draws others."""
    low: float = 0.7
    """A judgement less confident than this is ambiguous."""
    sure: float = 0.9
    """One at least as confident leaves no doubt about others that come with it."""
    margin: float = 0.1
    """Modes whose confidence is so near to the first one's are of similar weight."""
    beside: tuple[str, ...] = (FailureMode.TIMEOUT.value,)
    """Modes that come with others by their nature, and cast no doubt on them."""

    def __post_init__(self) -> None:
        for name in ("sample", "double", "low", "sure", "margin"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise DataError(f"review's {name} is {value:g}", "Give a share from 0 to 1, e.g. 0.2.")
