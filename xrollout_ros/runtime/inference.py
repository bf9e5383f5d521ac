"""Inference: when the policy is asked, and the one thread in which it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xrollout_ros.core.chunk import ActionChunk, Observation
from xrollout_ros.core.ports import Policy
from xrollout_ros.core.robot import RobotSpec


class ChunkPlanner:
    """The synchronous engine: every observation is answered, every ``execute`` rows by a new chunk.

    Called from one thread only (the worker's in the graph, the loop's in process).

    Args:
        policy: the policy.
        robot: gives the period of a row.
        delay_steps: simulated inference delay; a chunk is released this many steps after the observation it answers.
    """

    def __init__(self, policy: Policy, robot: RobotSpec, delay_steps: int = 0) -> None:
        self.policy = policy
        self.delay_steps = delay_steps
        self._period_ns = robot.policy_period_ns
        self._execute_ns = policy.info.execute * self._period_ns
        self._episode_id = ""
        self._sequence = -1
        self._planned_ns: int | None = None
        self._waiting: ActionChunk | None = None
        self._last_answer: ActionChunk | None = None
        self._release_step = 0

    def begin(self, episode_id: str, seed: int) -> None:
        """An attempt begins; the policy's randomness follows from ``seed``."""
        self.policy.reset(seed)
        self._episode_id = episode_id
        self._sequence = -1
        self._planned_ns = None
        self._waiting = self._last_answer = None

    def due(self, stamp_ns: int) -> bool:
        """Whether an observation of this time calls for a new chunk."""
        # Half a period of slack: in real time observations do not fall on exact multiples of it.
        return self._planned_ns is None or stamp_ns - self._planned_ns >= self._execute_ns - self._period_ns // 2

    def answer(self, observation: Observation) -> ActionChunk:
        """The chunk for an observation, or an empty one: keep playing. One that comes again gets the same answer."""
        last = self._last_answer
        if last is not None and (last.stamp_ns, last.step) == (observation.stamp_ns, observation.step):
            return last
        self._last_answer = self._answer(observation)
        return self._last_answer

    def _answer(self, observation: Observation) -> ActionChunk:
        if self.due(observation.stamp_ns):
            self._waiting = self._infer(observation)
            self._release_step = observation.step + self.delay_steps
        if self._waiting is not None and observation.step >= self._release_step:
            released, self._waiting = self._waiting, None
            return self._stamped(observation, released)
        return self.keep_playing(observation)

    def keep_playing(self, observation: Observation) -> ActionChunk:
        """The answer that brings no new rows."""
        return self._stamped(observation, None)

    def _infer(self, observation: Observation) -> ActionChunk:
        self._planned_ns = observation.stamp_ns
        begin = time.perf_counter()
        actions = self.policy.predict(observation.state)
        spent_s = time.perf_counter() - begin
        self._sequence += 1
        return ActionChunk(
            observation.episode_id,
            self.policy.info.policy_id,
            self._sequence,
            observation.step,
            observation.stamp_ns,
            observation.stamp_ns,
            self._period_ns,
            actions,
            observed_ns=observation.observed_ns,
            inference_s=spent_s,
        )

    def _stamped(self, observation: Observation, chunk: ActionChunk | None) -> ActionChunk:
        """The answer to this very observation: its step and stamp, the chunk's rows and start."""
        empty = np.zeros((0, self.policy.info.action_dim), dtype=np.float32)
        return ActionChunk(
            observation.episode_id,
            self.policy.info.policy_id,
            max(self._sequence, 0),
            observation.step,
            observation.stamp_ns,
            observation.stamp_ns if chunk is None else chunk.start_ns,
            self._period_ns,
            empty if chunk is None else chunk.actions,
            observed_ns=observation.observed_ns if chunk is None else chunk.observed_ns,
            inference_s=0.0 if chunk is None else chunk.inference_s,
        )


@dataclass
class InferenceCounts:
    """How inference has gone since the worker started."""

    inferences: int = 0
    errors: int = 0
    skipped: int = 0
    """Observations replaced by a newer one before the worker came to them."""
    latency_s: float = 0.0
    last_error: str = ""


class InferenceWorker:
    """One owned thread that loads, warms up and asks the policy; its input slot keeps only the latest observation.

    ``submit`` may be called from any thread and never blocks; ``on_answer`` is called from the worker's thread.

    Args:
        load: makes the planner; runs in the worker's thread.
        on_answer: takes each answer.
    """

    def __init__(
        self,
        load: Callable[[], ChunkPlanner],
        on_answer: Callable[[ActionChunk], None],
    ) -> None:
        self.counts = InferenceCounts()
        self.planner: ChunkPlanner | None = None
        self._load = load
        self._on_answer = on_answer
        self._slot: tuple[Observation, int] | None = None
        self._condition = threading.Condition()
        self._stopping = False
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._episode_id = ""
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self, timeout_s: float) -> ChunkPlanner:
        """Start the thread, load and warm up.

        Raises:
            TimeoutError: it took longer than ``timeout_s``.
            Exception: whatever loading raised.
        """
        self._thread.start()
        if not self._ready.wait(timeout_s):
            self.stop()
            raise TimeoutError(f"the policy was not ready after {timeout_s:g} s")
        if self._failure is not None:
            raise self._failure
        assert self.planner is not None
        return self.planner

    @property
    def waiting(self) -> int:
        """Observations waiting for the thread: 0 or 1."""
        return int(self._slot is not None)

    def submit(self, observation: Observation, seed: int) -> None:
        """Ask for an answer; an older observation still waiting is dropped and counted."""
        with self._condition:
            if self._slot is not None:
                self.counts.skipped += 1
            self._slot = (observation, seed)
            self._condition.notify()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread after the inference under way."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self.planner = self._load()
            self.planner.policy.reset(0)
            for _ in range(3):
                self.planner.policy.predict(np.zeros(self.planner.policy.info.state_dim))
        except Exception as error:
            self._failure = error
            return
        finally:
            self._ready.set()
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._slot is not None or self._stopping)
                if self._stopping:
                    return
                assert self._slot is not None
                (observation, seed), self._slot = self._slot, None
            self._answer(observation, seed)

    def _answer(self, observation: Observation, seed: int) -> None:
        assert self.planner is not None
        if observation.episode_id != self._episode_id:
            self.planner.begin(observation.episode_id, seed)
            self._episode_id = observation.episode_id
        try:
            chunk = self.planner.answer(observation)
        except Exception as error:
            # The policy is somebody's code: whatever it raises, the graph goes on, the supervisor runs dry and holds.
            self.counts.errors += 1
            self.counts.last_error = f"{type(error).__name__}: {error}"
            chunk = self.planner.keep_playing(observation)
        if len(chunk.actions):
            self.counts.inferences += 1
            self.counts.latency_s = chunk.inference_s
        self._on_answer(chunk)
