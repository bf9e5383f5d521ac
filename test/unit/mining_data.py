"""A data folder of short attempts with starts, outcomes and failure modes as they are wanted."""

from __future__ import annotations

from typing import Any

import numpy as np

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeMeta, FailureJudgement
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes import journal, paths

ROWS = 6
POLICIES = tuple(new_id() for _ in range(3))


def add(
    bags: Any,
    place: tuple[float, float],
    mode: str = "",
    *,
    minute: int = 0,
    severity: float = 0.3,
    goal: tuple[float, float] = (0.0, 0.8),
    **values: Any,
) -> EpisodeMeta:
    """One bag: a failure where a mode is given (``none``: one that nobody judged), else a success."""
    known: dict[str, Any] = {
        "policy_id": POLICIES[0],
        "outcome": "failure" if mode else "success",
        "started_at": f"2026-01-31T{12 + minute // 60:02d}:{minute % 60:02d}:00+00:00",
        "scene": "pick-place-v3",
    }
    meta: EpisodeMeta = bags.meta(**{**known, **values})
    folder = paths.episode_dir(bags.data, meta)
    slices = bags.robot.state_slices()
    state = np.zeros((ROWS, bags.robot.state_dim))
    state[:, slices["hand_position"]] = np.linspace((0, 0.6, 0.2), (*place, 0.05), ROWS)
    state[:, slices["object_position"]] = (*place, 0.02)
    state[:, slices["goal_position"]] = (*goal, 0.1)
    action = np.tile([0.1, 0.0, -0.1, 0.0], (ROWS, 1))
    bags.episode(state, action, folder, **meta.model_dump())
    if mode and mode != "none":
        judgement = FailureJudgement(
            episode_id=meta.episode_id, mode=mode, stage="reach", moment_s=0.05, severity=severity, confidence=0.9,
            evidence=f"it was {mode}", author=f"rule:{mode}",
        )  # fmt: skip
        said = journal.Judged(judgement=judgement)
        journal.append(bags.data / paths.JOURNAL, judgement.author, meta.episode_id, said, SystemClock())
    return meta


def demonstrate(bags: Any, place: tuple[float, float], **values: Any) -> EpisodeMeta:
    """One successful demonstration."""
    return add(bags, place, kind="demonstration", policy_id="", **values)
