"""Scored attempts and calibrations for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from xrollout_ros.core.calibration import Calibration, Usual
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.learning.calibration.own_attempts import OwnAttempt
from xrollout_ros.learning.calibration.scored import Scored

HASH = "ab" * 32
POLICY = "01JD0000000000000000000001"
INFO = PolicyInfo(
    POLICY, HASH, "metaworld_sawyer", "pick_and_place", horizon=8, execute=4, state_dim=14, action_dim=4,
    detectors=("novelty", "policy_loss", "chunk_consistency"),
)  # fmt: skip


def scored(seed: int, chunks: int = 12, shift: float = 0.0) -> Scored:
    """Scores like those of successes, moved by so many of their scales in the second half."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(chunks):
        more = shift if number >= chunks // 2 else 0.0
        each = {"novelty": 0.2 + 0.05 * (random.normal() + more), "policy_loss": 1.0 + 0.3 * (random.normal() + more)}
        if number:
            each["chunk_consistency"] = 0.01 * float(random.exponential() + more)
        found.append(each)
    return Scored(0.05 * np.arange(chunks), tuple(found))


def attempt(seed: int, succeeded: bool = True, **values: Any) -> OwnAttempt:
    """One attempt of the policy."""
    chunks = values.pop("chunks", 12 if succeeded else 40)
    known: dict[str, Any] = {
        "episode_id": new_id(),
        "start": "nominal",
        "engine": "rtc",
        "drive": "stepped",
        "started_at": "2026-01-31T12:00:00+00:00",
        "succeeded": succeeded,
        "duration_s": 0.05 * chunks + 0.001 * seed,
        "failed_at_s": None if succeeded else 1.5,
        "scored": scored(seed, chunks, 0.0 if succeeded else 6.0),
    }
    return OwnAttempt(**{**known, **values})


def calibration(**values: Any) -> Calibration:
    """Any."""
    known: dict[str, Any] = {
        "calibration_id": new_id(),
        "checkpoint_hash": HASH,
        "policy_id": POLICY,
        "robot": "metaworld_sawyer",
        "task": "pick_and_place",
        "engine": "rtc",
        "drive": "stepped",
        "alpha": 0.1,
        "detectors": (Usual(detector="novelty", location=0.2, scale=0.1),),
        "ewma": 0.5,
        "threshold": 2.0,
        "n": 1,
        "rank": 1,
        "normalized_on": ("a",),
        "calibrated_on": ("b",),
        "time_limit_s": 2.0,
        "time_n": 2,
        "starts": {"nominal": 2},
        "recomputed": 0,
        "seed": 0,
        "created_at": "2026-02-01T00:00:00+00:00",
        "software_version": "0.1.0",
    }
    return Calibration.model_validate({**known, **values})
