"""Plays action chunks on the supervisor's clock: between their rows, from one to the next, and to rest at the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import ActionChunk, Array
from xrollout_ros.core.clock import NS
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.fade_out import FadeOut
from xrollout_ros.runtime.interpolation import coefficients, evaluate

_STEEPEST_BLEND = 1.875
"""Largest slope of the blend's ``1 - 10 s³ + 15 s⁴ - 6 s⁵``."""
_BLEND_SHARE = 0.5
"""Share of the largest rate that a blend may take; the rest is for the motion itself."""


@dataclass(frozen=True)
class Played:
    """The action that is due now."""

    action: Array
    """(A,) float64."""
    sequence: int
    index: int
    """The row; -1 in the fade-out, when there is none any more."""
    accepted_ns: int
    repeated: bool
    """This policy step has been played before, from this chunk or from the one before it."""
    fading: bool = False
    """The chunk has run out: this only brings the motion to rest."""
    row: Array | None = None
    """(A,) the row that is due, which the motion is perhaps still on its way to; None: there is none any more."""


class Acceptance(str, Enum):
    """Whether a chunk will be played, and if not, why."""

    ACCEPTED = "accepted"
    EMPTY = "it has no rows"
    STALE = "it was planned before the one in play, or before the policy was given control"
    PAST = "all its rows have passed"
    PREFIX = "more rows were played than it takes for committed, so that it would be a jump"


class ChunkPlayer:
    """Plays the newest accepted chunk; all times are on the caller's clock, in ns.

    A chunk is entered at the row that is due. Where that is not where the last one stands, the difference (of value and
    velocity) fades over ``blend_s``, longer if the largest rate asks for it, so that the motion is continuous. A chunk
    that begins later leaves the one before it in play until then.

    Args:
        robot: its actions and how they move (``RobotSpec.motion``).
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._smooth = np.array([dim.kind.interpolates for dim in robot.actions])
        self._track: _Track | None = None
        self._next: _Track | None = None
        self._last_row_ns: int | None = None
        self._played_ns: int | None = None
        self._since_ns: int | None = None
        self.consumed = 0
        """Rows of the chunk in play that were played."""
        self.discarded = 0
        """Chunks that were not played, or forgotten (``forget_before``), since the start."""

    def clear(self) -> None:
        """Forget the chunk in play and the one that waits."""
        self._track = self._next = None
        self._last_row_ns = self._played_ns = self._since_ns = None
        self.consumed = 0

    def forget_before(self, t_ns: int) -> None:
        """Forget chunks that were planned before ``t_ns``, count them, and refuse those that are still to come."""
        self._since_ns = t_ns
        if self._next is not None and _planned_ns(self._next.chunk) < t_ns:
            self._next = None
            self.discarded += 1
        if self._track is not None and _planned_ns(self._track.chunk) < t_ns:
            self._track = self._last_row_ns = None
            self.consumed = 0
            self.discarded += 1

    def accept(self, chunk: ActionChunk) -> Acceptance:
        """Play this chunk from now on, or say why not; rows whose time has passed are skipped.

        Args:
            chunk: ``(H, A)``, finite; planned at its ``stamp_ns`` or ``start_ns``, whichever is earlier. It agrees with
                the chunk in play for ``prefix_length`` rows; a prefix of 0 promises nothing and is always spliced in.
        """
        verdict = self._judge(chunk)
        if verdict is Acceptance.ACCEPTED:
            self._next = _Track(chunk, self._robot, self._smooth)
        elif verdict is not Acceptance.EMPTY:
            self.discarded += 1
        return verdict

    def _judge(self, chunk: ActionChunk) -> Acceptance:
        if not len(chunk.actions):
            return Acceptance.EMPTY
        planned_ns, newest = _planned_ns(chunk), self._next or self._track
        if self._since_ns is not None and planned_ns < self._since_ns:
            return Acceptance.STALE
        if newest is not None and planned_ns < _planned_ns(newest.chunk):
            return Acceptance.STALE
        if self._played_ns is not None and self._played_ns >= _end_ns(chunk):
            return Acceptance.PAST
        if 0 < chunk.prefix_length < self._rows_played_since(chunk):
            return Acceptance.PREFIX
        return Acceptance.ACCEPTED

    def _rows_played_since(self, chunk: ActionChunk) -> int:
        """Rows that were played of the chunk in play since another one's first row; 0 where it runs out."""
        if self._track is None or self._last_row_ns is None or self._played_ns is None:
            return 0
        if self._played_ns + chunk.period_ns >= _end_ns(self._track.chunk):
            return 0
        # Rows of the two chunks need not fall on the same moments; the nearest is the same step.
        return round((self._last_row_ns - chunk.start_ns) / chunk.period_ns) + 1

    @property
    def end_ns(self) -> int | None:
        """When the last row ends; None before the first chunk."""
        newest = self._next or self._track
        return None if newest is None else _end_ns(newest.chunk)

    def rows_left(self, t_ns: int) -> int:
        """Rows not yet due."""
        newest = self._next or self._track
        if newest is None:
            return 0
        chunk = newest.chunk
        index = (t_ns - chunk.start_ns) // chunk.period_ns
        return int(np.clip(len(chunk.actions) - 1 - index, 0, len(chunk.actions)))

    def play(self, t_ns: int) -> Played | None:
        """The action due at ``t_ns``; None where no chunk has begun, or the last has run out and come to rest."""
        self._played_ns = t_ns
        if self._next is not None and t_ns >= self._next.chunk.start_ns:
            self._splice(self._next, t_ns)
        if self._track is None or t_ns < self._track.chunk.start_ns:
            return None
        chunk = self._track.chunk
        fading = t_ns >= _end_ns(chunk)
        if fading and t_ns >= self._track.fade_out.end_ns:
            return None
        action, _ = self._track.evaluate(t_ns)
        if fading:
            return Played(action, chunk.sequence, -1, chunk.accepted_ns, repeated=True, fading=True)
        index, rest_ns = divmod(t_ns - chunk.start_ns, chunk.period_ns)
        row_ns = t_ns - rest_ns
        # A spliced chunk's rows need not fall on the old one's: what begins within half a period is the same step.
        repeated = self._last_row_ns is not None and row_ns - self._last_row_ns < chunk.period_ns // 2
        if not repeated:
            self._last_row_ns = row_ns
            self.consumed += 1
        return Played(action, chunk.sequence, index, chunk.accepted_ns, repeated, row=chunk.actions[index])

    def _splice(self, track: _Track, t_ns: int) -> None:
        before = self._track
        if before is not None and t_ns < before.fade_out.end_ns and self._smooth.any():
            track.continue_from(*before.evaluate(t_ns), t_ns)
        self._track, self._next, self.consumed = track, None, 0


