"""Replays an attempt: its commands into the simulator, its observations into a policy."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

from xrollout_ros.core.episode import TEMPERATURE
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.learning.agreement import Agreement, compare_with_recorded
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.sim.replay import ActionReplay, Reproduction, replay_actions, reproduce
from xrollout_ros.ui.progress import Bar


class Replayed(NamedTuple):
    """What came of it; None: that was not asked for."""

    recorded: EpisodeData
    actions: ActionReplay | None = None
    agreement: Agreement | None = None
    reproduction: Reproduction | None = None


def replay(bag: Path, model: Path | None, attempts: int | None) -> Replayed:
    """Replay an attempt.

    Args:
        bag: the attempt's.
        model: a policy to compare with what was done; None: its commands are sent again.
        attempts: that the policy makes from the same start; None: none.

    Raises:
        XRolloutError: the bag cannot be read, or replayed with that.
    """
    recorded = read_episode(bag)
    if model is None:
        with Bar("sending its commands again"):
            return Replayed(recorded, replay_actions(recorded))
    policy = _policy(model, recorded)
    with Bar("asking the policy what it would have done"):
        agreement = compare_with_recorded(recorded, policy)
    if attempts is None:
        return Replayed(recorded, None, agreement)
    made = itertools.count(1)
    with Bar("attempts from the same start") as bar:
        found = reproduce(recorded, policy, attempts, lambda outcome: bar.show(next(made), attempts, outcome.value))
    return Replayed(recorded, None, agreement, found)


def _policy(model: Path, recorded: EpisodeData) -> ChunkPolicy:
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.learning.metadata import read_bytes, sha256

    if recorded.task is None:
        raise DataError(f"episode {recorded.meta.episode_id} names no task", "No policy can be compared with it.")
    temperature = recorded.meta.parameters.get(TEMPERATURE, 1.0)
    if temperature != 1.0 and sha256(read_bytes(model)) != recorded.meta.checkpoint_hash:
        temperature = 1.0  # that was another policy's
    return load_policy(model, recorded.robot, recorded.task, temperature=temperature)
