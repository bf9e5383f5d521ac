"""Whether the deployed policy does worse live than the one before did. May be looked at after each attempt."""

from __future__ import annotations

import math
from collections.abc import Mapping

from xrollout_ros.cycle.comparing.evidence import e_fell
from xrollout_ros.cycle.record import Tally


def worse(reference: Mapping[str, Tally], live: Mapping[str, Tally]) -> float:
    """E-value against "from no start it succeeds less often than the one before did".

    Each start has attempts of its own, so the product of their e-values is one.
    """
    product = 1.0
    for start, before in reference.items():
        since = live.get(start, Tally())
        product *= e_fell((before.successes, before.attempts), (since.successes, since.attempts))
    return product if math.isfinite(product) else 1e308


def added(one: Mapping[str, Tally], other: Mapping[str, Tally]) -> dict[str, Tally]:
    """Both together."""
    return {
        start: Tally(
            successes=one.get(start, Tally()).successes + other.get(start, Tally()).successes,
            attempts=one.get(start, Tally()).attempts + other.get(start, Tally()).attempts,
        )
        for start in dict.fromkeys([*one, *other])
    }
