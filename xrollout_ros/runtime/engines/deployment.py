"""The policy in use, and those loaded beside it for the next attempt."""

from __future__ import annotations

import threading
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

    Any thread may call any of it. Only ``load`` blocks; the others never wait for it.

    Args:
        load: makes an engine of a checkpoint and the hash that it must have; called in a worker's thread.
        robot: its spec.
        on_answer: takes each answer, in a worker's thread.
    """

    def __init__(self, load: Load, robot: RobotSpec, on_answer: Callable[[ActionChunk], None]) -> None:
        self._load = load
        self._robot = robot
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._loaded: list[Loaded] = []
        """Oldest first: the one in use, then those that wait."""
        self._stopped = False

    @property
    def current(self) -> Loaded:
        """The policy in use: the attempt's, or the last one's."""
        return self._loaded[0]

    @property
    def newest(self) -> Loaded:
        """The policy that the next attempt gets."""
        return self._loaded[-1]

    def load(self, path: Path, expected_hash: str, timeout_s: float) -> Loaded:
        """Load a policy and wait until it is warm; it is the newest then.

        Raises:
            TimeoutError: it took longer.
            Exception: whatever loading raised; nothing has changed.
        """
        worker = InferenceWorker(lambda: self._load(path, expected_hash), self._on_answer)
        info = worker.start(timeout_s).policy.info
        loaded = Loaded(info, worker, Processing(Pipeline(info.processors, self._robot), self._robot))
        with self._lock:
            if not self._stopped:
                self._loaded.append(loaded)
                return loaded
        worker.stop(0)
        raise RuntimeError("the policy node is shutting down")

    def serve(self, policy_id: str) -> Loaded | None:
        """The policy of the running attempt, None for one that is not here; older ones are let go."""
        with self._lock:
            place = next((at for at, one in enumerate(self._loaded) if one.info.policy_id == policy_id), None)
            if place is None:
                return None
            for old in self._loaded[:place]:
                old.worker.stop(0)
            del self._loaded[:place]
            return self._loaded[0]

    def stop(self) -> None:
        """End all threads, each after the inference under way."""
        with self._lock:
            self._stopped = True
            for loaded in self._loaded:
                loaded.worker.stop()
