"""Limits of what is about to be sent: clipped to the robot's range and rates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import Finding


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