class _Track:
    """One chunk as a motion."""

    def __init__(self, chunk: ActionChunk, robot: RobotSpec, smooth: npt.NDArray[np.bool_]) -> None:
        self.chunk = chunk
        self._robot, self._smooth = robot, smooth
        rows = chunk.actions.astype(np.float64)
        self._polynomials = coefficients(rows, smooth, robot.motion.interpolation)
        self._period_s = chunk.period_ns / NS
        slope = evaluate(self._polynomials[-1], 1.0)[1] if len(self._polynomials) else np.zeros(rows.shape[1])
        self.fade_out = FadeOut(chunk, rows[-1], slope / self._period_s, robot)
        self._blend: _Blend | None = None

    def evaluate(self, t_ns: int) -> tuple[Array, Array]:
        """Value and velocity ``(A,)``, from the chunk's start on."""
        index, rest_ns = divmod(t_ns - self.chunk.start_ns, self.chunk.period_ns)
        if index < len(self._polynomials):
            value, slope = evaluate(self._polynomials[index], rest_ns / self.chunk.period_ns)
            velocity = slope / self._period_s
        else:
            value, velocity = self.fade_out.evaluate(t_ns)
        if self._blend is None or t_ns >= self._blend.end_ns:
            return value, velocity
        more_value, more_velocity = self._blend.evaluate(t_ns)
        return value + more_value, velocity + more_velocity

    def continue_from(self, value: Array, velocity: Array, t_ns: int) -> None:
        """Begin with this value and velocity at ``t_ns``, and pass over to the chunk's own."""
        own_value, own_velocity = self.evaluate(t_ns)
        apart = np.where(self._smooth, value - own_value, 0.0)
        faster = np.where(self._smooth, velocity - own_velocity, 0.0)
        if self._robot.motion.blend_s == 0 or not (apart.any() or faster.any()):
            return
        asked_s = float(np.max(_STEEPEST_BLEND * np.abs(apart) / (_BLEND_SHARE * self._robot.derivative_limits[0])))
        left_s = (self.fade_out.end_ns - t_ns) / NS
        time_s = min(max(self._robot.motion.blend_s, asked_s), left_s)
        if time_s > 0:
            self._blend = _Blend(apart, faster, t_ns, time_s)


class _Blend:
    """A difference of value and velocity that fades, with its acceleration zero at both ends."""

    def __init__(self, apart: Array, faster: Array, begin_ns: int, time_s: float) -> None:
        self._begin_ns, self._time_s = begin_ns, time_s
        self.end_ns = begin_ns + round(time_s * NS)
        slope, zero = faster * time_s, np.zeros_like(apart)
        self._polynomial = np.stack(
            [apart, slope, zero, -10 * apart - 6 * slope, 15 * apart + 8 * slope, -6 * apart - 3 * slope]
        )

    def evaluate(self, t_ns: int) -> tuple[Array, Array]:
        """What remains of the value and the velocity ``(A,)``."""
        value, slope = evaluate(self._polynomial, (t_ns - self._begin_ns) / NS / self._time_s)
        return value, slope / self._time_s


def _end_ns(chunk: ActionChunk) -> int:
    return chunk.start_ns + len(chunk.actions) * chunk.period_ns


def _planned_ns(chunk: ActionChunk) -> int:
    return min(chunk.stamp_ns, chunk.start_ns)
