"""Checks on what comes in, complete and finite or a fault, and the begin and end events of all checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import ActionChunk, SafetyEvent
from xrollout_ros.core.clock import nanoseconds
from xrollout_ros.core.modes import Severity


@dataclass(frozen=True)
class Finding:
    """What a check objects to."""

    check: str
    severity: Severity
    value: float
    limit: float
    action_taken: str
    since_ns: int | None = None
    """Since when, where that is before the tick that finds it."""
    ripens: bool = True
    """Whether holding for it too long ends the attempt."""


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


def inspect_chunk(chunk: ActionChunk, action_dim: int, who: str = "the policy") -> Finding | None:
    """Whether a chunk can be played at all."""
    if chunk.actions.ndim != 2 or chunk.period_ns <= 0:
        taken = (
            f"chunk {chunk.sequence} of shape {chunk.actions.shape} and period {chunk.period_ns} ns refused; holding"
        )
        return Finding("complete", Severity.ABORT, chunk.actions.ndim, 2, taken)
    if not len(chunk.actions):
        return None
    return inspect_values(chunk.actions, action_dim, who)


class EventLog:
    """Turns what the checks find into begin and end events, so that only changes are told.

    A finding that makes the robot hold becomes an abort when it has lasted: the robot must not stand for ever.

    Args:
        abort_after_s: how long a finding of the severity HOLD may last while somebody drives.
    """

    def __init__(self, abort_after_s: float) -> None:
        self._abort_after_ns = nanoseconds(abort_after_s)
        self._active: dict[str, Finding] = {}
        self._since_ns: dict[str, int] = {}

    @property
    def active(self) -> dict[str, Finding]:
        """What the checks object to at present, by check."""
        return self._active

    def update(
        self, findings: Iterable[Finding], checked: Iterable[str], t_ns: int, episode_id: str, *, driving: bool
    ) -> list[SafetyEvent]:
        """Take note of what was found.

        Args:
            findings: what checks object to now.
            checked: names of all checks that were made: what is not found any more has ended.
            t_ns: time of the tick.
            episode_id: the running attempt.
            driving: somebody moves the robot; else nothing ripens into an abort.

        Returns:
            An event for each check that is new, has become more severe, or has ended.
        """
        found = {finding.check: finding for finding in sorted(findings, key=lambda finding: finding.severity)}
        events = [
            _event(self._end(check), t_ns, episode_id, began=False)
            for check in checked
            if check not in found and check in self._active
        ]
        for check, finding in found.items():
            since_ns = self._since_ns.get(check)
            if since_ns is None or not driving or since_ns > t_ns:
                since_ns = self._since_ns[check] = min(t_ns, finding.since_ns or t_ns)
            ripe = finding.ripens and driving and t_ns - since_ns >= self._abort_after_ns
            severity = Severity.ABORT if ripe and finding.severity is Severity.HOLD else finding.severity
            before = self._active.get(check)
            if before is None or before.severity < severity:
                self._active[check] = replace(finding, severity=severity)
                events.append(_event(self._active[check], t_ns, episode_id, began=True))
        return events

    def _end(self, check: str) -> Finding:
        self._since_ns.pop(check, None)
        return self._active.pop(check)

    def clear(self) -> None:
        """Forget all, for the next attempt."""
        self._active.clear()
        self._since_ns.clear()


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
