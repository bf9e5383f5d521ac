"""What an earlier run has left in a data folder, so that the same command goes on from there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from xrollout_ros.core.episode import CONTROL, TEMPERATURE, EpisodeMeta, OutcomeSource, Result
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.runtime.start_list import LIST, NUMBER, StartList

RATE = "control_rate_hz"
"""Where an episode's parameters say at which rate its robot was commanded."""
USUAL = {TEMPERATURE: 1.0, CONTROL: "limits"}
"""How a policy is made to act, and what is meant where an episode says nothing of it."""


@dataclass(frozen=True)
class Made:
    """Attempts of an earlier run that count."""

    results: dict[int, Result] = field(default_factory=dict)
    """By seed, or by the place in the list of starts, from 0."""


def made_before(data: Path, like: EpisodeMeta, total: int, starts: StartList | None = None) -> Made:
    """The attempts that were made by the same command.

    The same are task, robot, kind, start, operator and policy, how that policy was made to act, and the seed is one of
    those that the run makes. Of a list of starts it is the list and the number in it that count, and whoever operates
    goes on with what another one has begun. An
    attempt that the system cut short (the run was stopped, a node died) does not count: it is made again, beside its
    bag. Discarded ones are in the trash and do not count either.

    Args:
        data: the data folder; it need not be there yet.
        like: the first attempt of the run as it would be made now.
        total: attempts that the run shall have made in the end; 0: no end.
        starts: the run's list of starts; none: seeds count up.

    Raises:
        DataError: they were made at another rate.
    """
    if not data.is_dir():
        return Made()
    found: dict[int, Result] = {}
    for entry in find_episodes(data):
        meta = entry.meta
        if meta is None or not _same(meta, like, listed=starts is not None):
            continue
        key = _counted(meta, like.seed or 0, total) if starts is None else _listed(meta, starts)
        if key is not None and meta.outcome_source is not OutcomeSource.SYSTEM:
            _check_rate(meta, like, data)
            found[key] = meta.result()
    return Made(found)


def made_of(starts: StartList, episodes: Iterable[EpisodeMeta]) -> dict[int, EpisodeMeta]:
    """Of a list of starts what was made, by number; what the system cut short is not."""
    found = (meta for meta in episodes if meta.parameters.get(LIST) == starts.id and meta.kind.counts)
    return {int(meta.parameters[NUMBER]): meta for meta in found if meta.outcome_source is not OutcomeSource.SYSTEM}


def _same(meta: EpisodeMeta, like: EpisodeMeta, *, listed: bool) -> bool:
    names = ("task", "robot", "kind", "policy_id", *(() if listed else ("start", "operator")))
    if not all(getattr(meta, name) == getattr(like, name) for name in names):
        return False
    return all(meta.parameters.get(name, usual) == like.parameters.get(name, usual) for name, usual in USUAL.items())


def _counted(meta: EpisodeMeta, first: int, total: int) -> int | None:
    """Its seed, if the run makes that."""
    seed = meta.seed
    if seed is None or LIST in meta.parameters or seed < first or (total and seed >= first + total):
        return None
    return seed


def _listed(meta: EpisodeMeta, starts: StartList) -> int | None:
    """Its place in the list, if it was made from that."""
    number = meta.parameters.get(NUMBER)
    if meta.parameters.get(LIST) != starts.id or number not in starts.numbers:
        return None
    return starts.numbers.index(number)


def _check_rate(meta: EpisodeMeta, like: EpisodeMeta, data: Path) -> None:
    before, now = meta.parameters.get(RATE), like.parameters.get(RATE)
    if before is not None and now is not None and before != now:
        raise DataError(
            f"{data} holds attempts of robot {meta.robot!r} at {before:g} Hz, and now it is commanded at {now:g} Hz",
            "Record into another data folder, or mend control_rate_hz in the RobotSpec.",
        )
