"""How long a task takes when it succeeds, from the episodes at hand."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.episodes.store import find_episodes

ENOUGH = 5
"""Fewer successes say nothing."""
NEWEST = 100
"""Successes that count: policies change."""


class SuccessDurations:
    """Durations of a task's successful attempts by policies, without those that an operator helped with.

    Args:
        task: TaskSpec id.
        robot: RobotSpec id.
    """

    def __init__(self, task: str, robot: str) -> None:
        self._task, self._robot = task, robot
        self._seconds: list[float] = []

    def read(self, data: Path) -> None:
        """Add those of a data folder; one that is not there yet has none."""
        for entry in find_episodes(data) if data.is_dir() else []:
            if entry.meta is not None:
                self.add(entry.meta)

    def add(self, meta: EpisodeMeta) -> None:
        """Add an episode, if it counts."""
        ours = (meta.task, meta.robot) == (self._task, self._robot) and bool(meta.policy_id) and meta.kind.counts
        if ours and meta.result().success:
            self._seconds.append(meta.duration_s)

    @property
    def usual_s(self) -> float:
        """The median, s; 0: too few are known."""
        return median(self._seconds[-NEWEST:]) if len(self._seconds) >= ENOUGH else 0.0
