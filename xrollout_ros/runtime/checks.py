"""Checks on what is about to be sent: complete, finite, within limits and rates; and their begin/end events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import ActionChunk, Array, SafetyEvent
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec


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


class Limiter:
    """Clips an action to the limits and rates of the robot."""

    def __init__(self, robot: RobotSpec) -> None:
        self.lower, self.upper, self.max_rate = robot.lower, robot.upper, robot.max_rate

    def apply(self, action: Array, last: Array, dt_s: float) -> tuple[Array, npt.NDArray[np.bool_], list[Finding]]:
        """Limit one action.

        Args:
            action: ``(A,)``, finite.
            last: ``(A,)`` where it comes from: what was sent before, or what is measured; NaN where nothing is known,
                and so no rate.
            dt_s: time between the two, s; above 0.

        Returns:
            The action to send, where it was changed ``(A,)``, and what was found.
        """
        findings = []
        sent = np.clip(action, self.lower, self.upper)
        over = np.maximum(action - self.upper, self.lower - action)
        if (over > 0).any():
            worst = int(np.argmax(over))
            bound = self.upper if action[worst] > self.upper[worst] else self.lower
            findings.append(
                Finding("limit", Severity.CLIP, float(action[worst]), float(bound[worst]), "clipped to the limit")
            )
        if np.isfinite(self.max_rate).any():
            step = self.max_rate * dt_s
            rates = np.abs(sent - last) / dt_s
            fast = rates > self.max_rate * (1 + 1e-9)
            if fast.any():
                worst = int(np.argmax(np.where(fast, rates / self.max_rate, 0)))
                findings.append(
                    Finding(
                        "rate", Severity.CLIP, float(rates[worst]), float(self.max_rate[worst]), "slowed to the rate"
                    )
                )
                sent = np.where(fast, np.clip(sent, last - step, last + step), sent)
        return sent, sent != action, findings


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
