"""The policy in use, and those loaded beside it for the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from xrollout_ros.core.chunk import ActionChunk
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.engines.engine import Engine
from xrollout_ros.runtime.engines.worker import InferenceWorker
from xrollout_ros.runtime.processors import Pipeline, Processing

Load = Callable[[Path, str], Engine]


@dataclass
class Loaded:
    """A policy that is warm, in a thread of its own."""

    info: PolicyInfo
    worker: InferenceWorker
    processing: Processing
    """Advanced in the executor's thread: the worker's may miss observations, a processor must see each tick once."""
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        assert self.worker.engine is not None
        self.engine = self.worker.engine


class Deployment:
    """Keeps a policy driving while another one is loaded and warmed up, each in a worker's thread of its own.

    The swap belongs to whoever names the policy of an attempt: what is loaded becomes the ``newest``, which the next
    attempt is given; a policy that an attempt was given stays until an attempt is given a newer one. So no chunk of
    an attempt comes from another policy than the attempt's own.

    Called from the executor's thread; ``on_done`` of ``load`` is called from the new worker's.

    Args:
        load: makes an engine of a checkpoint and the hash that it must have; called in a worker's thread.
        robot: its spec.
        on_answer: takes each answer, in a worker's thread.
    """

    def __init__(self, load: Load, robot: RobotSpec, on_answer: Callable[[ActionChunk], None]) -> None:
        self._load = load
        self._robot = robot
        self._on_answer = on_answer
        self._loaded: list[Loaded] = []
        """Oldest first: the one in use, then those that wait. Only the executor's thread changes it."""
        self._loading: list[InferenceWorker] = []

    @property
    def current(self) -> Loaded:
        """The policy in use: the attempt's, or the last one's."""
        return self._loaded[0]

    @property
    def newest(self) -> Loaded:
        """The policy that the next attempt gets."""
        return self._loaded[-1]

    def start(self, path: Path, expected_hash: str, timeout_s: float) -> Loaded:
        """Load the first policy and wait for it.

        Raises:
            TimeoutError: it took longer.
            Exception: whatever loading raised.
        """
        worker = InferenceWorker(lambda: self._load(path, expected_hash), self._on_answer)
        self._loading.append(worker)
        worker.start(timeout_s)
        return self.add(worker)

    def load(
        self, path: Path, expected_hash: str, on_done: Callable[[InferenceWorker, Exception | None], None]
    ) -> None:
        """Load another policy in the background; ``add`` takes it in once ``on_done`` was called without an error."""

        def ready(failure: Exception | None) -> None:
            on_done(worker, failure)

        worker = InferenceWorker(lambda: self._load(path, expected_hash), self._on_answer, ready)
        self._loading.append(worker)
        worker.begin()

    def add(self, worker: InferenceWorker) -> Loaded:
        """A worker is warm: its policy is the newest."""
        self._loading.remove(worker)
        assert worker.engine is not None
        info = worker.engine.policy.info
        loaded = Loaded(info, worker, Processing(Pipeline(info.processors, self._robot), self._robot))
        self._loaded.append(loaded)
        return loaded

    def drop(self, worker: InferenceWorker) -> None:
        """Loading has failed."""
        self._loading.remove(worker)

    def serve(self, policy_id: str) -> Loaded | None:
        """The policy of the running attempt, None for one that is not here; older ones are let go."""
        place = next((at for at, one in enumerate(self._loaded) if one.info.policy_id == policy_id), None)
        if place is None:
            return None
        for old in self._loaded[:place]:
            old.worker.stop(0)
        del self._loaded[:place]
        return self._loaded[0]

    def stop(self) -> None:
        """End all threads, each after the inference under way."""
        for worker in [*(one.worker for one in self._loaded), *self._loading]:
            worker.stop()
        self._loaded.clear()
        self._loading.clear()
