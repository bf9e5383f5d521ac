"""How what a policy sees depends on the observations: what processors make of a displacement, and of a reflection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.mirror import Reflection
from xrollout_ros.core.processors import Difference, History, Normalize, Processor, Reference, RelativePose
from xrollout_ros.core.robot import RobotSpec

START = -1
"""Instead of an age: where the attempt began."""
Place = tuple[int, int]
"""Age in ticks, or START; place in the state vector."""


@dataclass(frozen=True)
class _Value:
    """One value that a policy sees: ``constant + Σ weights[place] · observed[place]``."""

    weights: Mapping[Place, float]
    constant: float = 0.0
    opaque: str = ""
    """Processor that makes something else of it; then ``weights`` only says of what."""

    def scaled(self, mean: float, scale: float) -> _Value:
        weights = {place: weight / scale for place, weight in self.weights.items()}
        return _Value(weights, (self.constant - mean) / scale, self.opaque)

    def minus(self, other: _Value) -> _Value:
        weights = dict(self.weights)
        for place, weight in other.weights.items():
            weights[place] = weights.get(place, 0.0) - weight
        return _Value(weights, self.constant - other.constant, self.opaque or other.opaque)

    def aged(self, ticks: int) -> _Value:
        weights = {(age if age == START else age + ticks, at): weight for (age, at), weight in self.weights.items()}
        return _Value(weights, self.constant, self.opaque)

    def at_start(self) -> _Value:
        weights: dict[Place, float] = {}
        for (_, at), weight in self.weights.items():
            weights[START, at] = weights.get((START, at), 0.0) + weight
        return _Value(weights, self.constant, self.opaque)

    def reflected(self, reflection: Reflection) -> _Value:
        """What it is after the observations were reflected."""
        weights = {
            (age, int(reflection.source[at])): weight * float(reflection.sign[at])
            for (age, at), weight in self.weights.items()
        }
        return _Value(weights, self.constant, self.opaque)

    def touches(self, places: Iterable[int]) -> bool:
        return bool({at for _, at in self.weights} & set(places))


class Inputs:
    """What a policy sees, as it depends on the robot's state vector.

    Args:
        robot: whose state vector ``(D,)`` it is.
        processors: what is done to it.

    Raises:
        ValueError: they do not fit the robot.
    """

    def __init__(self, robot: RobotSpec, processors: Sequence[Processor]) -> None:
        entries: dict[str, list[_Value]] = {
            name: [_Value({(0, at): 1.0}) for at in range(where.start, where.stop)]
            for name, where in robot.state_slices().items()
        }
        for number, step in enumerate(processors):
            _apply(step, entries, f"processors[{number}] ({step.kind})")
        self._values = [value for entry in entries.values() for value in entry]
        self._names = [name for name, entry in entries.items() for _ in entry]

    @property
    def remembers(self) -> str:
        """Name of an input that holds earlier ticks; empty: none does."""
        for value, name in zip(self._values, self._names, strict=True):
            if any(age > 0 for age, _ in value.weights):
                return name
        return ""

    def displaced(self, places: Sequence[int], what: str) -> npt.NDArray[np.float64]:
        """``(P, I)``: by how much each input changes for one unit of each of these values of the state vector.

        A displacement was there in earlier ticks too, but not when the attempt began.

        Args:
            places: P places in the state vector.
            what: names what displaces them, for the error.

        Raises:
            SpecError: a processor makes something of them that is not linear.
        """
        out = np.zeros((len(places), len(self._values)))
        for column, value in enumerate(self._values):
            if not value.touches(places):
                continue
            self._refuse_opaque(column, what)
            for (age, at), weight in value.weights.items():
                if age != START and at in places:
                    out[list(places).index(at), column] += weight
        return out

    def mirrored(self, reflection: Reflection) -> tuple[Reflection, npt.NDArray[np.float64]]:
        """What the inputs ``(I,)`` become when the state vector is reflected: a reflection, and what is added ``(I,)``.

        The signs are factors here: a processor may have scaled one value unlike the one that it is taken from.

        Raises:
            SpecError: what an input becomes cannot be told from the inputs.
        """
        changes = np.flatnonzero((reflection.source != np.arange(len(reflection.source))) | (reflection.sign != 1))
        source = np.arange(len(self._values))
        factor, added = np.ones(len(source)), np.zeros(len(source))
        for column, value in enumerate(self._values):
            if not value.touches(changes.tolist()):
                continue
            self._refuse_opaque(column, "augment.mirror")
            wanted = value.reflected(reflection)
            # Its own place first: where several would do, the least is changed.
            for other in sorted(range(len(self._values)), key=lambda place: place != column):
                ratio = _ratio(wanted, self._values[other])
                if ratio is not None:
                    source[column], factor[column] = other, ratio
                    added[column] = wanted.constant - ratio * self._values[other].constant
                    break
            else:
                raise SpecError(
                    f"augment.mirror: what becomes of {self._names[column]!r} cannot be told from what the policy sees",
                    "Let it see the other side's values too, processed alike, or train without mirror.",
                )
        return Reflection(source, factor), added

    def _refuse_opaque(self, column: int, what: str) -> None:
        if self._values[column].opaque:
            raise SpecError(
                f"{what}: {self._values[column].opaque} makes {self._names[column]!r} in a way that is not linear",
                f"Train without {what}, or take the processor out.",
            )


def _ratio(wanted: _Value, given: _Value) -> float | None:
    """The factor by which ``given`` becomes ``wanted``, up to a constant; None: it does not."""
    mine = {place: weight for place, weight in wanted.weights.items() if weight}
    theirs = {place: weight for place, weight in given.weights.items() if weight}
    if given.opaque or mine.keys() != theirs.keys():
        return None
    ratios = [mine[place] / theirs[place] for place in mine]
    return ratios[0] if ratios and np.allclose(ratios, ratios[0], rtol=1e-9) else None


def _apply(step: Processor, entries: dict[str, list[_Value]], where: str) -> None:
    """What one step makes of the entries; those on images make nothing of them."""
    if isinstance(step, Normalize) and step.observation is not None:
        given = entries[step.observation]
        mean, scale = np.broadcast_to(step.mean, len(given)), np.broadcast_to(step.scale, len(given))
        entries[step.observation] = [
            value.scaled(float(m), float(s)) for value, m, s in zip(given, mean, scale, strict=True)
        ]
    elif isinstance(step, Difference):
        entries[step.name] = _differences(entries[step.of], entries[step.minus])
    elif isinstance(step, History):
        given = entries[step.observation]
        entries[step.observation] = [value.aged(age) for age in reversed(range(step.length)) for value in given]
    elif isinstance(step, RelativePose):
        _relative(step, entries, where)


def _differences(of: list[_Value], minus: list[_Value]) -> list[_Value]:
    return [value.minus(other) for value, other in zip(of, minus, strict=True)]


def _relative(step: RelativePose, entries: dict[str, list[_Value]], where: str) -> None:
    given, reference = entries[step.position], step.reference
    origin = entries[reference.position] if isinstance(reference, Reference) else [each.at_start() for each in given]
    turns = [name for name in (step.orientation, getattr(reference, "orientation", None)) if name is not None]
    found = {step.position: _differences(given, origin)}
    if turns:
        # Turned, each value depends on all of these.
        named = [*given, *origin, *(value for name in turns for value in entries[name])]
        mixed = _Value({place: 1.0 for value in named for place in value.weights}, 0.0, where)
        found[step.position] = [mixed] * len(given)
        if step.orientation is not None:
            found[step.orientation] = [mixed] * len(entries[step.orientation])
    for name, values in found.items():
        entries[f"{name}_relative" if step.keep else name] = values
