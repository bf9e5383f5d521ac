"""The recoveries of an attempt: which one is tried, and when it gives way to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.recoveries import (
    BacktrackSpec,
    HoldSpec,
    LearnedSpec,
    PluginRecoverySpec,
    RecoverySpec,
    RetreatSpec,
)
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime import plugins
from xrollout_ros.runtime.checks import inspect_values
from xrollout_ros.runtime.learned_recovery import Learned, RecoveryFeed
from xrollout_ros.runtime.recovery import Now, Progress, RecoveryPolicy
from xrollout_ros.runtime.trail import Trail
from xrollout_ros.runtime.withdrawals import Backtrack, Hold, Retreat

PLUGIN_PATH_S = 10.0
"""How much of the path is kept for a plug-in, s."""


def make_recovery(spec: RecoverySpec, feed: RecoveryFeed) -> RecoveryPolicy:
    """The recovery policy that a RobotSpec asks for.

    Args:
        spec: its entry there.
        feed: the chunks of a learned one.

    Raises:
        SpecError: a plug-in is not installed.
    """
    if isinstance(spec, HoldSpec):
        return Hold(spec)
    if isinstance(spec, RetreatSpec):
        return Retreat(spec)
    if isinstance(spec, BacktrackSpec):
        return Backtrack(spec)
    if isinstance(spec, LearnedSpec):
        return Learned(spec, feed)
    policy: RecoveryPolicy = plugins.make("xrollout.recoveries", spec.name, spec.options)
    return policy


class Recoveries:
    """The recoveries of one attempt: each is used once, in the order of the RobotSpec.

    One that cannot begin, or does not succeed within its time, gives way to the next.
    """

    def __init__(self, robot: RobotSpec) -> None:
        specs = robot.safety.recoveries
        kept_s = [spec.duration_s for spec in specs if isinstance(spec, BacktrackSpec)]
        keep_s = max(kept_s + [PLUGIN_PATH_S for spec in specs if isinstance(spec, PluginRecoverySpec)], default=0.0)
        self.trail = Trail(keep_s, robot.policy_period_ns)
        self.feed = RecoveryFeed(robot)
        """Chunks of the policy of a learned one."""
        self._robot = robot
        self._all = [(make_recovery(spec, self.feed), spec) for spec in specs]
        self.reset()

    def reset(self) -> None:
        """An attempt begins: all can be used again."""
        self.trail.clear()
        self.feed.end()
        self.used = 0
        """How many of them were begun."""
        self.failure = ""
        """Why the last one that failed in this attempt did, in words."""
        self._current: RecoveryPolicy | None = None
        self._begun_ns = 0

    @property
    def name(self) -> str:
        """The one under way; empty: none."""
        return self._current.name if self._current is not None else ""

    @property
    def is_learned(self) -> bool:
        """Whether a policy drives in the one under way."""
        return isinstance(self._current, Learned)

    def clock_jumped(self) -> None:
        """Times of before mean nothing any more."""
        self.trail.clear()
        self.feed.clock_jumped()

    def begin(self, t_ns: int) -> bool:
        """Begin with the next one that can do something; False: none is left."""
        self.stop()
        while self.used < len(self._all):
            policy, spec = self._all[self.used]
            self.used += 1
            path = self.trail.back(spec.duration_s if isinstance(spec, BacktrackSpec) else None)
            if policy.begin(self._robot, path):
                self._current, self._begun_ns = policy, t_ns
                if self.is_learned:
                    self.feed.begin(t_ns)
                return True
        return False

    def stop(self) -> None:
        """Somebody else drives."""
        self._current = None
        self.feed.end()

    def act(self, t_ns: int, now: Now) -> tuple[Array | None, Progress]:
        """The action of the one under way ``(A,)``, None where nothing is due, and how it goes.

        In the tick in which it fails nothing is due: the robot holds, and the next one goes on from there.

        Args:
            t_ns: time of the tick.
            now: what it sees; ``t_s`` is filled in here.
        """
        if self._current is None:
            return None, Progress.FAILED
        _, spec = self._all[self.used - 1]
        passed_s, limit_s = max(0.0, seconds(t_ns - self._begun_ns)), spec.time_limit_s
        why = f"did not succeed within {limit_s:g} s"
        if passed_s <= limit_s:
            made = self._current.act(replace(now, t_s=passed_s))
            if made is None:
                self.stop()
                return None, Progress.SUCCEEDED
            if made is Progress.UNDER_WAY:
                return None, Progress.UNDER_WAY
            why = "gave up"
            if isinstance(made, np.ndarray) and self._is_sound(made):
                return made, Progress.UNDER_WAY
        self.failure = f"{self.name} {why}"
        return None, Progress.UNDER_WAY if self.begin(t_ns) else Progress.FAILED

    def _is_sound(self, action: Array) -> bool:
        return inspect_values(np.atleast_1d(action), self._robot.action_dim, "the recovery") is None
