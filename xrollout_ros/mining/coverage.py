"""Where attempts start, where they succeed, and where it was demonstrated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.attempts import Row
from xrollout_ros.mining.looking import Look
from xrollout_ros.mining.signals import Floats
from xrollout_ros.mining.starts import Axis, Scale, scale_of

POOR = 0.5
"""A cell whose success is surely below this is poor."""
_PER_CELL, _SHOWN_PER_CELL, _FINEST = 5, 2, 8
"""Attempts and demonstrations that a cell has on average, so that an empty one tells something; most cells along an
axis."""
_FEW = 0.25
"""Of an even spread of the demonstrations over the cells with attempts: no more than this is a desert."""
_USUAL = 0.9
"""Quantile of the distances among demonstrations within which a start counts as demonstrated."""
_DENSE = 3
"""Demonstrations that a cell has at the least for its data to be called dense."""
_LEAST = 10
"""Fewer attempts tell nothing of places."""


class Region(str, Enum):
    """What is wrong with a part of the starts."""

    DESERT = "data desert"
    """Attempts start there and (nearly) no demonstration."""
    WEAK = "dense data, poor success"
    """It was demonstrated there, and the policy fails all the same: more of the same is not what is missing."""


@dataclass(frozen=True)
class Cell:
    """A part of a picture's plane."""

    column: int
    row: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Its ends along the view's axes."""
    attempts: int
    successes: int
    demonstrations: int
    region: Region | None


@dataclass(frozen=True)
class View:
    """Starts projected onto two axes, or one; whatever varies along the others is mixed."""

    axes: tuple[int, ...]
    """One or two of the coverage's."""
    edges: tuple[Floats, ...]
    """Of the cells along each."""
    cells: tuple[Cell, ...]
    """With anything in them."""


