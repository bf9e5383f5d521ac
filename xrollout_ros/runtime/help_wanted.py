"""The robot asks for an operator: since when, why, and what happens if nobody comes."""

from __future__ import annotations

from enum import Enum

from xrollout_ros.core.clock import seconds
from xrollout_ros.core.safety import HelpSpec
from xrollout_ros.runtime.checks import Finding

LAST_STEPS = 10
"""Policy steps before the time limit in which nobody is called: the attempt is over before they are there."""


class Answer(Enum):
    """What an alarm that calls leads to now."""

    GO_ON = "go on"
    HOLD = "hold"
    RECOVER = "recover"
    ABORT = "abort"


class HelpWanted:
    """Robot-gated takeover.

    Args:
        spec: None: nobody is asked, the robot recovers by itself.
    """

    def __init__(self, spec: HelpSpec | None) -> None:
        self._spec = spec
        self.since_ns: int | None = None
        """On the drive's clock; None: no help is wanted."""
        self.reason = ""

    def cancel(self) -> None:
        """Help is not wanted (any more)."""
        self.since_ns, self.reason = None, ""

    def consider(self, alarm: Finding | None, t_ns: int, left_s: float, policy_period_s: float) -> Answer:
        """What to do about the gravest alarm that calls.

        Args:
            alarm: of the severity RECOVER; None: nothing calls.
            t_ns: time of the tick.
            left_s: until the attempt's time limit.
            policy_period_s: duration of a policy step.
        """
        if alarm is None or (self.since_ns is None and left_s <= LAST_STEPS * policy_period_s):
            self.cancel()
            return Answer.GO_ON
        if self._spec is None:
            return Answer.RECOVER
        if self.since_ns is None or self.since_ns > t_ns:
            self.since_ns = t_ns
            self.reason = f"{alarm.check}: {alarm.value:.4g}, threshold {alarm.limit:.4g}"
        if seconds(t_ns - self.since_ns) >= self._spec.timeout_s:
            self.cancel()
            return Answer.RECOVER if self._spec.otherwise == "recover" else Answer.ABORT
        return Answer.HOLD if self._spec.meanwhile == "hold" else Answer.GO_ON
