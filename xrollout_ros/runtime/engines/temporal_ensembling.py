"""Temporal ensembling: a new chunk every policy step, and each moment's action the mean of all chunks that have one."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from xrollout_ros.runtime.engines.engine import Engine
from xrollout_ros.runtime.engines.plans import Rows

DECAY = 0.01
"""Per chunk, the oldest weighing most: the value of ACT (Zhao et al. 2023, arXiv:2304.13705, section IV-A)."""


class TemporalEnsembling(Engine):
    """Averages overlapping chunks row time by row time, with weights ``exp(-0.01 i)``, i = 0 the oldest (ACT).

    The policy is asked every policy step, ``execute`` is not used. Rows of older chunks count for the row time nearest
    to their own.
    """

    name: ClassVar[str] = "temporal_ensembling"

    def _clear(self) -> None:
        super()._clear()
        self._plans: list[tuple[int, Rows]] = []

    @property
    def _execute(self) -> int:
        return 1

    def _combine(self, actions: Rows, start_ns: int) -> Rows:
        self._plans.append((start_ns, actions))
        total = np.zeros(actions.shape)
        weights = np.zeros((len(actions), 1))
        reaching: list[tuple[int, Rows]] = []
        for begun_ns, plan in self._plans:
            shift = (start_ns - begun_ns + self._period_ns // 2) // self._period_ns
            left = plan[shift:]
            if begun_ns < self._since_ns or not len(left):
                continue
            weight = np.exp(-DECAY * len(reaching))
            total[: len(left)] += weight * left
            weights[: len(left)] += weight
            reaching.append((begun_ns, plan))
        self._plans = reaching
        if not reaching:
            # Control was given after this very observation: the chunk is stale and will be discarded.
            return actions
        mean: Rows = (total / weights).astype(np.float32)
        return mean

    def _held(self, held_ns: int) -> None:
        begun_ns, plan = self._plans[-1]
        self._plans[-1] = (begun_ns + held_ns, plan)
