"""Why no classifier was trained or no label given: a named state, its reason, what to do next."""

from __future__ import annotations

from enum import Enum
from typing import Any

from xrollout_ros.core.errors import DataError


class Stop(str, Enum):
    """The states."""

    NO_EPISODES = "no_episodes"
    """Nothing fits the filters."""
    SEVERAL = "several"
    """Episodes of several tasks or robots: a classifier is for one."""
    TOO_FEW = "too_few"
    """Fewer verified episodes than calibration takes."""
    NO_SUCCESSES = "no_successes"
    """All verified episodes are failures: one class teaches nothing."""
    NO_FAILURES = "no_failures"
    """All are successes."""
    UNREADABLE = "unreadable"
    """The bags cannot be read."""
    UNINFORMATIVE = "uninformative"
    """On held-out episodes it is not better than chance."""
    NO_CLASSIFIER = "no_classifier"
    DAMAGED = "damaged"
    """The classifier's file cannot be used."""
    OTHER_TASK = "other_task"
    OTHER_ROBOT = "other_robot"
    RETRAIN = "retrain"
    """People disagree with its labels too often."""


class StoppedError(DataError):
    """The work was stopped; nothing was changed.

    Args:
        state: its name.
        reason: what is wrong, with its value.
        next_step: what to do about it.
    """

    def __init__(self, state: Stop, reason: str, next_step: str) -> None:
        self.state = state
        super().__init__(f"{state.value}: {reason}", next_step)
        self.reason, self.next_step = reason, next_step

    @property
    def facts(self) -> dict[str, Any]:
        return {"state": self.state.value}
