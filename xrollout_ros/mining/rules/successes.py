"""What is worth knowing of attempts that succeeded."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from xrollout_ros.core.modes import Severity
from xrollout_ros.mining.rules.base import Finding, Rule, Scene, sure
from xrollout_ros.mining.rules.handling import second_try
from xrollout_ros.mining.taxonomy import FailureMode


class SuccessfulRecovery(Rule):
    """Something went wrong, was tried again, and the attempt succeeded."""

    MODE: ClassVar[FailureMode] = FailureMode.SUCCESSFUL_RECOVERY

    def find(self, scene: Scene) -> Finding | None:
        """The object that was lost and taken again, or the recovery policy that drove."""
        again = second_try(scene)
        return None if again is None else Finding(again[0], 0.9, again[1], "transport")


class NearMiss(Rule):
    """The attempt succeeded, but only just: late, or with the supervisor holding the robot back."""

    MODE: ClassVar[FailureMode] = FailureMode.NEAR_MISS
    late: Annotated[float, Field(gt=0, le=1)] = Field(default=0.9, description="share of the time limit that is late")

    def find(self, scene: Scene) -> Finding | None:
        """How late, or which check objected."""
        held = [event for event in scene.episode.safety_events if event.began and event.severity >= Severity.HOLD]
        if held:
            worst = max(held, key=lambda event: event.severity)
            evidence = f"{worst.check} ({worst.severity.name.lower()}) at {worst.at_s:.3f} s: {worst.value:.4g}, "
            return Finding(worst.at_s, 0.9, evidence + f"allowed {worst.limit:.4g}")
        task, duration_s = scene.episode.task, scene.duration_s
        if task is None or duration_s < self.late * task.time_limit_s:
            return None
        share = duration_s / task.time_limit_s
        evidence = f"success came after {duration_s:.3f} s, {share:.0%} of the {task.time_limit_s:g} s that it had"
        return Finding(duration_s, sure(share, self.late), evidence)
