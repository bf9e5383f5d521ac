"""Plays action chunks on the supervisor's clock, splicing in the next one by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xrollout_ros.core.chunk import ActionChunk, Array
from xrollout_ros.core.robot import RobotSpec


@dataclass(frozen=True)
class Played:
    """The action that is due now."""

    action: Array
    """(A,) float64."""
    sequence: int
    index: int
    accepted_ns: int
    repeated: bool
    """This policy step has been played before, from this chunk or from the one before it."""


class ChunkPlayer:
    """Plays the newest accepted chunk; all times are on the caller's clock, in ns."""

    def __init__(self, robot: RobotSpec) -> None:
        self._smooth = np.array([dim.kind.interpolates for dim in robot.actions])
        self.discarded = 0
        """Chunks that came too late to be spliced in."""
        self._chunk: ActionChunk | None = None
        self._next: ActionChunk | None = None
        self._last_row_ns: int | None = None

    def clear(self) -> None:
        """Forget the chunk in play and the one that waits."""
        self._chunk = self._next = None
        self._last_row_ns = None

    def accept(self, chunk: ActionChunk) -> None:
        """Play this chunk from the next call of ``play`` on; rows whose time has passed are skipped."""
        self._next = chunk

    def forget_before(self, t_ns: int) -> None:
        """Forget chunks that answer observations of before ``t_ns``, and count them."""
        if self._next is not None and self._next.start_ns < t_ns:
            self._next = None
            self.discarded += 1
        if self._chunk is not None and self._chunk.start_ns < t_ns:
            self._chunk = self._last_row_ns = None
            self.discarded += 1

    def _splice(self, t_ns: int) -> None:
        """Go over to the chunk that waits, unless that would be a jump.

        It agrees with the chunk in play for ``prefix_length`` rows. If more have been played since its observation,
        and the chunk in play has not run out, it is discarded. A prefix of 0 promises nothing and is always played.
        """
        if self._next is None:
            return
        chunk, self._next = self._next, None
        played = -((chunk.start_ns - t_ns) // chunk.period_ns)
        end_ns = self.end_ns
        if 0 < chunk.prefix_length < played and end_ns is not None and t_ns < end_ns:
            self.discarded += 1
        else:
            self._chunk = chunk

    @property
    def end_ns(self) -> int | None:
        """When the last row ends; None before the first chunk."""
        if self._chunk is None:
            return None
        return self._chunk.start_ns + len(self._chunk.actions) * self._chunk.period_ns

    def rows_left(self, t_ns: int) -> int:
        """Rows not yet due."""
        if self._chunk is None:
            return 0
        index = (t_ns - self._chunk.start_ns) // self._chunk.period_ns
        return int(np.clip(len(self._chunk.actions) - 1 - index, 0, len(self._chunk.actions)))

    def play(self, t_ns: int) -> Played | None:
        """The action due at ``t_ns``; None where the chunk has not begun or has run out."""
        self._splice(t_ns)
        chunk = self._chunk
        if chunk is None or t_ns < chunk.start_ns:
            return None
        index, rest = divmod(t_ns - chunk.start_ns, chunk.period_ns)
        if index >= len(chunk.actions):
            return None
        action = chunk.actions[index].astype(np.float64)
        if rest and index + 1 < len(chunk.actions) and self._smooth.any():
            ahead = chunk.actions[index + 1].astype(np.float64)
            blend = action + (ahead - action) * (rest / chunk.period_ns)
            action = np.where(self._smooth, blend, action)
        row_ns = t_ns - rest
        # A spliced chunk's rows need not fall on the old one's: what begins within half a period is the same step.
        repeated = self._last_row_ns is not None and row_ns - self._last_row_ns < chunk.period_ns // 2
        if not repeated:
            self._last_row_ns = row_ns
        return Played(action, chunk.sequence, index, chunk.accepted_ns, repeated)
