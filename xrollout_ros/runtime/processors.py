"""Turns observations into what a policy sees: the same code in the graph, in the in-process loop and in training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array, Observation
from xrollout_ros.core.processors import Entry, Processor, outcome
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.processor_steps import View, make_step


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
        self._steps = [make_step(processor) for processor in self.processors]

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
