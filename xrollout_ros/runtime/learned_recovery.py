"""A recovery in which a policy of its own drives, by chunks, as the main policy does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xrollout_ros.core.chunk import ActionChunk, Array
from xrollout_ros.core.clock import nanoseconds
from xrollout_ros.core.recoveries import LEARNED, LearnedSpec, WithinSpec
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.chunk_player import Played
from xrollout_ros.runtime.feed import PolicyFeed
from xrollout_ros.runtime.recovery import Now, Progress
from xrollout_ros.runtime.trail import Waypoint


class RecoveryFeed:
    """The chunks of the recovery policy; only those that were planned since it was given control are played."""

    def __init__(self, robot: RobotSpec) -> None:
        self._chunks = PolicyFeed(robot)
        self._listens = False
        self.failed = False
        """A chunk could not be used."""
        self.played: Played | None = None
        """What was due at last."""

    @property
    def discarded(self) -> int:
        """Chunks that came before or after its turn, or too late, since the start."""
        return self._chunks.discarded

    def begin(self, t_ns: int) -> None:
        """The recovery policy is given control."""
        self.end()
        self._chunks.give_control(t_ns)
        self._listens = True

    def end(self) -> None:
        """Somebody else drives."""
        self._chunks.begin()
        self._listens = self.failed = False
        self.played = None

    def clock_jumped(self) -> None:
        """Times of before mean nothing any more."""
        self._chunks.clock_jumped()

    def accept(self, chunk: ActionChunk) -> None:
        """A sound chunk has come."""
        if self._listens:
            self._chunks.accept(chunk)
        elif len(chunk.actions):
            self._chunks.refuse()

    def refuse(self, *, faulty: bool) -> None:
        """A chunk of another attempt has come, or one that cannot be used: then this recovery has failed."""
        self._chunks.refuse()
        self.failed |= faulty and self._listens

    def play(self, t_ns: int) -> float:
        """Set ``played`` to what is due now; gives how long nothing has been, s."""
        self.played, finding = self._chunks.play(t_ns)
        return finding.value if finding is not None else 0.0


class Learned:
    """Plays the recovery policy's chunks until nothing objects any more, where it was to lead."""

    name = LEARNED

    def __init__(self, spec: LearnedSpec, feed: RecoveryFeed) -> None:
        self._spec = spec
        self._feed = feed
        self._clear_ns = nanoseconds(spec.clear_s)
        self._acted = False
        self._well_since_ns: int | None = None

    def begin(self, robot: RobotSpec, path: list[Waypoint]) -> bool:
        self._acted = False
        self._well_since_ns = None
        return True

    def act(self, now: Now) -> Array | Progress | None:
        if self._succeeded(now):
            return None
        dry_s = self._feed.play(now.t_ns)
        if self._feed.failed or dry_s > self._spec.answer_s:
            return Progress.FAILED
        played = self._feed.played
        if played is None:
            return Progress.UNDER_WAY
        self._acted = True
        return played.action

    def _succeeded(self, now: Now) -> bool:
        well = self._acted and now.clear and _is_within(now.values, self._spec.within)
        if not well:
            self._well_since_ns = None
        elif self._well_since_ns is None:
            self._well_since_ns = now.t_ns
        return self._well_since_ns is not None and now.t_ns - self._well_since_ns >= self._clear_ns


def _is_within(values: Mapping[str, Array], bounds: WithinSpec | None) -> bool:
    if bounds is None:
        return True
    value = values.get(bounds.observation)
    return value is not None and bool(((value >= np.array(bounds.lower)) & (value <= np.array(bounds.upper))).all())
