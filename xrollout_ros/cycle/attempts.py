"""What a data folder holds of a cycle's attempts, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.cycle.record import CycleRecord, Deployed, Tally
from xrollout_ros.cycle.triggers import alarmed
from xrollout_ros.episodes.records import read_records
from xrollout_ros.episodes.resume import made_of
from xrollout_ros.runtime.start_list import StartList
from xrollout_ros.sim.generation import GENERATED

CYCLE = "cycle_id"
"""Where an episode's parameters say which cycle it was made in."""


def metas_of(record: CycleRecord) -> list[EpisodeMeta]:
    """All episodes of the cycle's data folder, with the outcomes that hold.

    Raises:
        DataError: the journal cannot be read.
    """
    data = Path(record.data)
    if not data.is_dir():
        return []
    return [
        each.meta.model_copy(update={"outcome": each.effective.outcome, "outcome_source": each.effective.source})
        for each in read_records(data).records
    ]


def made(record: CycleRecord, starts: StartList) -> dict[int, EpisodeMeta]:
    """What of a list of starts is there, by number."""
    return made_of(starts, metas_of(record))


def lived(record: CycleRecord) -> list[EpisodeMeta]:
    """All attempts of the deployed policy's life."""
    assert record.base is not None
    policy = record.base.policy_id
    return [meta for meta in metas_of(record) if lives(meta, policy)]


def lives(meta: EpisodeMeta, policy_id: str) -> bool:
    """Whether it is an attempt that the policy was deployed for."""
    return meta.policy_id == policy_id and meta.kind is EpisodeKind.ATTEMPT and GENERATED not in meta.tags


def tallies(metas: Iterable[EpisodeMeta]) -> dict[str, Tally]:
    """Successes among attempts with a known outcome, by start; what somebody helped with is no success."""
    found: dict[str, Tally] = {}
    for meta in metas:
        if meta.outcome is Outcome.UNKNOWN or meta.outcome_source is OutcomeSource.SYSTEM:
            continue
        before = found.get(meta.start, Tally())
        success = meta.result().success
        found[meta.start] = Tally(successes=before.successes + success, attempts=before.attempts + 1)
    return dict(sorted(found.items()))


def deployed_of(policy_id: str, metas: Iterable[EpisodeMeta], worse_e_value: float) -> Deployed:
    """What a cycle keeps of the deployed policy's attempts."""
    found = list(metas)
    return Deployed(
        policy_id=policy_id,
        by_start=tallies(found),
        alarms=sum(alarmed(meta) for meta in found),
        aborted=sum(meta.outcome is Outcome.ABORT for meta in found),
        helped=sum(meta.result().helped for meta in found),
        episodes=tuple(meta.episode_id for meta in found),
        first_failure_at=min((meta.started_at for meta in found if _failed(meta)), default=""),
        worse_e_value=worse_e_value,
    )


def _failed(meta: EpisodeMeta) -> bool:
    return meta.outcome is not Outcome.UNKNOWN and not meta.result().success
