"""A policy's own attempts in a data folder, scored: which of them say what is usual, and why the others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xrollout_ros.core.calibration import ALARM
from xrollout_ros.core.episode import CONTROL, PERTURBATION, TEMPERATURE, Outcome
from xrollout_ros.core.errors import DataError, XRolloutError
from xrollout_ros.core.modes import Severity, Source
from xrollout_ros.core.ports import Policy, PolicyInfo
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.safety import ScoreSpec
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import Condition, equal, parse
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.learning.calibration.scored import Scored, drive_of, engine_of, scored
from xrollout_ros.mining.collection import TARGETED
from xrollout_ros.runtime.action_control import Limits

MOST = 500
"""So many attempts are read, the newest."""
_CHOSEN = frozenset({PERTURBATION, TARGETED})
"""Tags of attempts that are not like those of a deployment."""


@dataclass(frozen=True, eq=False)
class OwnAttempt:
    """One attempt of the policy that was left to itself."""

    episode_id: str
    start: str
    engine: str
    drive: str
    started_at: str
    succeeded: bool
    duration_s: float
    """From the first command to the last, or to its end."""
    failed_at_s: float | None
    """When it went wrong, where that was judged."""
    scored: Scored


@dataclass(frozen=True)
class OwnAttempts:
    """What was found."""

    attempts: tuple[OwnAttempt, ...]
    """Oldest first."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why attempts of the policy are not among them, and how many."""
    others: dict[str, int] = field(default_factory=dict)
    """Policies that made the other attempts in the folder, and how many."""

    @property
    def successes(self) -> tuple[OwnAttempt, ...]:
        """Those that came to what was wanted, by the policy alone."""
        return tuple(each for each in self.attempts if each.succeeded)

    @property
    def failures(self) -> tuple[OwnAttempt, ...]:
        """The others."""
        return tuple(each for each in self.attempts if not each.succeeded)


def own_attempts(
    catalog: Catalog,
    policy: Policy,
    where: Sequence[Condition] = (),
    *,
    most: int = MOST,
    progress: Callable[[int, int], None] | None = None,
) -> OwnAttempts:
    """The attempts of exactly this checkpoint, in which nobody and nothing kept it from what it would have done.

    Demonstrations are none, nor are attempts that somebody helped with, in which a recovery drove or an alarm was acted
    on, or which were made with another sampling temperature, under constraints, or from starts chosen for a failure.

    Args:
        catalog: up to date.
        policy: with the hash of its checkpoint.
        where: further conditions.
        most: reads at most so many, the newest.
        progress: told how many of how many are read.

    Raises:
        DataError: the catalog cannot be read.
    """
    info = policy.info
    rated = parse("kind=attempt,evaluation")
    ours = [*where, rated, equal("checkpoint_hash", info.checkpoint_hash)]
    rows = catalog.listing(ours, limit=most + 1)
    left_out: Counter[str] = Counter()
    if len(rows) > most:
        left_out[f"older than the newest {most}"] = catalog.count(ours) - most
    found: list[OwnAttempt] = []
    for number, row in enumerate(reversed(rows[:most])):
        if progress is not None:
            progress(number + 1, min(len(rows), most))
        try:
            episode = read_episode(catalog.data / row["path"])
            why_not = _why_not(row["outcome"], bool(row["helped"]), episode, info)
            if not why_not:
                found.append(_attempt(episode, policy, row["outcome"], row["failure_moment_s"]))
        except (XRolloutError, OSError) as error:
            why_not = error.what if isinstance(error, DataError) else "the bag cannot be read"
        if why_not:
            left_out[why_not] += 1
    return OwnAttempts(tuple(found), dict(left_out), _others(catalog, [*where, rated], info))


def acted_on(robot: RobotSpec, episode_id: str) -> bool:
    """Whether something would have followed from the calibrated alarm in this attempt."""
    alarms = (each for each in robot.safety.detectors if isinstance(each, ScoreSpec) and each.score == ALARM)
    return any(each.severity is not Severity.CLIP and not each.only_told(episode_id) for each in alarms)


def _why_not(outcome: str, helped: bool, episode: EpisodeData, info: PolicyInfo) -> str:
    meta = episode.meta
    if outcome == Outcome.UNKNOWN.value:
        return "its outcome is not known"
    if meta.robot != info.robot or meta.task != info.task:
        return f"at {meta.task} on {meta.robot}, which the policy is not for"
    if helped:
        return "somebody helped"
    if (episode.source == Source.RECOVERY).any():
        return "a recovery drove"
    if float(meta.parameters.get(TEMPERATURE, 1.0)) != 1.0 or meta.parameters.get(CONTROL, Limits.name) != Limits.name:
        return "made with another temperature or under constraints"
    if not _CHOSEN.isdisjoint(meta.tags):
        return "disturbed on purpose, or from starts that were chosen for a failure"
    return ""


def _attempt(episode: EpisodeData, policy: Policy, outcome: str, failed_at_s: float | None) -> OwnAttempt:
    meta = episode.meta
    found = scored(episode, policy)
    # Where alarms were acted on, a success is one without an alarm, and says nothing of those with one.
    if ALARM in found.names and acted_on(episode.robot, meta.episode_id):
        raise DataError("alarms were acted on", "")
    return OwnAttempt(
        episode_id=meta.episode_id,
        start=meta.start,
        engine=engine_of(episode),
        drive=drive_of(episode),
        started_at=meta.started_at,
        succeeded=outcome == Outcome.SUCCESS.value,
        # In real time commands go on for a moment when it is over.
        duration_s=min(float(episode.stamp_s[-1]), meta.duration_s or float("inf")),
        failed_at_s=failed_at_s,
        scored=found,
    )


def _others(catalog: Catalog, where: Sequence[Condition], info: PolicyInfo) -> dict[str, int]:
    rows = catalog.listing([*where, parse(f"checkpoint_hash!={info.checkpoint_hash}")], limit=10 * MOST)
    return dict(Counter(str(row["policy_id"]) for row in rows if row["policy_id"]))
