"""Policies for tests: what they were asked, and chunks that say so."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array, Observation
from xrollout_ros.core.ports import Conditioning, PolicyInfo, Prefix

from .robots import DELTA

PERIOD_NS = DELTA.policy_period_ns


class Counting:
    """A policy whose rows say how often it was asked; it goes on from a prefix, and can be made to wait or to fail."""

    def __init__(
        self,
        horizon: int = 4,
        execute: int = 2,
        conditioning: Conditioning = "prefix",
        policy_id: str = "p",
    ) -> None:
        self.info = PolicyInfo(
            policy_id,
            "hash",
            DELTA.id,
            "task",
            horizon=horizon,
            execute=execute,
            state_dim=2,
            action_dim=2,
            conditioning=conditioning,
            max_prefix=horizon,
        )
        self.scores: Mapping[str, float] = {}
        self.asked = 0
        self.prefixes: list[Prefix | None] = []
        self.seeds: list[int] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def predict(self, state: Array, prefix: Prefix | None = None) -> npt.NDArray[np.float32]:
        self.gate.wait(10)
        self.threads.add(threading.current_thread().name)
        if self.fails:
            raise ValueError("no idea")
        self.asked += 1
        self.prefixes.append(prefix)
        chunk = np.full((self.info.horizon, 2), self.asked, dtype=np.float32)
        if prefix is not None:
            chunk[: prefix.frozen] = prefix.actions[: prefix.frozen]
        return chunk


def observation(step: int, episode: str = "e") -> Observation:
    """Of a step of the stepped drive."""
    return Observation(episode, step, step * PERIOD_NS, np.zeros(2))
