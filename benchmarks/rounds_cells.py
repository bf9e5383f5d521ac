"""Results of long benchmarks, one line each, so that an interrupted run goes on; rates, intervals and comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.wilson import wilson

DRAWS = 4000
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """One trained policy, tried."""

    key: dict[str, Any]
    """What it is: task, training seed, arm, …, and all sizes that it follows from."""
    tried: dict[str, str]
    """``1`` and ``0`` for each start, by the conditions."""
    facts: dict[str, Any]
    """Demonstrations, rows, seconds."""


class Cells:
    """A JSON-lines file of cells."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.all: list[Cell] = []
        text = path.read_bytes() if path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):  # killed while it wrote the last one
            path.write_bytes(whole)
        self.all = [Cell(**json.loads(line)) for line in whole.splitlines()]

    def find(self, **key: Any) -> Cell | None:
        """The cell of exactly this key."""
        return next((cell for cell in self.all if cell.key == key), None)

    def some(self, **part: Any) -> list[Cell]:
        """Cells whose key has these values."""
        return [cell for cell in self.all if part.items() <= cell.key.items()]

    def add(self, cell: Cell) -> None:
        with self._path.open("ab") as file:
            file.write(json.dumps(asdict(cell)).encode() + b"\n")
        self.all.append(cell)


def rate(cells: Sequence[Cell], *conditions: str) -> str:
    """Pooled success with its Wilson interval, and the least and largest of a training seed."""
    outcomes = ["".join(cell.tried[condition] for condition in conditions) for cell in cells]
    if not outcomes:
        return "–"
    whole = "".join(outcomes)
    low, high = wilson(whole.count("1"), len(whole))
    each = [outcome.count("1") / len(outcome) for outcome in outcomes]
    return f"{whole.count('1') / len(whole):.2f} ({low:.2f}–{high:.2f}; {min(each):.2f}–{max(each):.2f})"


def matrix(cells: Sequence[Cell], *conditions: str) -> Floats:
    """(training seeds, starts) shares of the conditions with success, in order of the seeds."""
    ordered = sorted(cells, key=lambda cell: int(cell.key["seed"]))
    found: Floats = np.array(
        [[[int(letter) for letter in cell.tried[condition]] for condition in conditions] for cell in ordered],
        dtype=np.float64,
    ).mean(axis=1)
    return found


def drawn(seeds: int, starts: int, random: np.random.Generator) -> tuple[Indices, Indices]:
    """Training seeds and starts, each drawn with replacement: a two-way bootstrap, for both are chance."""
    return random.integers(seeds, size=seeds), random.integers(starts, size=starts)


def difference(one: Sequence[Cell], other: Sequence[Cell], *conditions: str, draws: int = DRAWS) -> str:
    """How much more often the one succeeds, with a 95 % interval: same training seeds, same starts."""
    seeds = {cell.key["seed"] for cell in one} & {cell.key["seed"] for cell in other}
    if not seeds:
        return "–"
    first, second = (
        matrix([cell for cell in cells if cell.key["seed"] in seeds], *conditions) for cells in (one, other)
    )
    apart = first - second
    random, found = np.random.default_rng(0), []
    for _ in range(draws):
        rows, columns = drawn(*apart.shape, random)
        found.append(apart[np.ix_(rows, columns)].mean())
    low, high = np.quantile(found, [0.025, 0.975])
    return f"{apart.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def reached(steps: Sequence[float], rates: Sequence[float], level: float) -> float:
    """Where a curve, made monotone, first reaches a level, by straight lines between its points; inf: nowhere."""
    best = np.maximum.accumulate(rates)
    if best[-1] < level:
        return float("inf")
    after = int(np.argmax(best >= level))
    if after == 0:
        return float(steps[0])
    share = (level - best[after - 1]) / (best[after] - best[after - 1])
    return float(steps[after - 1] + share * (steps[after] - steps[after - 1]))


def saved(
    usual: Mapping[int, Floats], other: Mapping[int, Floats], at: int, draws: int = DRAWS
) -> tuple[float, float, float, float]:
    """Share of what is usually collected that another way saves to reach the level of the usual one with ``at``.

    Args:
        usual: (training seeds, starts) outcomes by what was collected, 0 for nothing among them.
        other: the same, by the other way.
        at: one of the usual way's sizes.

    Returns:
        Share saved (below 0: it takes more; -inf: it never comes there), its 95 % interval by a two-way bootstrap, and
        the level.
    """
    seeds, count = usual[at].shape

    def share(rows: Indices, columns: Indices) -> tuple[float, float]:
        curves = [
            (sorted(curve), [float(curve[size][np.ix_(rows, columns)].mean()) for size in sorted(curve)])
            for curve in (usual, other)
        ]
        level = max(rate for size, rate in zip(*curves[0], strict=True) if size <= at)
        needed = reached(*curves[0], level)
        if needed == 0:
            return 0.0, level
        return 1.0 - reached(*curves[1], level) / needed, level

    random = np.random.default_rng(0)
    found = [share(*drawn(seeds, count, random))[0] for _ in range(draws)]
    middle, level = share(np.arange(seeds), np.arange(count))
    # Order statistics, since an average of infinities is no number.
    low, high = np.quantile(found, [0.025, 0.975], method="inverted_cdf")
    return middle, float(low), float(high), level
