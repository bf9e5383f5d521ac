"""The one episode reader: what was seen and done in an attempt, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.episode import EpisodeMeta, SafetyRecord
from xrollout_ros.core.errors import BagError, SpecError
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import by_columns, by_message
from xrollout_ros.episodes.bag_reader import Bag, TopicMessage, open_bag
from xrollout_ros.episodes.rosbag2 import as_seconds
from xrollout_ros.episodes.streams import COMMAND_TOPIC, Floats, Ints, SafetyEvent, Streams

__all__ = ["COMMAND_TOPIC", "EpisodeData", "read_episode"]


@dataclass(frozen=True, eq=False)
class EpisodeData:
    """One attempt. Row t is one command, with the observation that it answered."""

    path: Path
    meta: EpisodeMeta
    robot: RobotSpec
    task: TaskSpec | None
    start_ns: int
    """Stamp of the first row (simulated time in the stepped drive)."""
    stamp_s: Floats
    """(T,) s since ``start_ns``: stamps of the commands."""
    step: Ints
    """(T,) the stepped drive's step, or the supervisor's tick."""
    state: Floats
    """(T, D), ordered by the RobotSpec."""
    action: Floats
    """(T, A), as sent."""
    source: npt.NDArray[np.uint8]
    """(T,) who the action came from, :class:`xrollout_ros.core.modes.Source`."""
    mode: npt.NDArray[np.uint8]
    """(T,) the supervisor's mode, :class:`xrollout_ros.core.modes.Mode`."""
    clipped: npt.NDArray[np.bool_]
    """(T, A) where a limit changed the value."""
    safety_events: tuple[SafetyRecord, ...]
    """From the supervisor's topic, in order, s since ``start_ns``."""
    bag: Bag

    def __len__(self) -> int:
        """T, the number of rows."""
        return len(self.stamp_s)

    def topic(self, name: str) -> Iterator[TopicMessage]:
        """Decoded messages of any one topic, in the order received; none where it was not recorded.

        Raises:
            BagError: the bag is damaged.
        """
        return self.bag.messages([name])


def read_episode(path: Path, *, allow_empty: bool = False) -> EpisodeData:
    """Read one episode.

    Each command of the episode is paired, entry by entry, with the newest observation whose stamp is not newer than the
    command's: in the stepped drive that is the observation of the same step. Observations without a header are paired
    by the time they were received. What was sent twice (a resend) counts once. Commands from before the first complete
    observation are left out.

    Args:
        path: folder of a bag, or its ``.mcap``.
        allow_empty: give T = 0 for an attempt that ended before its first command, as an abort may.

    Raises:
        BagError: nothing is there, or it is no bag, a foreign, torn or damaged one, it does not fit its RobotSpec, or
            holds no command.
    """
    bag = open_bag(path)
    try:
        # Columns give what the decoder of single messages gives, or nothing: then that decoder says what is wrong.
        streams = by_columns.read(bag) or by_message.read(bag)
    except SpecError as error:
        raise BagError(f"{path} does not fit its RobotSpec: {error.what}", error.remedy) from error
    stamps, robot = streams.stamp_ns, bag.robot
    state, known = _states(robot, streams)
    if not known.any() and not allow_empty:
        counts = ", ".join(f"{topic}: {count}" for topic, count in streams.counts.items())
        raise BagError(
            f"{path} holds no command with an observation ({len(stamps)} commands of episode {bag.meta.episode_id}; "
            f"messages of {counts})",
            "Nothing can be learned from it; its topics can still be looked at.",
        )
    start_ns = int(stamps[known][0]) if known.any() else 0
    return EpisodeData(
        path=path,
        meta=bag.meta,
        robot=robot,
        task=bag.task,
        start_ns=start_ns,
        stamp_s=(stamps[known] - start_ns) / 1e9,
        step=streams.step[known],
        state=state[known],
        action=streams.action[known],
        source=streams.source[known],
        mode=streams.mode[known],
        clipped=streams.clipped[known],
        safety_events=tuple(_safety(event, start_ns) for event in streams.events),
        bag=bag,
    )


def _states(robot: RobotSpec, streams: Streams) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """State ``(T, D)`` of each command, and ``(T,)`` whether every entry had been seen by then."""
    state = np.zeros((len(streams.stamp_ns), robot.state_dim))
    known = np.ones(len(streams.stamp_ns), dtype=bool)
    slices = robot.state_slices()
    for entry in robot.observations:
        seen = streams.observed[entry.name]
        commanded = streams.stamp_ns if seen.stamped else streams.received_ns
        index = np.searchsorted(seen.times_ns, commanded, side="right") - 1
        known &= index >= 0
        if len(seen.times_ns):
            state[:, slices[entry.name]] = seen.values[np.maximum(index, 0)]
    return state, known


def _safety(event: SafetyEvent, start_ns: int) -> SafetyRecord:
    return SafetyRecord(
        at_s=as_seconds(event.stamp_ns, start_ns) if start_ns else 0.0,
        check=event.check,
        severity=Severity(event.severity),
        value=event.value,
        limit=event.limit,
        began=event.began,
    )