@dataclass(frozen=True)
class Near:
    """Attempts that began near a demonstration, or far from all."""

    successes: int
    attempts: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, 95 %."""
        return wilson(self.successes, self.attempts)


@dataclass(frozen=True)
class Coverage:
    """Coverage of the starts."""

    axes: tuple[Axis, ...]
    scale: Scale
    ids: tuple[str, ...]
    """Episodes of ``starts``: attempts, then demonstrations."""
    starts: Floats
    """(N, K)."""
    n_attempts: int
    succeeded: tuple[bool, ...]
    """Of the attempts."""
    views: tuple[View, ...]
    near: Near
    far: Near
    reach: float | None
    """How far from the next demonstration is near, in units of the widest axis; none: fewer than two demonstrations."""
    gaps: Floats
    """(n_attempts,) distance to the nearest demonstration; inf without any."""

    @property
    def attempts(self) -> Floats:
        """(n_attempts, K) starts."""
        return self.starts[: self.n_attempts]

    @property
    def demonstrations(self) -> Floats:
        """(M, K) starts."""
        return self.starts[self.n_attempts :]

    def start_of(self, episode_id: str) -> Floats | None:
        """(K,) of an episode; none where it is not known."""
        return self.starts[self.ids.index(episode_id)] if episode_id in self.ids else None

    def around(self, starts: Floats, each: int) -> tuple[int, int]:
        """Successes and attempts among the ``each`` attempts nearest to each of these starts ``(N, K)``."""
        nearest: set[int] = set()
        for start in starts:
            nearest.update(np.argsort(self.scale.apart(start, self.attempts), kind="stable")[:each].tolist())
        return sum(self.succeeded[index] for index in nearest), len(nearest)

    def cells(self, region: Region) -> list[tuple[View, Cell]]:
        """Cells of this kind, of all views; those with the most failures first."""
        found = [(view, cell) for view in self.views for cell in view.cells if cell.region is region]
        return sorted(found, key=lambda each: each[1].successes - each[1].attempts)


def coverage(
    attempts: Sequence[Row], demonstrations: Sequence[Row], looks: Mapping[str, Look], axes: Sequence[Axis]
) -> Coverage:
    """Coverage by attempts and demonstrations whose start was observed."""
    tried = [row for row in attempts if looks[row.episode_id].start is not None]
    shown = [row for row in demonstrations if looks[row.episode_id].start is not None]
    rows = [*tried, *shown]
    starts = np.array([looks[row.episode_id].start for row in rows], dtype=np.float64).reshape(len(rows), len(axes))
    scale = scale_of(starts, axes)
    succeeded = np.array([row.success for row in tried], dtype=bool)
    points, demonstrated = starts[: len(tried)], starts[len(tried) :]
    gaps, reach = _gaps(points, demonstrated, scale)
    near = gaps <= reach if reach is not None else np.zeros(len(tried), dtype=bool)
    return Coverage(
        axes=tuple(axes),
        scale=scale,
        ids=tuple(row.episode_id for row in rows),
        starts=starts,
        n_attempts=len(tried),
        succeeded=tuple(succeeded.tolist()),
        views=tuple(
            _view(each, points, succeeded, demonstrated)
            for each in (planes(axes, scale) if len(tried) >= _LEAST else ())
        ),
        near=Near(int(succeeded[near].sum()), int(near.sum())),
        far=Near(int(succeeded[~near].sum()), int((~near).sum())),
        reach=reach,
        gaps=gaps,
    )


def _gaps(points: Floats, demonstrated: Floats, scale: Scale) -> tuple[Floats, float | None]:
    """Distance of each attempt to its nearest demonstration, and how far these usually are from one another."""
    if not len(demonstrated):
        return np.full(len(points), math.inf), None
    gaps = np.array([scale.apart(point, demonstrated).min() for point in points])
    if len(demonstrated) < 2:
        return gaps, None
    own = []
    for index, point in enumerate(demonstrated):
        own.append(scale.apart(point, np.delete(demonstrated, index, axis=0)).min())
    return gaps, float(np.quantile(own, _USUAL))


def planes(axes: Sequence[Axis], scale: Scale) -> list[tuple[int, ...]]:
    """For each observation the first two of its axes that vary, or the one that does."""
    found = []
    for name in dict.fromkeys(axis.observation for axis in axes):
        own = tuple(index for index in scale.varying if axes[index].observation == name)[:2]
        if own:
            found.append(own)
    return found


def _view(plane: tuple[int, ...], points: Floats, succeeded: npt.NDArray[np.bool_], demonstrated: Floats) -> View:
    cells_wanted = len(points) / _PER_CELL
    if len(demonstrated):
        cells_wanted = min(cells_wanted, len(demonstrated) / _SHOWN_PER_CELL)
    along = max(2, min(_FINEST, round(cells_wanted ** (1 / len(plane)))))
    every = np.concatenate([points, demonstrated])[:, plane]
    low, high = every.min(axis=0), every.max(axis=0)
    edges = tuple(np.linspace(low[axis], high[axis], along + 1) for axis in range(len(plane)))
    tried = [_cells(points[:, index], edge) for index, edge in zip(plane, edges, strict=True)]
    shown = [_cells(demonstrated[:, index], edge) for index, edge in zip(plane, edges, strict=True)]
    shape = tuple(along for _ in plane)
    attempts, successes, demonstrations = (np.zeros(shape, dtype=int) for _ in range(3))
    np.add.at(attempts, tuple(tried), 1)
    np.add.at(successes, tuple(tried), np.asarray(succeeded, dtype=int))
    np.add.at(demonstrations, tuple(shown), 1)
    wanted = attempts > 0
    even = demonstrations.sum() / max(1, int(wanted.sum()))
    cells = []
    for place in np.ndindex(*shape):
        if not attempts[place] and not demonstrations[place]:
            continue
        cells.append(
            Cell(
                column=place[0],
                row=place[1] if len(place) > 1 else 0,
                low=tuple(float(edge[at]) for edge, at in zip(edges, place, strict=True)),
                high=tuple(float(edge[at + 1]) for edge, at in zip(edges, place, strict=True)),
                attempts=int(attempts[place]),
                successes=int(successes[place]),
                demonstrations=int(demonstrations[place]),
                region=_region(int(attempts[place]), int(successes[place]), int(demonstrations[place]), even),
            )
        )
    return View(plane, edges, tuple(cells))


def _cells(values: Floats, edges: Floats) -> npt.NDArray[np.int64]:
    """(N,) cell of each value; the last edge belongs to the last cell."""
    cells: npt.NDArray[np.int64] = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return cells


def _region(attempts: int, successes: int, demonstrations: int, even: float) -> Region | None:
    if not attempts:
        return None
    if demonstrations <= _FEW * even:
        return Region.DESERT
    return Region.WEAK if demonstrations >= max(even, _DENSE) and wilson(successes, attempts)[1] < POOR else None
