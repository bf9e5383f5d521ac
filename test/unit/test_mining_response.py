"""How a robot answers what it is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.mining.response import RESPONSE, response

RATE_HZ = 80


def told(rows: int = 120, seed: int = 0) -> np.ndarray:
    """Commands that change now and then, as a policy's do."""
    random = np.random.default_rng(seed)
    return np.repeat(random.uniform(-1, 1, (rows // 8 + 1, 3)), 8, axis=0)[:rows]


def moved(commands: np.ndarray, late: int, noise: float = 0.0, gain: float = 0.01) -> np.ndarray:
    """Where a hand is that follows them so many rows late."""
    random = np.random.default_rng(1)
    steps = np.vstack([np.zeros((late + 1, 3)), commands])[: len(commands)]
    steps = steps + noise * np.repeat(random.standard_normal((len(steps) // 3 + 1, 3)), 3, axis=0)[: len(steps)]
    return np.cumsum(gain * steps, axis=0)


@settings(max_examples=30, deadline=None)
@given(late=st.integers(0, 16), seed=st.integers(0, 50), gain=st.sampled_from([0.005, 0.01, 0.05]))
def test_the_lag_is_what_the_answer_is_late(late: int, seed: int, gain: float) -> None:
    commands = told(seed=seed)
    found = response(commands, moved(commands, late, gain=gain), RATE_HZ)
    assert found["lag_s"] == pytest.approx(late / RATE_HZ, abs=0.6 / RATE_HZ)
    assert found["answers_after_s"] >= late / RATE_HZ
    assert found["unexplained_log10"] < -1.3


def test_motion_that_nobody_asked_for_is_unexplained_and_jittery() -> None:
    commands = told()
    calm, shaken = (response(commands, moved(commands, 2, noise), RATE_HZ) for noise in (0.0, 1.0))
    assert shaken["unexplained_log10"] > calm["unexplained_log10"] + 5 * RESPONSE["unexplained_log10"]
    assert shaken["jitter_log10"] > calm["jitter_log10"]


def test_the_scale_of_commands_and_motion_does_not_matter() -> None:
    commands = told()
    one, other = (response(commands, moved(commands, 3, 0.3, gain=gain), RATE_HZ) for gain in (0.01, 0.05))
    assert one["lag_s"] == pytest.approx(other["lag_s"])
    assert one["unexplained_log10"] == pytest.approx(other["unexplained_log10"])


@pytest.mark.parametrize("rows", [0, 1, 5, 40])
def test_what_cannot_be_measured_is_that_of_a_robot_that_follows(rows: int) -> None:
    found = response(np.zeros((rows, 3)), np.zeros((rows, 3)), RATE_HZ)
    assert set(found) == set(RESPONSE)
    assert found["lag_s"] == found["answers_after_s"] == 0.0
    assert np.isfinite(list(found.values())).all()
