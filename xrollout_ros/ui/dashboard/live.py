"""What the pages show of the running graph: looked at once for all that look on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from xrollout_ros.core.chunk import Array
from xrollout_ros.runtime.monitor_model import MonitorModel
from xrollout_ros.ui.asking import Actor

FRESH_S = 0.05
"""However many look on, the graph's state is put together no more often."""
HISTORY_S, SAMPLE_S = 60.0, 0.25


class Pictures(Protocol):
    """What cameras send: ``graph.cameras.Cameras``."""

    def topics(self) -> tuple[str, ...]:
        """Topics with images."""
        ...

    def watching(self, topic: str) -> AbstractContextManager[None]:
        """Listen to one meanwhile; KeyError: nobody publishes images there."""
        ...

    def picture(self, topic: str, after: int = 0) -> tuple[bytes, int]:
        """The newest as JPEG, and its number; nothing, where it is ``after``."""
        ...


class Sensed(Protocol):
    """What the robot senses: ``graph.scene.Scene``."""

    def watching(self) -> AbstractContextManager[None]:
        """Somebody looks meanwhile."""
        ...

    def values(self, robot: str) -> Mapping[str, tuple[Array, str]]:
        """The newest, by observation, with its unit.

        Raises:
            XRolloutError: the robot's spec is not here, or a message does not fit it.
        """
        ...


@dataclass(frozen=True)
class Sample:
    """One moment of the curves."""

    at_s: float
    """Wall clock, s since the epoch."""
    latency_s: float
    scores: tuple[tuple[str, float], ...]


class Live:
    """The graph, as the dashboard's pages see it. Used from the server's event loop alone.

    Args:
        look: what is known now.
        actor: asks for things.
        pictures: of the cameras.
        scene: what is sensed otherwise.
    """

    def __init__(self, look: Callable[[], MonitorModel], actor: Actor, pictures: Pictures, scene: Sensed) -> None:
        self._look, self.actor, self.pictures, self.scene = look, actor, pictures, scene
        self._model = MonitorModel()
        self._looked_s = -FRESH_S
        self._sampled_s = -SAMPLE_S
        self.history: deque[Sample] = deque(maxlen=int(HISTORY_S / SAMPLE_S))

    def model(self) -> MonitorModel:
        """What was known a moment ago."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= FRESH_S:
            self._looked_s = now_s
            self._model = self._look()
            self._sample(now_s)
        return self._model

    def _sample(self, now_s: float) -> None:
        policy = self._model.policy
        if policy is None or now_s - self._sampled_s < SAMPLE_S:
            return
        self._sampled_s = now_s
        scores = tuple((score.name, score.value) for score in self._model.scores)
        self.history.append(Sample(time.time(), policy.latency_s, scores))
