"""The interface of all inference engines, and the plain one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from xrollout_ros.core.calibration import CONSISTENCY
from xrollout_ros.core.chunk import ActionChunk, Observation
from xrollout_ros.core.clock import Clock
from xrollout_ros.core.ports import Policy, Prefix
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.alarm import Alarm
from xrollout_ros.runtime.engines.backoff import Backoff
from xrollout_ros.runtime.engines.plans import Rows, disagreement, rows_from, rows_played


class Engine:
    """The synchronous engine: every ``execute`` rows a new chunk, spliced in as it is. Others override its parts.

    Which thread calls what (in the graph; the in-process loop has one thread for all):

    - **worker's thread**: ``warm_up``, ``begin``, ``answer``, ``failed``. It may take long; all state is its own.
    - **executor's thread**: ``due``, ``control_given``, ``played`` and the counters. These only read or replace a
      single value, so they need no lock and never wait for the worker.

    A chunk made from an observation of before the policy was given control (a takeover, a hold, a reset was between)
    is stale: it is discarded and counted, and nothing goes on from it. The supervisor keeps the same rule.

    Args:
        policy: the policy.
        robot: gives the period of a row.
        delay_steps: stepped: simulated inference delay; a chunk is released this many steps after the observation it
            answers, and none is made meanwhile.
        clock: real time: the machine's; None: stepped.
    """

    name: ClassVar[str] = "sync"

    def __init__(self, policy: Policy, robot: RobotSpec, delay_steps: int = 0, clock: Clock | None = None) -> None:
        self.policy = policy
        self.delay_steps = delay_steps
        self.discarded = 0
        """Chunks that were stale, or came too late to be spliced in."""
        self.scores: Mapping[str, float] = {}
        """Of the last inference."""
        self.backoff = Backoff()
        calibration = policy.info.calibration
        # Another engine asks at other moments and blends otherwise: its scores are not those that were calibrated.
        self._alarm = Alarm(calibration) if calibration is not None and calibration.engine == self.name else None
        self._clock = clock
        self._period_ns = robot.policy_period_ns
        self._smooth = np.array([dim.kind.interpolates for dim in robot.actions])
        self._scale = np.array(policy.info.action_scale or [1.0] * policy.info.action_dim)
        self._since_ns = 0
        self._clear()

    def _clear(self) -> None:
        self._sequence = -1
        self._planned_ns: int | None = None
        self._in_play: ActionChunk | None = None
        self._waiting: ActionChunk | None = None
        self._last_answer: ActionChunk | None = None
        self._release_step = 0
        self._released: ActionChunk | None = None

    # --- executor's thread --------------------------------------------------------------------------------------

    @property
    def frozen(self) -> int:
        """Rows that the next chunk has to keep."""
        return 0

    def due(self, stamp_ns: int) -> bool:
        """Whether an observation of this time calls for a new chunk."""
        if not self.backoff.allows(stamp_ns):
            return False
        planned_ns = self._planned_ns
        if planned_ns is None or planned_ns < self._since_ns:
            return True
        # Half a period of slack: in real time observations do not fall on exact multiples of it.
        return stamp_ns - planned_ns >= self._execute * self._period_ns - self._period_ns // 2

    def control_given(self, since_ns: int) -> None:
        """The supervisor lets the policy drive since this moment, on the clock of the observations' stamps."""
        self._since_ns = since_ns

    def played(self, sequence: int, stamp_ns: int) -> None:
        """Real time: the supervisor has sent a row of this chunk at this moment (wall clock)."""

    # --- worker's thread ----------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Ask the policy a few times, for what is slow only once."""
        info = self.policy.info
        self.policy.reset(0)
        state = np.zeros(info.state_dim)
        for _ in range(3):
            actions = self.policy.predict(state)
        if info.conditioning != "none":
            self.policy.predict(state, Prefix(actions, 1))

    def begin(self, episode_id: str, seed: int) -> None:
        """An attempt begins; the policy's randomness follows from ``seed``."""
        self.policy.reset(seed)
        if self._alarm is not None:
            self._alarm.reset()
        self.backoff.reset()
        self._clear()

    def answer(self, observation: Observation) -> ActionChunk:
        """The chunk for an observation, or an empty one: keep playing. One that comes again gets the same answer."""
        last = self._last_answer
        if last is not None and (last.stamp_ns, last.step) == (observation.stamp_ns, observation.step):
            return last
        self._last_answer = self._answer(observation)
        return self._last_answer

    def failed(self, observation: Observation) -> ActionChunk:
        """The policy raised an exception at this observation: the answer without it."""
        self.backoff.failed(observation.stamp_ns)
        self._planned_ns = None
        self._last_answer = self._stamped(observation, self._released)
        return self._last_answer

    def _answer(self, observation: Observation) -> ActionChunk:
        self._released = self._release(observation)
        if self._waiting is None and self.due(observation.stamp_ns):
            self._waiting = self._infer(observation)
            self._release_step = observation.step + self.delay_steps
            self._released = self._released or self._release(observation)
        return self._stamped(observation, self._released)

    def _release(self, observation: Observation) -> ActionChunk | None:
        """The chunk that waits, if it is time and it is still of use."""
        chunk = self._waiting
        if chunk is None or observation.step < self._release_step:
            return None
        self._waiting = None
        now_ns = observation.stamp_ns if self._clock is None else self._clock.wall_ns()
        played = rows_played(chunk.start_ns, now_ns, self._period_ns)
        if chunk.start_ns < self._since_ns or not self._fits(chunk, played, now_ns):
            self.discarded += 1
            return None
        chunk = self._after_a_hold(chunk, now_ns)
        self._in_play = chunk
        return chunk

    def _after_a_hold(self, chunk: ActionChunk, now_ns: int) -> ActionChunk:
        """The chunk, later by as long as the robot has held while it was made, for want of anything to play.

        Nothing moved meanwhile, so the rows of that time are not past but still to be done. Skipping them would lose
        the beginning of each attempt, and all of it where an inference takes longer than a chunk.
        """
        moved_ns = chunk.start_ns
        old = self._in_play
        if old is not None and old.start_ns >= self._since_ns:
            moved_ns = max(moved_ns, old.start_ns + len(old.actions) * old.period_ns)
        held_ns = now_ns - moved_ns
        if held_ns <= 0:
            return chunk
        self._held(held_ns)
        return replace(chunk, start_ns=chunk.start_ns + held_ns)

    def _infer(self, observation: Observation) -> ActionChunk:
        if self._in_play is not None and self._in_play.start_ns < self._since_ns:
            self._in_play = None
        self._planned_ns = observation.stamp_ns
        left = None
        if self._in_play is not None:
            left = rows_from(self._in_play, observation.stamp_ns, self._smooth)
        prefix = self._prefix(left) if left is not None and len(left) else None
        begin = time.perf_counter()
        raw = (
            self.policy.predict(observation.state) if prefix is None else self.policy.predict(observation.state, prefix)
        )
        spent_s = time.perf_counter() - begin
        self.backoff.reset()
        self._sequence += 1
        frozen = 0 if prefix is None else prefix.frozen
        scores = dict(self.policy.scores)
        apart = None if left is None else disagreement(raw, left, self._scale, frozen)
        if apart is not None:
            scores[CONSISTENCY] = apart
        if self._alarm is not None:
            scores |= self._alarm.update(scores, observation.stamp_ns)
        self.scores = scores
        return ActionChunk(
            observation.episode_id,
            self.policy.info.policy_id,
            self._sequence,
            observation.step,
            observation.stamp_ns,
            observation.stamp_ns,
            self._period_ns,
            self._combine(raw, observation.stamp_ns),
            prefix_length=frozen,
            observed_ns=observation.observed_ns,
            inference_s=spent_s,
            scores=scores,
        )

    def _stamped(self, observation: Observation, chunk: ActionChunk | None) -> ActionChunk:
        """The answer to this very observation: its step and stamp, the chunk's rows and start."""
        empty = np.zeros((0, self.policy.info.action_dim), dtype=np.float32)
        return ActionChunk(
            observation.episode_id,
            self.policy.info.policy_id,
            max(self._sequence, 0) if chunk is None else chunk.sequence,
            observation.step,
            observation.stamp_ns,
            observation.stamp_ns if chunk is None else chunk.start_ns,
            self._period_ns,
            empty if chunk is None else chunk.actions,
            prefix_length=0 if chunk is None else chunk.prefix_length,
            observed_ns=observation.observed_ns if chunk is None else chunk.observed_ns,
            inference_s=0.0 if chunk is None else chunk.inference_s,
            scores={} if chunk is None else chunk.scores,
        )

    # --- what other engines do otherwise ------------------------------------------------------------------------

    @property
    def _execute(self) -> int:
        """Rows from one inference to the next."""
        return self.policy.info.execute

    def _prefix(self, left: Rows) -> Prefix | None:
        """What the next chunk goes on from, given what is left of the one in play ``(R, A)``, R ≥ 1."""
        return None

    def _combine(self, actions: Rows, start_ns: int) -> Rows:
        """What is sent for what the policy said."""
        return actions

    def _held(self, held_ns: int) -> None:
        """The newest chunk begins so much later than it was planned."""

    def _fits(self, chunk: ActionChunk, played: int, now_ns: int) -> bool:
        """Whether a chunk can be spliced in now that so many of its rows are past."""
        return True
