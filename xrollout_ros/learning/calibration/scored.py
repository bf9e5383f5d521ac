"""The scores along a recorded attempt: as the bag has them or, where it has not all of them, computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xrollout_ros.core.calibration import CONSISTENCY
from xrollout_ros.core.chunk import Array, Observation
from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import DELAY_STEPS, ENGINE
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.modes import Mode
from xrollout_ros.core.ports import Policy
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.runtime.engines import DEFAULT_ENGINE, make_engine
from xrollout_ros.runtime.engines.control import Control
from xrollout_ros.runtime.processors import Pipeline, Processing
from xrollout_ros.runtime.start_list import POLICY_SEED

CHUNK_TOPIC = "/xrollout/chunk"


@dataclass(frozen=True, eq=False)
class Scored:
    """One attempt, chunk by chunk."""

    time_s: Array
    """(N,) s since the attempt's first command: when the policy answered."""
    scores: tuple[Mapping[str, float], ...]
    """(N)"""
    recomputed: bool = False

    def __len__(self) -> int:
        """N, the number of chunks."""
        return len(self.scores)

    @property
    def names(self) -> frozenset[str]:
        """Scores that came with any chunk."""
        return frozenset().union(*self.scores) if self.scores else frozenset()

    def values(self, name: str) -> Array:
        """(N,) one score; NaN where it did not come."""
        return np.array([each.get(name, np.nan) for each in self.scores])


def engine_of(episode: EpisodeData) -> str:
    """The inference engine of an attempt."""
    return str(episode.meta.parameters.get(ENGINE) or DEFAULT_ENGINE)


def drive_of(episode: EpisodeData) -> str:
    """Whether simulated time or the clock drove an attempt."""
    return str(episode.meta.parameters.get("drive") or "stepped")


def recorded(episode: EpisodeData) -> Scored:
    """What the bag says, each chunk once.

    Raises:
        BagError: the bag is damaged.
    """
    found: dict[int, tuple[int, dict[str, float]]] = {}
    for _, _, message in episode.topic(CHUNK_TOPIC):
        ours = message.episode_id == episode.meta.episode_id and message.policy_id == episode.meta.policy_id
        if ours and len(message.data) and message.sequence not in found:
            scores = dict(zip(message.score_names, map(float, message.score_values), strict=False))
            found[message.sequence] = (stamp_ns(message.stamp), scores)
    stamps = np.array([stamp for stamp, _ in found.values()], dtype=np.int64)
    return Scored((stamps - episode.start_ns) / NS, tuple(scores for _, scores in found.values()))


def computed(episode: EpisodeData, policy: Policy) -> Scored:
    """What a policy and its engine say to the recorded observations, as they would while it runs.

    An attempt of this policy in the stepped drive gives what was recorded, bit for bit, on the same machine. In one
    that ran against the clock the chunks begin a little earlier or later than they did.

    Args:
        episode: of any policy for this robot.
        policy: fits the robot.
    """
    meta, robot = episode.meta, episode.robot
    delay_steps = int(meta.parameters.get(DELAY_STEPS, 0))
    engine = make_engine(engine_of(episode), policy, robot, delay_steps=delay_steps)
    processing = Processing(Pipeline(policy.info.processors, robot), robot)
    control = Control()
    engine.begin(meta.episode_id, int(meta.parameters.get(POLICY_SEED, meta.seed or 0)))
    times, scores = [], []
    stamps = episode.start_ns + np.rint(episode.stamp_s * NS).astype(np.int64)
    for row, stamp in enumerate(stamps.tolist()):
        seen = processing(Observation(meta.episode_id, int(episode.step[row]), stamp, episode.state[row]))
        if seen is not None:
            chunk = engine.answer(seen)
            if len(chunk.actions):
                times.append(episode.stamp_s[row])
                scores.append(dict(chunk.scores))
        if control.told(meta.episode_id, given=episode.mode[row] == Mode.AUTONOMOUS):
            engine.control_given(stamp)
    return Scored(np.array(times), tuple(scores), recomputed=True)


def scored(episode: EpisodeData, policy: Policy) -> Scored:
    """The scores of an attempt of this policy.

    Those in the bag are taken where each chunk has all that the policy gives now (the engine's may be missing: the
    first chunk overlaps with none); else all are computed again.

    Raises:
        BagError: the bag is damaged.
        DataError: the attempt has no chunk.
    """
    wanted = set(policy.info.detectors) - {CONSISTENCY}
    found = recorded(episode)
    if not len(found) or any(not wanted <= set(each) for each in found.scores):
        found = computed(episode, policy)
    if not len(found):
        raise DataError(
            f"episode {episode.meta.episode_id} has no chunk of the policy", "It ended before the policy answered."
        )
    return found
