"""How a robot answers what it is told: how late, how exactly, how smoothly."""

from __future__ import annotations

import numpy as np

from xrollout_ros.mining.signals import Floats

RESPONSE = {"answers_after_s": 0.02, "lag_s": 0.02, "unexplained_log10": 0.2, "jitter_log10": 0.1}
"""Name of a measure: the difference that is worth telling apart.

``answers_after_s``: from the first command to the first motion, ``lag_s``: the delay at which commands explain motion
best, ``unexplained_log10``: share of the motion's variance that they do not explain then, ``jitter_log10``: change of
the motion from row to row as a share of the motion.
"""
LONGEST_LAG_S = 0.3
FEW_ROWS = 20
_SPREAD = 4
"""Rows to either side of the lag over which an answer to one command may be spread."""
_MOVED_M, _ASKED = 0.002, 0.05
_SHARE, _JITTER = 0.03, 0.03
"""Less than this is nothing."""


def response(told: Floats, where: Floats, rate_hz: int) -> dict[str, float]:
    """Measure it over one attempt.

    Args:
        told: (T, A) what the commands asked for per row, as a share of what is allowed.
        where: (T, D) where the hand was, m, or the joints.
        rate_hz: rows in a second.

    Returns:
        What ``RESPONSE`` names; of an attempt that is too short, or in which nothing was asked for, that of a robot
        which follows at once.
    """
    nothing = {"unexplained_log10": float(np.log10(_SHARE)), "jitter_log10": float(np.log10(_JITTER))}
    found = dict.fromkeys(RESPONSE, 0.0) | nothing
    motion, told = np.diff(where, axis=0), told[:-1]
    count = len(motion)
    asked = np.flatnonzero((np.abs(told) > _ASKED).any(axis=1))
    if count < FEW_ROWS or not len(asked):
        return found
    begin = int(asked[0])
    moved = np.flatnonzero(np.linalg.norm(where[begin:] - where[begin], axis=1) > _MOVED_M)
    found["answers_after_s"] = float(moved[0] if len(moved) else count - begin) / rate_hz
    longest = max(2, min(round(LONGEST_LAG_S * rate_hz), count // 3))
    fits = [_explained(told[longest - lag : count - lag], motion[longest:]) for lag in range(longest)]
    best = int(np.argmax(fits))
    found["lag_s"] = (best + _between(fits, best)) / rate_hz
    lags = range(max(0, best - _SPREAD), best + _SPREAD + 1)
    spread = np.hstack([np.vstack([np.zeros((lag, told.shape[1])), told[: count - lag]]) for lag in lags])
    found["unexplained_log10"] = float(np.log10(1.0 - _explained(spread, motion) + _SHARE))
    size = float(np.sqrt((motion**2).mean()))
    change = float(np.sqrt((np.diff(motion, axis=0) ** 2).mean()))
    if size > 0:
        found["jitter_log10"] = float(np.log10(change / size + _JITTER))
    return found


def _explained(inputs: Floats, outputs: Floats) -> float:
    """Share of the outputs' variance that a linear function of the inputs explains, 0 to 1."""
    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    # A little ridge, for commands that repeat each other.
    squares = inputs.T @ inputs + 1e-3 * np.eye(inputs.shape[1])
    rest = outputs - inputs @ np.linalg.solve(squares, inputs.T @ outputs)
    whole = float(((outputs - outputs.mean(axis=0)) ** 2).sum())
    return max(0.0, 1.0 - float((rest**2).sum()) / whole) if whole > 0 else 0.0


def _between(values: list[float], best: int) -> float:
    """Where between rows the peak of a parabola through the best value and its neighbours lies, -0.5 to 0.5."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, peak, after = values[best - 1 : best + 2]
    bend = before - 2 * peak + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < -1e-12 else 0.0
