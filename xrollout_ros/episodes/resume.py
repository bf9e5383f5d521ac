"""What an earlier run has left in a data folder, so that the same command goes on from there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xrollout_ros.core.episode import EpisodeMeta, OutcomeSource, Result
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.store import find_episodes

RATE = "control_rate_hz"
"""Where an episode's parameters say at which rate its robot was commanded."""


@dataclass(frozen=True)
class Made:
    """Attempts of an earlier run that count."""

    results: dict[int, Result] = field(default_factory=dict)
    """By seed."""


def made_before(data: Path, like: EpisodeMeta, total: int) -> Made:
    """The attempts that were made by the same command.

    The same are task, robot, kind, start, operator and policy, and the seed is one of those that the run makes. An
    attempt that the system cut short (the run was stopped, a node died) does not count: it is made again, beside its
    bag. Discarded ones are in the trash and do not count either.

    Args:
        data: the data folder; it need not be there yet.
        like: the first attempt of the run as it would be made now.
        total: attempts that the run shall have made in the end; 0: no end.

    Raises:
        DataError: they were made at another rate.
    """
    if not data.is_dir():
        return Made()
    first = like.seed or 0
    found: dict[int, Result] = {}
    for entry in find_episodes(data):
        meta = entry.meta
        if meta is None or meta.seed is None or not _same(meta, like):
            continue
        if meta.seed < first or (total and meta.seed >= first + total):
            continue
        if meta.outcome_source is not OutcomeSource.SYSTEM:
            _check_rate(meta, like, data)
            found[meta.seed] = meta.result()
    return Made(found)


def _same(meta: EpisodeMeta, like: EpisodeMeta) -> bool:
    names = ("task", "robot", "kind", "start", "operator", "policy_id")
    return all(getattr(meta, name) == getattr(like, name) for name in names)


def _check_rate(meta: EpisodeMeta, like: EpisodeMeta, data: Path) -> None:
    before, now = meta.parameters.get(RATE), like.parameters.get(RATE)
    if before is not None and now is not None and before != now:
        raise DataError(
            f"{data} holds attempts of robot {meta.robot!r} at {before:g} Hz, and now it is commanded at {now:g} Hz",
            "Record into another data folder, or mend control_rate_hz in the RobotSpec.",
        )
