"""Seeds of a flywheel's starts: no two purposes and cycles share one, so that nothing is tried that was trained
from.
"""

from __future__ import annotations

from enum import IntEnum

_CYCLE, _PURPOSE, _RECIPE = 10_000, 100_000_000, 1_000_000_000
CYCLES = _PURPOSE // _CYCLE
"""Cycles that a flywheel has at most."""


class Purpose(IntEnum):
    """What starts are drawn for."""

    DEPLOY = 1
    COLLECT = 2
    COMPARE = 3
    CANDIDATES = 4


def first_seed(recipe_seed: int, purpose: Purpose, cycle: int) -> int:
    """The first of 10,000 seeds."""
    assert 0 <= cycle < CYCLES
    return recipe_seed * _RECIPE + purpose * _PURPOSE + cycle * _CYCLE
