"""What a rule is, and what it says."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from xrollout_ros.core.document import Strict
from xrollout_ros.core.episode import Outcome
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.signals import NotApplicableError, Signals
from xrollout_ros.mining.takes import Handling, Take, takes
from xrollout_ros.mining.taxonomy import MODES, FailureMode


@dataclass(frozen=True)
class Finding:
    """What a rule found; the rest of a judgement follows from the rule."""

    moment_s: float
    confidence: float
    evidence: str
    stage: str = ""
    severity: float | None = None
    """None: the mode's own."""


class Scene(Signals):
    """Signals of one episode with what follows from several of them."""

    def __init__(self, episode: EpisodeData, handling: Handling) -> None:
        super().__init__(episode)
        self.handling = handling

    @property
    def outcome(self) -> Outcome:
        """How the attempt ended."""
        return self.episode.meta.outcome

    @cached_property
    def takes(self) -> list[Take]:
        """Every time that the hand moved the object along."""
        return takes(self, self.handling)

    @cached_property
    def losses(self) -> list[Take]:
        """Those after which the object stayed behind, elsewhere than at the goal."""
        return [take for take in self.takes if take.lost and not take.placed]

    @cached_property
    def tried_m(self) -> float:
        """Within what distance the hand was at the object; 0: it never was.

        What the task says, or a little more where it stayed there for a while with its fingers closed.
        """
        if self.apart_m.min() <= self.near_m:
            return self.near_m
        wide_m = self.near_m + self.handling.margin_m
        with suppress(NotApplicableError):
            if self._stayed(wide_m):
                return wide_m
        return 0.0

    def _stayed(self, within_m: float) -> bool:
        """Whether the fingers were told to close all the while, and hand and object hardly moved apart."""
        span, apart = self.rows(self.handling.late_s), self.object - self.hand
        here = self.closing & (self.apart_m <= within_m)
        return any(
            here[row - span : row + 1].all() and np.linalg.norm(apart[row] - apart[row - span]) < self.handling.moved_m
            for row in range(span, len(self))
        )

    def stage_at(self, row: int) -> str:
        """Part of the task that a row lies in: ``reach``, ``grasp`` or ``transport``."""
        if any(take.begin <= row for take in self.takes):
            return "transport"
        return "grasp" if bool((self.apart_m[: row + 1] <= self.near_m).any()) else "reach"


class Rule(Strict, ABC):
    """One reason why attempts fail; its fields are its thresholds. It reads a scene, nothing else."""

    MODE: ClassVar[FailureMode]

    @abstractmethod
    def find(self, scene: Scene) -> Finding | None:
        """What speaks for this mode; None: nothing.

        Raises:
            NotApplicableError: the episode lacks a signal.
            SpecError: the TaskSpec does not fit the robot.
        """

    @property
    def severity(self) -> float:
        """Of its mode."""
        return MODES[self.MODE].severity


def sure(value: float, limit: float) -> float:
    """Confidence, .5 to 1, by how far a value is from the limit that decided, relative to it."""
    return 1.0 - 0.5 * math.exp(-4 * abs(value - limit) / max(abs(limit), 1e-9))
