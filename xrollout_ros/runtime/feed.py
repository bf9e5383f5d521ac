"""What the policy gives: its chunks, whether they are of now, and since when none is due."""

from __future__ import annotations

from collections.abc import Mapping

from xrollout_ros.core.chunk import ActionChunk
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import Finding
from xrollout_ros.runtime.chunk_player import ChunkPlayer, Played


class PolicyFeed:
    """Plays the policy's chunks.

    A chunk made from an observation of before the policy was given control is stale: it answers a place where the robot
    may not be any more.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self.player = ChunkPlayer(robot)
        self._stale = 0
        self.scores: Mapping[str, float] = {}
        """Those of the newest chunk."""
        self._limit_s = robot.safety.hold_abort_s
        self._since_ns: int | None = None
        self._dry_since_ns: int | None = None

    def begin(self) -> None:
        """An attempt begins or ends: nothing of before counts."""
        self.player.clear()
        self._since_ns = self._dry_since_ns = None
        self.scores = {}

    @property
    def discarded(self) -> int:
        """Chunks that were stale or of another attempt, or came too late to be spliced in."""
        return self._stale + self.player.discarded

    def refuse(self) -> None:
        """A chunk of another attempt has come."""
        self._stale += 1

    def accept(self, chunk: ActionChunk) -> None:
        """A sound chunk has come."""
        if self._since_ns is not None and min(chunk.stamp_ns, chunk.start_ns) < self._since_ns:
            self._stale += 1
            return
        self.scores = chunk.scores
        self.player.accept(chunk)

    def give_control(self, t_ns: int) -> None:
        """The policy drives from now on."""
        self.player.forget_before(t_ns)
        self._since_ns, self._dry_since_ns = t_ns, None

    def take_control(self) -> None:
        """Somebody else drives."""
        self.player.clear()
        self._dry_since_ns = None

    def clock_jumped(self) -> None:
        """Times of before mean nothing any more."""
        self.player.clear()
        self._since_ns = self._dry_since_ns = None

    def play(self, t_ns: int) -> tuple[Played | None, Finding | None]:
        """What is due now, and what is wrong: nothing is, or only the end of a motion that nothing continues."""
        played = self.player.play(t_ns)
        if played is not None and not played.fading:
            self._dry_since_ns = None
            return played, None
        if self._dry_since_ns is None:
            end_ns = self.player.end_ns
            self._dry_since_ns = t_ns if end_ns is None else min(end_ns, t_ns)
        dry_s = seconds(t_ns - self._dry_since_ns)
        taken = "no action is due from the policy; holding"
        return played, Finding("starved", Severity.HOLD, dry_s, self._limit_s, taken, self._dry_since_ns)
