"""Turns observations into what a policy sees: the same code in the graph, in the in-process loop and in training."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array, Observation
from xrollout_ros.core.processors import (
    Crop,
    Difference,
    Entry,
    History,
    Normalize,
    Processor,
    Reference,
    RelativePose,
    Resize,
    outcome,
)
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.image_processors import crop, normalize_image, resize

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


class Pipeline:
    """The steps in order.

    Args:
        processors: as the RobotSpec or the checkpoint lists them.
        robot: whose state vector goes in.

    Raises:
        ValueError: they do not fit the robot.
    """

    def __init__(self, processors: Iterable[Processor], robot: RobotSpec) -> None:
        self.processors = tuple(processors)
        self._slices = robot.state_slices()
        self._cameras = {camera.name: (camera.width, camera.height) for camera in robot.cameras}
        self.outputs, self.images = outcome(self.processors, state_entries(robot), self._cameras)
        """Names, sizes and units of the input vector, in order; width and height of the images."""
        self._steps = [_make(processor) for processor in self.processors]

    def reset(self) -> None:
        """Begin an attempt."""
        for step in self._steps:
            step.reset()

    def view(self, view: View) -> View:
        """One tick."""
        for step in self._steps:
            view = step(view)
        return view

    def __call__(self, state: Array) -> Array:
        """One tick: the policy's input vector for a state vector ``(D,)``. Steps on images wait for images."""
        if not self._steps:
            return state
        out = self.view(View({name: state[where] for name, where in self._slices.items()}))
        return np.concatenate([out.state[name] for name in self.outputs])


def state_entries(robot: RobotSpec) -> dict[str, Entry]:
    """Names, sizes and units of a robot's state vector, in order."""
    return {entry.name: Entry(entry.size, entry.unit) for entry in robot.observations}


class Ticks:
    """Which observations of an attempt are ticks: one for each policy period, on a grid from the first one.

    Args:
        period_ns: policy period.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._first_ns: int | None = None
        self._last = -1

    def reset(self) -> None:
        """Begin an attempt."""
        self._first_ns, self._last = None, -1

    def new(self, stamp_ns: int) -> bool:
        """Whether an observation of this time is a tick. Half a period of slack: sensors do not keep the grid."""
        if self._first_ns is None:
            self._first_ns = stamp_ns
        place = (stamp_ns - self._first_ns + self._period_ns // 2) // self._period_ns
        if place <= self._last:
            return False
        self._last = place
        return True


class Processing:
    """Advances a pipeline once for each tick, however often and however fast observations come."""

    def __init__(self, pipeline: Pipeline, robot: RobotSpec) -> None:
        self.pipeline = pipeline
        self._ticks = Ticks(robot.policy_period_ns)
        self._episode_id = ""
        self._last: Observation | None = None
        self._given = (-1, -1)

    def __call__(self, observation: Observation) -> Observation | None:
        """What the policy sees of an observation; None between two ticks. One that comes again gives the same again."""
        if not self.pipeline.processors:
            return observation
        if observation.episode_id != self._episode_id:
            self._episode_id, self._last = observation.episode_id, None
            self._ticks.reset()
            self.pipeline.reset()
        given = (observation.step, observation.stamp_ns)
        if self._last is not None and given == self._given:
            return self._last
        if not self._ticks.new(observation.stamp_ns):
            return None
        self._given = given
        self._last = replace(observation, state=self.pipeline(observation.state))
        return self._last


def process_rows(
    pipeline: Pipeline, robot: RobotSpec, state: Array, stamp_ns: npt.NDArray[np.int64]
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Recorded rows of one attempt through a pipeline, as they went through it while it ran.

    Args:
        pipeline: the steps.
        robot: its spec.
        state: ``(T, D)``.
        stamp_ns: ``(T,)``.

    Returns:
        ``(T, I)`` inputs, and ``(T,)`` which rows are ticks; others hold zeros.
    """
    if not pipeline.processors:
        return state, np.ones(len(state), dtype=np.bool_)
    pipeline.reset()
    ticks = Ticks(robot.policy_period_ns)
    inputs = np.zeros((len(state), sum(entry.size for entry in pipeline.outputs.values())))
    ticked = np.array([ticks.new(int(stamp)) for stamp in stamp_ns], dtype=np.bool_)
    for row in np.flatnonzero(ticked):
        inputs[row] = pipeline(state[row])
    return inputs, ticked


# --- the steps ------------------------------------------------------------------------------------------------------


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


def unit(turn: Array) -> Array:
    """A quaternion (x, y, z, w) of length 1; one of zeros, which in ROS means "not given", is no turn at all."""
    length = float(np.linalg.norm(turn))
    return turn / length if length > 1e-9 else np.array([0.0, 0.0, 0.0, 1.0])


def upright(turn: Array) -> Array:
    """Of the two quaternions of one turn the one whose w is not negative, so that a turn has one value."""
    return -turn if turn[3] < 0 else turn


def multiply(first: Array, second: Array) -> Array:
    """Hamilton product of two quaternions (x, y, z, w)."""
    (ax, ay, az, aw), (bx, by, bz, bw) = first, second
    return np.array(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def rotate(turn: Array, vector: Array) -> Array:
    """A vector ``(3,)`` turned by a unit quaternion (x, y, z, w)."""
    axis = turn[:3]
    across = 2 * np.cross(axis, vector)
    return np.asarray(vector + turn[3] * across + np.cross(axis, across))


def _make(spec: Processor) -> Step:
    if isinstance(spec, Normalize):
        return _Normalize(spec)
    if isinstance(spec, RelativePose):
        return _RelativePose(spec)
    if isinstance(spec, Difference):
        return _Difference(spec)
    if isinstance(spec, History):
        return _History(spec)
    return _Crop(spec) if isinstance(spec, Crop) else _Resize(spec)
