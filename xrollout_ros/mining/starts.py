"""What describes the start of an attempt, and distances between starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.mining.signals import Floats

NOT_NAMED = (
    "the TaskSpec names nothing that describes a start: name the observations that differ from start to start under "
    "`tagging.familiar` (with their known ranges), or an object under `reach` and a goal under `tagging`"
)
"""Said where nothing can be said of starts."""
_FLAT = 0.02
"""What varies by less than this share of the largest range of its unit is no axis of a picture."""
_LETTERS = "xyz"


@dataclass(frozen=True)
class Axis:
    """One number of a start."""

    observation: str
    label: str
    unit: str

    @property
    def title(self) -> str:
        """Label and unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


def names_of_starts(task: TaskSpec, robot: RobotSpec) -> tuple[str, ...]:
    """Observations that describe a start: those with familiar ranges, the object to reach, the goal as told.

    None where the TaskSpec names none.

    Raises:
        SpecError: it names one that the robot does not observe.
    """
    named = [*task.tagging.familiar, *([task.reach.object] if task.reach else []), task.tagging.goal]
    found = tuple(dict.fromkeys(name for name in named if name is not None))
    known = robot.state_slices()
    for name in found:
        if name not in known:
            raise SpecError(
                f"the task {task.id!r} describes a start by {name!r}, which its robot does not observe",
                f"Name one of {', '.join(known)} in the TaskSpec.",
            )
    return found


def axes_of_starts(names: Sequence[str], robot: RobotSpec) -> tuple[Axis, ...]:
    """K axes, in the order of the values of a start."""
    sizes = {entry.name: (entry.size, entry.unit) for entry in robot.observations}
    axes = []
    for name in names:
        size, unit = sizes[name]
        place = size == 3 and unit == "m"
        labels = [f"{name} {_LETTERS[index]}" if place else f"{name}[{index}]" for index in range(size)]
        axes += [Axis(name, label if size > 1 else name, unit) for label in labels]
    return tuple(axes)


@dataclass(frozen=True)
class Scale:
    """Makes numbers of several units comparable: axes of one unit share a scale, so that metres stay metres."""

    spans: Floats
    """(K,) largest range among the axes of the same unit."""
    varying: tuple[int, ...]
    """Axes along which starts differ by more than noise, as they come."""

    def apart(self, one: Floats, others: Floats) -> Floats:
        """(N,) distances of starts ``(N, K)`` from one start ``(K,)``; 1: as far as the widest axis goes."""
        distances: Floats = np.linalg.norm((others - one) / self.spans, axis=1)
        return distances


def scale_of(values: Floats, axes: Sequence[Axis]) -> Scale:
    """The scale of starts ``(N, K)``."""
    ranges = np.ptp(values, axis=0) if len(values) else np.zeros(len(axes))
    units = [axis.unit for axis in axes]
    spans = np.array([max(ranges[other] for other, unit in enumerate(units) if unit == mine) for mine in units])
    moves = (ranges > _FLAT * spans) & (ranges > 1e-9)
    return Scale(np.where(spans > 0, spans, 1.0), tuple(int(index) for index in np.flatnonzero(moves)))


def farthest_points(points: Floats, count: int, first: int = 0) -> list[int]:
    """Rows of ``(N, K)`` that are far from one another (Gonzalez 1985): each is the farthest from all before it.

    Fewer than ``count`` where the others are the same points again.
    """
    if not len(points) or count < 1:
        return []
    chosen = [first]
    nearest = np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < count:
        farthest = int(nearest.argmax())
        if nearest[farthest] <= 1e-9:
            break
        chosen.append(farthest)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[farthest], axis=1))
    return chosen
