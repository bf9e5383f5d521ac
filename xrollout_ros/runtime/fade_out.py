"""How a motion comes to rest that no further chunk continues."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import ActionChunk, Array
from xrollout_ros.core.clock import NS
from xrollout_ros.core.robot import RobotSpec

_STEEPEST = 1.5
"""Largest slope of ``1 - 3 s² + 2 s³`` on 0 to 1."""


class FadeOut:
    """The end of a chunk: positions run out from its last row, velocities fall to zero from its last period on.

    What fades, a position's velocity or a velocity itself, follows ``1 - 3 s² + 2 s³``, which begins and ends without
    an acceleration. It takes as long as the limits of the acceleration ask for, at most ``fade_out_s``; that long where
    there is no limit. Nothing fades out where a value is sent once for each row (a delta, an effort): it would be sent
    in further rows, which the policy never gave.

    Args:
        chunk: the chunk.
        value: ``(A,)`` its last row.
        slope: ``(A,)`` velocity with which that row is reached, units/s.
        robot: what fades, and how fast it may.
    """

    def __init__(self, chunk: ActionChunk, value: Array, slope: Array, robot: RobotSpec) -> None:
        kinds = [dim.kind for dim in robot.actions]
        fades = not any(kind.once for kind in kinds)
        position = np.array([fades and kind is ActionKind.POSITION for kind in kinds])
        self._velocity = np.array([fades and kind is ActionKind.VELOCITY for kind in kinds])
        end_ns = chunk.start_ns + len(chunk.actions) * chunk.period_ns
        self._row_ns, self._value = end_ns - chunk.period_ns, value
        self._slope = np.where(position, slope, 0.0)
        fading = np.where(self._velocity, value, self._slope)
        first, second, _ = robot.derivative_limits
        self._time_s = _times(fading, np.where(self._velocity, first, second), robot.motion.fade_out_s)
        self._begin_s = np.where(self._velocity, chunk.period_ns / NS, 0.0)
        moves_s = float(np.max(np.where(self._time_s > 0, self._begin_s + self._time_s, 0.0)))
        self.end_ns = max(end_ns, self._row_ns + round(moves_s * NS))
        """When all is at rest; the end of the chunk where nothing fades."""

    def evaluate(self, t_ns: int) -> tuple[Array, Array]:
        """Value and velocity ``(A,)`` at a time after the last row's beginning."""
        if not self._time_s.any():
            return self._value, np.zeros_like(self._value)
        since_s = (t_ns - self._row_ns) / NS - self._begin_s
        time_s = np.where(self._time_s > 0, self._time_s, 1.0)
        part = np.where(self._time_s > 0, np.clip(since_s / time_s, 0.0, 1.0), 0.0)
        square = part * part
        left = 1 - 3 * square + 2 * square * part
        run = self._slope * time_s * (part - square * part + square * square / 2)
        value = np.where(self._velocity, self._value * left, self._value + run)
        falling = np.where(part > 0, self._value * 6 * (square - part) / time_s, 0.0)
        return value, np.where(self._velocity, falling, self._slope * left)


def _times(fading: Array, limit: Array, longest_s: float) -> npt.NDArray[np.float64]:
    """How long each value fades ``(A,)``, s; 0: it is at rest."""
    wanted = np.where(np.isfinite(limit), _STEEPEST * np.abs(fading) / limit, longest_s)
    return np.where(np.abs(fading) > 1e-9, np.minimum(wanted, longest_s), 0.0)
