"""The box from which a Meta-World scene draws its start, widened or replaced by a StartSpec."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.task import StartSpec

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class StartBox:
    """Lower and upper corner of a uniform distribution, m: object x, y, z, then (most scenes) goal x, y, z."""

    low: Array
    """(K,) float64, K = 3 or 6."""
    high: Array
    """(K,) float64."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the K quantities, as ``StartSpec.ranges`` takes them."""
        things = ("object", "goal")[: self.low.size // 3]
        return tuple(f"{thing}_{axis}" for thing in things for axis in AXES)

    def __str__(self) -> str:
        sides = zip(self.names, self.low, self.high, strict=True)
        return ", ".join(f"{name} [{low:g}, {high:g}]" for name, low, high in sides)

    def shaped(self, start: StartSpec, reach_low: Array, reach_high: Array) -> StartBox:
        """The box that a StartSpec asks for.

        Widening keeps the centre, except that it never lowers anything (what lay on the table would sink into it)
        and never leaves the hand's reach in x and y further than the box itself does. ``ranges`` are taken as given.

        Args:
            start: factor and replaced ranges.
            reach_low: (3,) least hand position, m.
            reach_high: (3,) largest hand position, m.

        Raises:
            SpecError: an unknown quantity, or a height below the table and below the scene's own.
        """
        low, high = self.low.copy(), self.high.copy()
        if start.widen != 1.0:
            centre, half = (self.low + self.high) / 2, (self.high - self.low) / 2
            low, high = centre - start.widen * half, centre + start.widen * half
            for index in range(low.size):
                axis = index % 3
                if AXES[axis] == "z":
                    low[index] = max(low[index], self.low[index])
                else:
                    low[index] = max(low[index], min(reach_low[axis], self.low[index]))
                    high[index] = min(high[index], max(reach_high[axis], self.high[index]))
        for name, (least, most) in start.ranges.items():
            if name not in self.names:
                raise SpecError(
                    f"the start's range {name!r} names nothing that this scene draws",
                    f"It draws {', '.join(self.names)}.",
                )
            index = self.names.index(name)
            floor = min(0.0, self.low[index])
            if AXES[index % 3] == "z" and least < floor:
                raise SpecError(
                    f"the start's range {name!r} begins at {least} m, below the table", f"Allowed is {floor:g} or more."
                )
            low[index], high[index] = least, most
        return StartBox(low, high)

    def draw(self, random: np.random.Generator) -> Array:
        """(K,) float64 start, m."""
        # A plain scaling of one uniform draw pairs the starts of the same seed across boxes.
        return self.low + (self.high - self.low) * random.random(self.low.size)
