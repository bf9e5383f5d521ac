"""The one thread in which a policy is loaded, warmed up and asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from xrollout_ros.core.chunk import ActionChunk, Observation
from xrollout_ros.runtime.engines.engine import Engine


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
    """Owns the thread; its input slot keeps only the latest observation.

    ``submit`` may be called from any thread and never blocks; ``on_answer`` is called from the worker's thread.

    Args:
        load: makes the engine; runs in the worker's thread.
        on_answer: takes each answer.
    """

    def __init__(self, load: Callable[[], Engine], on_answer: Callable[[ActionChunk], None]) -> None:
        self.counts = InferenceCounts()
        self.engine: Engine | None = None
        self._load = load
        self._on_answer = on_answer
        self._slot: tuple[Observation, int] | None = None
        self._condition = threading.Condition()
        self._stopping = False
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._episode_id = ""
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self, timeout_s: float) -> Engine:
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
        assert self.engine is not None
        return self.engine

    @property
    def waiting(self) -> int:
        """Observations waiting for the thread: 0 or 1."""
        return int(self._slot is not None)

    @property
    def problem(self) -> str:
        """What is wrong with the policy now; empty: nothing."""
        backoff = self.engine.backoff if self.engine is not None else None
        if backoff is None or not backoff.failures:
            return ""
        if backoff.gave_up:
            return f"given up after {backoff.failures} failures in a row; the last: {self.counts.last_error}"
        return self.counts.last_error

    def submit(self, observation: Observation, seed: int) -> None:
        """Ask for an answer; an older observation still waiting is dropped and counted."""
        with self._condition:
            if self._slot is not None:
                self.counts.skipped += 1
            self._slot = (observation, seed)
            self._condition.notify()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread after the inference under way; with 0, do not wait for that."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if timeout_s and self._thread.is_alive():
            self._thread.join(timeout_s)

    def _prepare(self) -> bool:
        try:
            engine = self._load()
            engine.warm_up()
            self.engine = engine
        except Exception as error:
            self._failure = error
        self._ready.set()
        return self._failure is None

    def _run(self) -> None:
        if not self._prepare():
            return
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._slot is not None or self._stopping)
                if self._stopping:
                    return
                assert self._slot is not None
                (observation, seed), self._slot = self._slot, None
            self._answer(observation, seed)

    def _answer(self, observation: Observation, seed: int) -> None:
        engine = self.engine
        assert engine is not None
        if observation.episode_id != self._episode_id:
            engine.begin(observation.episode_id, seed)
            self._episode_id = observation.episode_id
        try:
            chunk = engine.answer(observation)
        except Exception as error:
            # The policy is somebody's code: whatever it raises, the graph goes on, the supervisor runs dry and holds.
            self.counts.errors += 1
            self.counts.last_error = f"{type(error).__name__}: {error}"
            chunk = engine.failed(observation)
        if len(chunk.actions):
            self.counts.inferences += 1
            self.counts.latency_s = chunk.inference_s
        self._on_answer(chunk)
