"""The one episode reader: what was seen and done in an attempt, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.episode import EpisodeMeta, SafetyRecord
from xrollout_ros.core.errors import BagError, SpecError
from xrollout_ros.core.fields import extract, stamp_ns
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import ObservationSpec, RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.bag_reader import Bag, TopicMessage, open_bag
from xrollout_ros.episodes.rosbag2 import as_seconds

COMMAND_TOPIC = "/xrollout/command"
SAFETY_TOPIC = "/xrollout/supervisor/event"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


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
    robot = bag.robot
    commands: list[TopicMessage] = []
    events: list[Any] = []
    observed: dict[str, list[TopicMessage]] = {entry.topic: [] for entry in robot.observations}
    for item in bag.messages({COMMAND_TOPIC, SAFETY_TOPIC, *observed}):
        if item.topic == COMMAND_TOPIC:
            commands.append(item)
        elif item.topic == SAFETY_TOPIC:
            events.append(item.message)
        else:
            observed[item.topic].append(item)
    commands = _own(commands, bag.meta.episode_id)
    stamps = np.array([stamp_ns(item.message.stamp) for item in commands], dtype=np.int64)
    received = np.array([item.log_time_ns for item in commands], dtype=np.int64)
    try:
        state, known = _states(robot, observed, stamps, received)
        action = _rows(commands, "action", robot, np.float64)
        clipped = _rows(commands, "clipped", robot, np.bool_)
    except SpecError as error:
        raise BagError(f"{path} does not fit its RobotSpec: {error.what}", error.remedy) from error
    if not known.any() and not allow_empty:
        raise BagError(
            f"{path} holds no command with an observation ({len(commands)} commands of episode {bag.meta.episode_id}; "
            f"messages of {', '.join(f'{topic}: {len(found)}' for topic, found in observed.items())})",
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
        step=np.array([item.message.step for item in commands], dtype=np.int64)[known],
        state=state[known],
        action=action[known],
        source=np.array([item.message.source for item in commands], dtype=np.uint8)[known],
        mode=np.array([item.message.mode for item in commands], dtype=np.uint8)[known],
        clipped=clipped[known],
        safety_events=tuple(_safety(event, start_ns) for event in events if event.episode_id == bag.meta.episode_id),
        bag=bag,
    )


def _own(commands: Sequence[TopicMessage], episode_id: str) -> list[TopicMessage]:
    """Commands of the episode by stamp, each once."""
    unique: dict[tuple[int, int], TopicMessage] = {}
    for item in commands:
        if item.message.episode_id == episode_id:
            unique.setdefault((stamp_ns(item.message.stamp), item.message.step), item)
    return [unique[key] for key in sorted(unique)]


def _states(
    robot: RobotSpec, observed: dict[str, list[TopicMessage]], stamps: Ints, received: Ints
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """State ``(T, D)`` of each command, and ``(T,)`` whether every entry had been seen by then."""
    state = np.zeros((len(stamps), robot.state_dim))
    known = np.ones(len(stamps), dtype=bool)
    slices = robot.state_slices()
    for entry in robot.observations:
        messages = observed[entry.topic]
        stamped = all(hasattr(item.message, "header") for item in messages)
        times, values = _entry(entry, messages, stamped)
        index = np.searchsorted(times, stamps if stamped else received, side="right") - 1
        known &= index >= 0
        if len(times):
            state[:, slices[entry.name]] = values[np.maximum(index, 0)]
    return state, known


def _entry(entry: ObservationSpec, messages: Sequence[TopicMessage], stamped: bool) -> tuple[Ints, Floats]:
    """Times ``(N,)`` ns, ascending and each once, and values ``(N, size)`` of one observation entry."""
    times = np.array(
        [stamp_ns(item.message.header.stamp) if stamped else item.log_time_ns for item in messages], dtype=np.int64
    )
    times, first = np.unique(times, return_index=True)
    values = np.array([extract(messages[number].message, entry).reshape(-1) for number in first], dtype=np.float64)
    return times, values.reshape(len(times), entry.size)


def _rows(commands: Sequence[TopicMessage], field: str, robot: RobotSpec, dtype: Any) -> npt.NDArray[Any]:
    """A field of all commands as ``(T, A)``."""
    rows = np.zeros((len(commands), robot.action_dim), dtype=dtype)
    for number, item in enumerate(commands):
        row = getattr(item.message, field)
        if len(row) != robot.action_dim:
            raise SpecError(
                f"`{field}` of the command at step {item.message.step} has {len(row)} values",
                f"The robot {robot.id!r} has {robot.action_dim} action dimensions.",
            )
        rows[number] = row
    return rows


def _safety(event: Any, start_ns: int) -> SafetyRecord:
    return SafetyRecord(
        at_s=as_seconds(stamp_ns(event.stamp), start_ns) if start_ns else 0.0,
        check=event.check,
        severity=Severity(event.severity),
        value=event.value,
        limit=event.limit,
        began=event.began,
    )
