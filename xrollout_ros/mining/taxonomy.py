"""The ways in which attempts fail, and what is worth knowing of those that succeed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from xrollout_ros.core.errors import check_name

_NAME = r"[a-z][a-z0-9_]{0,63}"


class FailureMode(str, Enum):
    """The modes that the rules know. Other labellers may bring their own."""

    NEVER_REACHED = "never_reached"
    GRASP_FAILURE = "grasp_failure"
    DROPPED = "dropped"
    POSE_ERROR = "pose_error"
    RECOVERY_FAILURE = "recovery_failure"
    GENERALIZATION_FAILURE = "generalization_failure"
    COLLISION = "collision"
    TIMEOUT = "timeout"
    SAFETY_ABORT = "safety_abort"
    OPERATOR_ABORT = "operator_abort"
    SYSTEM_FAULT = "system_fault"
    NEAR_MISS = "near_miss"
    SUCCESSFUL_RECOVERY = "successful_recovery"


@dataclass(frozen=True)
class ModeInfo:
    """What a mode means."""

    meaning: str
    severity: float
    """0 harmless to 1 dangerous, where nothing says more of it."""


MODES: dict[FailureMode, ModeInfo] = {
    FailureMode.NEVER_REACHED: ModeInfo("the hand never came near the object", 0.3),
    FailureMode.GRASP_FAILURE: ModeInfo("the hand was at the object and never got hold of it", 0.3),
    FailureMode.DROPPED: ModeInfo("the object was moved by the hand and lost on the way", 0.6),
    FailureMode.POSE_ERROR: ModeInfo("the object was moved and came to rest, but not where it was wanted", 0.4),
    FailureMode.RECOVERY_FAILURE: ModeInfo("something went wrong, was tried again, and the attempt still failed", 0.5),
    FailureMode.GENERALIZATION_FAILURE: ModeInfo("it failed from a start unlike those that are known to work", 0.4),
    FailureMode.COLLISION: ModeInfo("the robot pressed against something too hard", 0.8),
    FailureMode.TIMEOUT: ModeInfo("the time was over while it was still under way", 0.3),
    FailureMode.SAFETY_ABORT: ModeInfo("a check of the supervisor ended it", 0.8),
    FailureMode.OPERATOR_ABORT: ModeInfo("a person ended it", 0.5),
    FailureMode.SYSTEM_FAULT: ModeInfo("a part of the system died, or a sensor repeated itself", 0.5),
    FailureMode.NEAR_MISS: ModeInfo("it succeeded, but only just", 0.1),
    FailureMode.SUCCESSFUL_RECOVERY: ModeInfo("something went wrong, was tried again, and it succeeded", 0.1),
}
IN_SUCCESSES = frozenset({FailureMode.NEAR_MISS, FailureMode.SUCCESSFUL_RECOVERY})
"""Modes that are no failures: they are looked for in successes, and nowhere else."""


def tag_of(mode: str) -> str:
    """The tag of an episode in which such a mode was found, e.g. ``near-miss``."""
    return mode.replace("_", "-")


def check_mode(mode: str) -> str:
    """Return ``mode`` if it may be the name of one.

    Raises:
        DataError: it may not.
    """
    allowed = "up to 64 lower-case letters, digits and underscores, a letter first"
    return check_name("failure mode", mode, _NAME, allowed)
