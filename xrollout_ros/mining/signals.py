"""What the rules look at: hand, object, goal, fingers and force of an attempt, as its topics gave them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Mode
from xrollout_ros.core.task import TaggingSpec
from xrollout_ros.episodes.reader import EpisodeData

Floats = npt.NDArray[np.float64]


class NotApplicableError(Exception):
    """A rule needs a signal that the episode does not have."""


class Signals:
    """Signals of one episode, by row; derived when they are asked for.

    Each property raises ``NotApplicableError`` where the task does not name the signal or nothing was recorded, and
    ``SpecError`` where it names one that the robot has not.
    """

    def __init__(self, episode: EpisodeData) -> None:
        self.episode = episode
        self.tagging = episode.task.tagging if episode.task is not None else TaggingSpec()
        self._slices = episode.robot.state_slices()

    def __len__(self) -> int:
        """T, the number of rows."""
        return len(self.episode)

    @property
    def time_s(self) -> Floats:
        """(T,) s since the first row."""
        return self.episode.stamp_s

    @property
    def duration_s(self) -> float:
        """From the first row to the last; of an attempt without rows what its manifest says."""
        return float(self.time_s[-1]) if len(self) else self.episode.meta.duration_s

    def rows(self, seconds: float) -> int:
        """How many rows so much time is; at least 1."""
        if len(self) < 2:
            return 1
        period_s = float(np.median(np.diff(self.time_s)))
        return max(1, round(seconds / period_s)) if period_s > 0 else 1

    def observation(self, name: str | None, what: str) -> Floats:
        """(T, size) values of an observation that the TaskSpec names as ``what``."""
        if self.episode.task is None:
            raise NotApplicableError("the episode has no task")
        if name is None:
            raise NotApplicableError(f"the task names no {what}")
        if name not in self._slices:
            raise SpecError(
                f"the task {self.episode.meta.task!r} names {name!r} as its {what}, which its robot does not observe",
                f"Name one of {', '.join(self._slices)} in the TaskSpec.",
            )
        if len(self) == 0:
            raise NotApplicableError("nothing was recorded before the attempt ended")
        return self.episode.state[:, self._slices[name]]

    @cached_property
    def hand(self) -> Floats:
        """(T, 3) m."""
        return self.observation(self.hand_name, "hand (under `reach`)")

    @cached_property
    def object(self) -> Floats:
        """(T, 3) m."""
        return self.observation(self.object_name, "object (under `reach`)")

    @cached_property
    def goal(self) -> Floats:
        """(T, 3) m, as it was told."""
        return self._fitting(self.observation(self.tagging.goal, "goal (under `tagging`)"), "goal")

    @cached_property
    def opening(self) -> Floats:
        """(T,) how far the fingers are open."""
        return self.observation(self.tagging.opening, "opening (under `tagging`)")[:, 0]

    @cached_property
    def force_n(self) -> Floats:
        """(T,) magnitude, N."""
        return _norm(self.observation(self.tagging.force, "force (under `tagging`)"))

    @cached_property
    def closing(self) -> npt.NDArray[np.bool_]:
        """(T,) whether the fingers were told to close: beyond the middle of the action's range and a tenth of it."""
        name = self.tagging.gripper
        if name is None:
            raise NotApplicableError("the task names no gripper (under `tagging`)")
        names = [dim.name for dim in self.episode.robot.actions]
        if name not in names:
            raise SpecError(
                f"the task {self.episode.meta.task!r} names {name!r} as its gripper, which is no action of its robot",
                f"Name one of {', '.join(names)} in the TaskSpec.",
            )
        dim = self.episode.robot.actions[names.index(name)]
        limit = (dim.lower + dim.upper) / 2 + 0.1 * (dim.upper - dim.lower)
        closing: npt.NDArray[np.bool_] = self.episode.action[:, names.index(name)] > limit
        return closing

    @cached_property
    def apart_m(self) -> Floats:
        """(T,) from hand to object."""
        return _norm(self.hand - self._fitting(self.object, "object"))

    @cached_property
    def to_goal_m(self) -> Floats:
        """(T,) from object to goal, as it was told."""
        return _norm(self._fitting(self.object, "object") - self.goal)

    @property
    def hand_name(self) -> str | None:
        """Name of the hand's observation."""
        task = self.episode.task
        return task.reach.hand if task is not None and task.reach is not None else None

    @property
    def object_name(self) -> str | None:
        """Name of the object's observation."""
        task = self.episode.task
        return task.reach.object if task is not None and task.reach is not None else None

    @property
    def near_m(self) -> float:
        """How near the hand must be to be at the object."""
        task = self.episode.task
        if task is None or task.reach is None:
            raise NotApplicableError("the task names no hand (under `reach`)")
        return task.reach.distance_m

    @cached_property
    def recovering(self) -> npt.NDArray[np.bool_]:
        """(T,) a recovery policy drove."""
        recovering: npt.NDArray[np.bool_] = self.episode.mode == int(Mode.RECOVERING)
        return recovering

    @cached_property
    def stuck_rows(self) -> npt.NDArray[np.int64]:
        """(T,) for how many rows in a row the hand has said exactly the same though it was told to move."""
        said, told = self.hand, self._told_to_move
        same = np.zeros(len(self), dtype=bool)
        same[1:] = (said[1:] == said[:-1]).all(axis=1) & told[:-1]
        counts = np.zeros(len(self), dtype=np.int64)
        for row in np.flatnonzero(same):
            counts[row] = counts[row - 1] + 1
        return counts

    @cached_property
    def _told_to_move(self) -> npt.NDArray[np.bool_]:
        """(T,) whether the command asked for motion of anything but the fingers."""
        robot, action = self.episode.robot, self.episode.action
        asks = np.zeros(len(self), dtype=bool)
        for index, dim in enumerate(robot.actions):
            if dim.kind.value == "gripper":
                continue
            if dim.kind.value in ("delta", "velocity"):
                asks |= np.abs(action[:, index]) > 0.05 * (dim.upper - dim.lower) / 2
            elif dim.kind.value == "position":
                asks |= np.abs(np.gradient(action[:, index])) > 1e-6 if len(self) > 1 else False
        return asks

    def _fitting(self, values: Floats, what: str) -> Floats:
        if values.shape != self.hand.shape:
            raise SpecError(
                f"the task {self.episode.meta.task!r} compares its hand of {self.hand.shape[1]} values with its {what} "
                f"of {values.shape[1]} values",
                "Name positions of the same size in the TaskSpec.",
            )
        return values


def _norm(values: Floats) -> Floats:
    """(T,) length of each row."""
    lengths: Floats = np.linalg.norm(values, axis=1)
    return lengths
