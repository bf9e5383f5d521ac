"""Real-time chunking: a chunk is made while the one before it is played, and goes on from it."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from xrollout_ros.core.chunk import ActionChunk, Observation
from xrollout_ros.core.clock import Clock
from xrollout_ros.core.ports import Policy, Prefix
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.engines.engine import Engine
from xrollout_ros.runtime.engines.plans import Rows, rows_played

REMEMBERED = 10
"""Inferences whose delay counts."""


class RealTimeChunking(Engine):
    """Freezes what will be played while the policy thinks, and has the policy go on from there (arXiv:2506.07339).

    As many rows are frozen as were consumed at most during any of the last ten inferences: measured, not guessed from
    a latency. Until ten were made, half the horizon counts as measured once (stepped: the simulated delay, which is
    exact). A chunk during which more was consumed than was frozen would begin with a jump: it is discarded and
    counted, unless nothing else is left to play.

    A policy that cannot be conditioned (``info.conditioning`` is "none") gets no prefix: its chunks are spliced in at
    the row that is due, as by the synchronous engine. Without delay nothing is frozen, and both engines are the same.
    """

    name: ClassVar[str] = "rtc"

    def __init__(self, policy: Policy, robot: RobotSpec, delay_steps: int = 0, clock: Clock | None = None) -> None:
        info = policy.info
        first = delay_steps if clock is None else max(1, info.horizon // 2)
        self._consumed: deque[int] = deque([first], maxlen=REMEMBERED)
        super().__init__(policy, robot, delay_steps, clock)

    def _clear(self) -> None:
        super()._clear()
        self._before: ActionChunk | None = None
        self._first_sent = self._last_sent = (-1, 0)
        self._seen = -1

    @property
    def frozen(self) -> int:
        return max(self._consumed)

    @property
    def _execute(self) -> int:
        # No later than the chunk in play reaches, with an inference like the slowest one remembered.
        return max(1, min(super()._execute, self.policy.info.horizon - self.frozen))

    def played(self, sequence: int, stamp_ns: int) -> None:
        if sequence != self._first_sent[0]:
            self._first_sent = (sequence, stamp_ns)
        self._last_sent = (sequence, stamp_ns)

    def _infer(self, observation: Observation) -> ActionChunk:
        self._settle()
        return super()._infer(observation)

    def _settle(self) -> None:
        """Real time: what the supervisor really plays, and since when, as its commands tell."""
        chunk = self._in_play
        if self._clock is None or chunk is None:
            return
        first, last = self._first_sent, self._last_sent
        if first[0] == chunk.sequence and self._seen != chunk.sequence:
            self._seen = chunk.sequence
            self._consumed[-1] = max(self._consumed[-1], rows_played(chunk.start_ns, first[1], self._period_ns))
            return
        agrees_ns = chunk.start_ns + chunk.prefix_length * self._period_ns
        if chunk.prefix_length and last[0] < chunk.sequence and last[1] > agrees_ns:
            # The chunk before it was played beyond the prefix: wherever this one is, it is or will be discarded.
            before = self._before
            self._in_play = before if before is not None and before.sequence == last[0] else None

    def _prefix(self, left: Rows) -> Prefix | None:
        info = self.policy.info
        frozen = min(self.frozen, len(left), info.max_prefix)
        if info.conditioning == "none" or not frozen:
            return None
        return Prefix(left, frozen)

    def _fits(self, chunk: ActionChunk, played: int, now_ns: int) -> bool:
        self._consumed.append(played)
        old = self._in_play
        runs = old is not None and now_ns < old.start_ns + len(old.actions) * old.period_ns
        if 0 < chunk.prefix_length < played and runs:
            return False
        self._before = old
        return True
