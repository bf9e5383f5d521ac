"""The steps that observations go through, one class for each kind of processor."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.processors import (
    Crop,
    Difference,
    History,
    Normalize,
    Processor,
    Reference,
    RelativePose,
    Resize,
)
from xrollout_ros.runtime.image_processors import crop, normalize_image, resize
from xrollout_ros.runtime.rotations import multiply, rotate, unit, upright

Image = npt.NDArray[Any]


@dataclass(frozen=True)
class View:
    """What goes through the steps at one tick."""

    state: Mapping[str, Array]
    """Flat values by name."""
    images: Mapping[str, Image] = field(default_factory=dict)
    """``(H, W, C)`` by camera."""

    def with_state(self, **values: Array) -> View:
        """The same with these values replaced or added."""
        return replace(self, state={**self.state, **values})


class Step(Protocol):
    """One step. Called exactly once for each tick."""

    def reset(self) -> None:
        """Begin an attempt."""
        ...

    def __call__(self, view: View) -> View:
        """What comes out."""
        ...


class _Stateless:
    def reset(self) -> None:
        """Nothing is remembered."""


class _Normalize(_Stateless):
    def __init__(self, spec: Normalize) -> None:
        self._spec = spec
        self._mean, self._scale = np.asarray(spec.mean), np.asarray(spec.scale)

    def __call__(self, view: View) -> View:
        spec = self._spec
        if spec.observation is not None:
            return view.with_state(**{spec.observation: (view.state[spec.observation] - self._mean) / self._scale})
        camera = spec.camera or ""
        if camera not in view.images:
            return view
        image = normalize_image(view.images[camera], self._mean, self._scale)
        return replace(view, images={**view.images, camera: image})


class _Crop(_Stateless):
    def __init__(self, spec: Crop) -> None:
        self._spec = spec

    def __call__(self, view: View) -> View:
        spec = self._spec
        if spec.camera not in view.images:
            return view
        image = crop(view.images[spec.camera], spec.x, spec.y, spec.width, spec.height)
        return replace(view, images={**view.images, spec.camera: image})


class _Resize(_Stateless):
    def __init__(self, spec: Resize) -> None:
        self._spec = spec

    def __call__(self, view: View) -> View:
        spec = self._spec
        if spec.camera not in view.images:
            return view
        image = resize(view.images[spec.camera], spec.width, spec.height)
        return replace(view, images={**view.images, spec.camera: image})


class _Difference(_Stateless):
    def __init__(self, spec: Difference) -> None:
        self._spec = spec

    def __call__(self, view: View) -> View:
        spec = self._spec
        return view.with_state(**{spec.name: view.state[spec.of] - view.state[spec.minus]})


class _History:
    def __init__(self, spec: History) -> None:
        self._spec = spec
        self._values: deque[Array] = deque(maxlen=spec.length)

    def reset(self) -> None:
        self._values.clear()

    def __call__(self, view: View) -> View:
        spec = self._spec
        value = view.state[spec.observation]
        self._values.extend([value] if self._values else [value] * spec.length)
        return view.with_state(**{spec.observation: np.concatenate(list(self._values))})


class _RelativePose:
    def __init__(self, spec: RelativePose) -> None:
        self._spec = spec
        self._start: tuple[Array, Array] | None = None

    def reset(self) -> None:
        self._start = None

    def __call__(self, view: View) -> View:
        spec = self._spec
        position, turn = _pose(view, spec.position, spec.orientation)
        if isinstance(spec.reference, Reference):
            origin, frame = _pose(view, spec.reference.position, spec.reference.orientation)
        else:
            self._start = self._start or (position, turn)
            origin, frame = self._start
        back = frame * (-1.0, -1.0, -1.0, 1.0)
        suffix = "_relative" if spec.keep else ""
        found = {f"{spec.position}{suffix}": rotate(back, position - origin)}
        if spec.orientation is not None:
            found[f"{spec.orientation}{suffix}"] = upright(multiply(back, turn))
        return view.with_state(**found)


def _pose(view: View, position: str, orientation: str | None) -> tuple[Array, Array]:
    turn = np.array([0.0, 0.0, 0.0, 1.0]) if orientation is None else unit(view.state[orientation])
    return view.state[position], turn


def make_step(spec: Processor) -> Step:
    """The step that a processor of a spec describes."""
    if isinstance(spec, Normalize):
        return _Normalize(spec)
    if isinstance(spec, RelativePose):
        return _RelativePose(spec)
    if isinstance(spec, Difference):
        return _Difference(spec)
    if isinstance(spec, History):
        return _History(spec)
    return _Crop(spec) if isinstance(spec, Crop) else _Resize(spec)
