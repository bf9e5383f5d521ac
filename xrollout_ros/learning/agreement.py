"""What a policy would have done in a recorded attempt, step by step, against what was done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.modes import Source
from xrollout_ros.core.ports import Policy
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.learning.windows import nearest
from xrollout_ros.runtime.processors import Pipeline, process_rows

_DRIVEN = [int(source) for source in (Source.POLICY, Source.OPERATOR)]


@dataclass(frozen=True, eq=False)
class Agreement:
    """A policy's chunks against the actions recorded, at N steps of an attempt."""

    row: npt.NDArray[np.int64]
    """(N,) row of the episode."""
    time_s: Array
    """(N,) s since the start of the attempt."""
    first: Array
    """(N, A) absolute error of the chunk's first row, units of the action."""
    chunk: Array
    """(N, A) mean absolute error over those rows of the chunk that have a recorded action."""
    names: tuple[str, ...]
    units: tuple[str, ...]
    span: Array
    """(A,) upper minus lower limit of each action."""

    @property
    def overall(self) -> Array:
        """(N,) mean over the actions of the chunk's error, each as a share of its action's range."""
        return np.asarray((self.chunk / self.span).mean(axis=1))

    @property
    def worst(self) -> int:
        """Where the policy diverges most: index into the N steps."""
        return int(self.overall.argmax())


def compare_with_recorded(episode: EpisodeData, policy: Policy) -> Agreement:
    """Feed an attempt's observations into a policy and compare its chunks with what followed.

    The policy is asked at every tick of the attempt, as it was recorded, whoever drove; its actions are clipped to the
    robot's limits, as the supervisor would. Rows in which the robot held or recovered are compared with nothing.

    Args:
        episode: any robot's, a real one's too.
        policy: fits the robot; its randomness follows from the episode's seed.

    Raises:
        DataError: neither policy nor operator drove in this attempt.
    """
    robot = episode.robot
    # What acts once was sent once for each step; anything else at the control rate, or at an operator's own.
    once = any(dim.kind.once for dim in robot.actions)
    steps = np.arange(len(episode), dtype=np.float64) if once else episode.stamp_s * robot.policy_rate_hz
    driven = np.isin(episode.source, _DRIVEN)
    stamps_ns = np.rint(episode.stamp_s * 1e9).astype(np.int64)
    inputs, ticked = process_rows(Pipeline(policy.info.processors, robot), robot, episode.state, stamps_ns)
    rows = np.flatnonzero(ticked & driven)
    if not len(rows):
        raise DataError(
            f"in episode {episode.meta.episode_id} neither a policy nor an operator drove",
            "There is nothing to compare a policy with; choose another one.",
        )
    policy.reset(episode.meta.seed or 0)
    lower = np.array([dim.lower for dim in robot.actions])
    upper = np.array([dim.upper for dim in robot.actions])
    ahead = np.arange(policy.info.horizon)
    first, chunk = np.empty((len(rows), robot.action_dim)), np.empty((len(rows), robot.action_dim))
    for number, row in enumerate(rows):
        made = np.clip(policy.predict(inputs[row]).astype(np.float64), lower, upper)
        due = steps[row] + ahead
        there = nearest(steps, due)
        real = (np.abs(steps[there] - due) < 0.5) & driven[there]
        error = np.abs(made - episode.action[there])
        first[number], chunk[number] = error[0], error[real].mean(axis=0)
    return Agreement(
        row=rows,
        time_s=episode.stamp_s[rows],
        first=first,
        chunk=chunk,
        names=tuple(dim.name for dim in robot.actions),
        units=tuple(dim.unit for dim in robot.actions),
        span=upper - lower,
    )
