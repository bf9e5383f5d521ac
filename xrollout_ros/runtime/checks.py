"""Checks on what comes in, complete and finite or a fault, and the begin and end events of all checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import ActionChunk, SafetyEvent
from xrollout_ros.core.modes import Severity


@dataclass(frozen=True)
class Finding:
    """What a check objects to."""

    check: str
    severity: Severity
    value: float
    limit: float
    action_taken: str


def inspect_values(values: npt.NDArray[np.floating], action_dim: int, who: str) -> Finding | None:
    """Complete and finite, or a fault: never a partial command.

    Args:
        values: ``(A,)`` or ``(H, A)``.
        action_dim: A of the robot.
        who: names the sender.
    """
    if values.shape[-1] != action_dim:
        taken = f"{who}'s action of {values.shape[-1]} values refused, the robot takes {action_dim}; holding"
        return Finding("complete", Severity.ABORT, values.shape[-1], action_dim, taken)
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        taken = f"{who}'s action with {bad} values that are not finite refused; holding"
        return Finding("finite", Severity.ABORT, bad, 0, taken)
    return None


def inspect_chunk(chunk: ActionChunk, action_dim: int) -> Finding | None:
    """Whether a chunk can be played at all."""
    if chunk.actions.ndim != 2 or chunk.period_ns <= 0:
        taken = (
            f"chunk {chunk.sequence} of shape {chunk.actions.shape} and period {chunk.period_ns} ns refused; holding"
        )
        return Finding("complete", Severity.ABORT, chunk.actions.ndim, 2, taken)
    if not len(chunk.actions):
        return None
    return inspect_values(chunk.actions, action_dim, "the policy")


class EventLog:
    """Turns findings into begin and end events, so that only changes are told."""

    def __init__(self) -> None:
        self._active: dict[str, Finding] = {}

    def active(self, check: str) -> bool:
        """Whether this check objects at present."""
        return check in self._active

    def worst(self) -> Severity | None:
        """The most restrictive severity in force."""
        return max((finding.severity for finding in self._active.values()), default=None)

    def begin(self, finding: Finding, t_ns: int, episode_id: str) -> SafetyEvent | None:
        """An event if the check is new or has become more severe."""
        before = self._active.get(finding.check)
        if before is not None and before.severity >= finding.severity:
            return None
        self._active[finding.check] = finding
        return _event(finding, t_ns, episode_id, began=True)

    def end(self, check: str, t_ns: int, episode_id: str) -> SafetyEvent | None:
        """An event if the check was objecting."""
        finding = self._active.pop(check, None)
        return None if finding is None else _event(finding, t_ns, episode_id, began=False)

    def clear(self) -> None:
        """Forget all, for the next attempt."""
        self._active.clear()


def _event(finding: Finding, t_ns: int, episode_id: str, began: bool) -> SafetyEvent:
    return SafetyEvent(
        t_ns,
        episode_id,
        finding.check,
        finding.severity,
        finding.value,
        finding.limit,
        finding.action_taken if began else "over",
        began,
    )
