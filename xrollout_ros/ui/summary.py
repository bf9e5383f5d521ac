"""Reads a data folder into what a report says of it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import xrollout_ros
from xrollout_ros.core.episode import EpisodeKind
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ros_distro import ros_distro
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.records import Record, read_records
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, tag_of
from xrollout_ros.ui.deployment import Attempt, FromStart, Trace

_LIBRARIES = ("torch", "numpy", "metaworld", "mujoco", "foxglove-sdk", "mcap")


def attempts_of(records: Iterable[Record]) -> tuple[Attempt, ...]:
    """Episodes as attempts, numbered in the order given.

    Raises:
        BagError: a bag is damaged.
    """
    return tuple(_attempt(number, record) for number, record in enumerate(records, start=1))


def from_starts(records: Sequence[Record], task: TaskSpec) -> tuple[FromStart, ...]:
    """Attempts by the start distribution that they began from, in the order first used; numbered over all of them.

    Raises:
        BagError: a bag is damaged.
    """
    found: dict[str, list[Attempt]] = {}
    for record, attempt in zip(records, attempts_of(records), strict=True):
        found.setdefault(record.meta.start, []).append(attempt)
    described = {name: start.description for name, start in task.starts.items()}
    return tuple(FromStart(name, described.get(name, ""), tuple(attempts)) for name, attempts in found.items())


def split_by_kind(data: Path) -> tuple[list[Record], list[Record]]:
    """Demonstrations, and all other attempts, of a data folder, each oldest first.

    Raises:
        DataError: the folder is not there, or some bag in it cannot be read: a report must not pass over an attempt.
    """
    found = read_records(data)
    if found.unreadable:
        raise DataError(
            f"{len(found.unreadable)} of the bags in {data} cannot be read: "
            + "; ".join(f"{entry.path.name}: {entry.problem}" for entry in found.unreadable[:3]),
            "A success rate without them would not be true; look at them with `xrollout episodes list`.",
        )
    demonstrations = [record for record in found.records if record.meta.kind is EpisodeKind.DEMONSTRATION]
    return demonstrations, [record for record in found.records if record.meta.kind.rated]


def versions() -> dict[str, str]:
    """What a result may depend on, by name."""
    found = {"xrollout": xrollout_ros.__version__, "Python": platform.python_version()}
    if distribution := ros_distro():
        found["ROS 2"] = distribution
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _attempt(number: int, record: Record) -> Attempt:
    meta, effective = record.meta, record.effective
    judgement = effective.judgements[0] if effective.judgements else None
    return Attempt(
        number=number,
        episode_id=meta.episode_id,
        seed=meta.seed,
        outcome=effective.outcome,
        outcome_source=effective.source,
        outcome_reason=effective.reason,
        duration_s=meta.duration_s,
        bag=record.path,
        helped=record.result.helped,
        failure_mode=judgement.mode if judgement else "",
        stage=judgement.stage if judgement else "",
        evidence=judgement.evidence if judgement else "",
        remarks=_remarks(record),
        trace=_trace(read_episode(record.path, allow_empty=True)),
    )


def _remarks(record: Record) -> tuple[tuple[str, str], ...]:
    if not record.result.success:
        return ()
    worth = {tag_of(mode.value) for mode in IN_SUCCESSES}
    return tuple((tag, why) for tag, why in sorted(record.effective.tags.items()) if tag in worth)


def _trace(episode: EpisodeData) -> Trace | None:
    reach = episode.task.reach if episode.task is not None else None
    if reach is None or not len(episode):
        return None
    slices = episode.robot.state_slices()
    hand, thing = slices.get(reach.hand), slices.get(reach.object)
    if hand is None or thing is None or _width(hand, thing) != (3, 3):
        return None
    return Trace(episode.stamp_s, episode.state[:, hand], episode.state[:, thing])


def _width(*spans: slice) -> Sequence[int]:
    return tuple(span.stop - span.start for span in spans)
