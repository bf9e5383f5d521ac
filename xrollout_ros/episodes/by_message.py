"""The streams of an episode from messages decoded one by one: slow, right for any message, clear about bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.fields import extract, stamp_ns
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import ObservationSpec
from xrollout_ros.episodes.bag_reader import Bag, TopicMessage
from xrollout_ros.episodes.streams import COMMAND_TOPIC, SAFETY_TOPIC, Observed, SafetyEvent, Streams


def read(bag: Bag) -> Streams:
    """The streams of a bag.

    Raises:
        SpecError: a message does not fit the RobotSpec.
        BagError: the bag is damaged.
    """
    robot = bag.robot
    commands: list[TopicMessage] = []
    events: list[Any] = []
    found: dict[str, list[TopicMessage]] = {entry.topic: [] for entry in robot.observations}
    for item in bag.messages({COMMAND_TOPIC, SAFETY_TOPIC, *found}):
        if item.topic == COMMAND_TOPIC:
            commands.append(item)
        elif item.topic == SAFETY_TOPIC:
            events.append(item.message)
        else:
            found[item.topic].append(item)
    commands = _own(commands, bag.meta.episode_id)
    return Streams(
        stamp_ns=np.array([stamp_ns(item.message.stamp) for item in commands], dtype=np.int64),
        received_ns=np.array([item.log_time_ns for item in commands], dtype=np.int64),
        step=np.array([item.message.step for item in commands], dtype=np.int64),
        source=np.array([item.message.source for item in commands], dtype=np.uint8),
        mode=np.array([item.message.mode for item in commands], dtype=np.uint8),
        observed={entry.name: _observed(entry, found[entry.topic]) for entry in robot.observations},
        action=_rows(commands, "action", robot, np.float64),
        clipped=_rows(commands, "clipped", robot, np.bool_),
        counts={topic: len(messages) for topic, messages in found.items()},
        events=tuple(_event(event) for event in events if event.episode_id == bag.meta.episode_id),
    )


def _own(commands: Sequence[TopicMessage], episode_id: str) -> list[TopicMessage]:
    """Commands of the episode by stamp, each once."""
    unique: dict[tuple[int, int], TopicMessage] = {}
    for item in commands:
        if item.message.episode_id == episode_id:
            unique.setdefault((stamp_ns(item.message.stamp), item.message.step), item)
    return [unique[key] for key in sorted(unique)]


def _observed(entry: ObservationSpec, messages: Sequence[TopicMessage]) -> Observed:
    stamped = all(hasattr(item.message, "header") for item in messages)
    times = np.array(
        [stamp_ns(item.message.header.stamp) if stamped else item.log_time_ns for item in messages], dtype=np.int64
    )
    times, first = np.unique(times, return_index=True)
    values = np.array([extract(messages[number].message, entry).reshape(-1) for number in first], dtype=np.float64)
    return Observed(stamped, times, values.reshape(len(times), entry.size))


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


def _event(event: Any) -> SafetyEvent:
    return SafetyEvent(stamp_ns(event.stamp), event.check, event.severity, event.value, event.limit, event.began)
