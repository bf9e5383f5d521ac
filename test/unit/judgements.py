"""What a rule could have said of an attempt."""

from __future__ import annotations

from xrollout_ros.core.episode import FailureJudgement


def dropped(episode_id: str, moment_s: float) -> FailureJudgement:
    return FailureJudgement(
        episode_id=episode_id,
        mode="dropped",
        stage="transport",
        moment_s=moment_s,
        severity=0.6,
        confidence=0.9,
        evidence="it fell",
        author="rule:dropped",
    )
