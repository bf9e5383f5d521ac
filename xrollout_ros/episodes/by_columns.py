"""The streams of an episode from columns: what :mod:`xrollout_ros.episodes.by_message` gives, many times faster."""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.sensing import ObservationSpec
from xrollout_ros.episodes.bag_reader import Bag
from xrollout_ros.episodes.columns import BagColumns, Columns, IrregularError, time_fields
from xrollout_ros.episodes.streams import COMMAND_TOPIC, SAFETY_TOPIC, Floats, Ints, Observed, SafetyEvent, Streams

_COMMAND = (*time_fields("stamp"), "episode_id", "step", "source", "mode", "action", "clipped")
_SAFETY = (*time_fields("stamp"), "episode_id", "check", "severity", "value", "limit", "began")
_HEADER = time_fields("header.stamp")


def read(bag: Bag) -> Streams | None:
    """The streams of a bag; None where its messages make no arrays, or do not fit the RobotSpec.

    Raises:
        BagError: the bag is damaged.
    """
    try:
        return _read(bag)
    except (IrregularError, SpecError):
        return None


def _read(bag: Bag) -> Streams | None:
    robot, reader = bag.robot, BagColumns(bag)
    recorded = reader.topics
    wanted: dict[str, dict[str, None]] = {entry.topic: {} for entry in robot.observations}
    if COMMAND_TOPIC not in recorded or not {COMMAND_TOPIC, SAFETY_TOPIC}.isdisjoint(wanted):
        return None
    stamped = {topic: reader.has(topic, "header") for topic in wanted}
    for entry in robot.observations:
        fields = [entry.field, *([_names(entry)] if entry.names else []), *(_HEADER if stamped[entry.topic] else ())]
        wanted[entry.topic].update(dict.fromkeys(fields))
    requests = {COMMAND_TOPIC: _COMMAND, SAFETY_TOPIC: _SAFETY, **{topic: tuple(wanted[topic]) for topic in wanted}}
    tables = reader.read({topic: fields for topic, fields in requests.items() if topic in recorded})
    observed: dict[str, Observed] = {}
    for entry in robot.observations:
        seen = _observed(entry, tables.get(entry.topic), stamped[entry.topic])
        if seen is None:
            return None
        observed[entry.name] = seen
    commands = tables[COMMAND_TOPIC]
    stamps = commands.time_ns("stamp")
    order = _own(commands, stamps, bag.meta.episode_id)
    action, clipped = commands.values["action"], commands.values["clipped"]
    if len(order) and not action.shape[1] == clipped.shape[1] == robot.action_dim:
        return None
    shape = (len(order), robot.action_dim)
    return Streams(
        stamp_ns=stamps[order],
        received_ns=commands.log_time_ns[order],
        step=commands.values["step"][order].astype(np.int64),
        source=commands.values["source"][order],
        mode=commands.values["mode"][order],
        action=action[order].reshape(shape),
        clipped=clipped[order].reshape(shape),
        observed=observed,
        counts={topic: len(tables[topic]) if topic in tables else 0 for topic in wanted},
        events=_events(tables.get(SAFETY_TOPIC), bag.meta.episode_id),
    )


def _names(entry: ObservationSpec) -> str:
    """Path of the joint names that go with the entry's values."""
    return ".".join([*entry.field.split(".")[:-1], "name"])


def _own(commands: Columns, stamps: Ints, episode_id: str) -> Ints:
    """Which commands are the episode's, by stamp, each once: the first received."""
    ids = commands.texts["episode_id"]
    rows = np.flatnonzero(ids.codes == ids.values.index(episode_id)) if episode_id in ids.values else np.empty(0, int)
    step = commands.values["step"]
    rows = rows[np.lexsort((step[rows], stamps[rows]))]
    again = (np.diff(stamps[rows]) == 0) & (np.diff(step[rows].astype(np.int64)) == 0)
    first: Ints = rows[np.concatenate([np.ones(min(1, len(rows)), dtype=bool), ~again])]
    return first


def _observed(entry: ObservationSpec, table: Columns | None, stamped: bool) -> Observed | None:
    if table is None or not len(table):
        return Observed(True, np.empty(0, dtype=np.int64), np.empty((0, entry.size)))
    if entry.field in table.texts:
        return None
    values = table.values[entry.field].reshape(len(table), -1)
    chosen = _chosen(entry, table, values) if entry.names else values.astype(np.float64)
    if chosen is None or chosen.shape[1] != entry.size:
        return None
    times, first = np.unique(table.time_ns("header.stamp") if stamped else table.log_time_ns, return_index=True)
    return Observed(stamped, times, chosen[first])


def _chosen(entry: ObservationSpec, table: Columns, values: Floats) -> Floats | None:
    """The values of the named joints ``(N, size)``; None where a message lacks one."""
    names = table.texts.get(_names(entry))
    if names is None:
        return None
    chosen = np.empty((len(table), entry.size))
    for code, order in enumerate(names.values):
        if not isinstance(order, tuple) or not set(entry.names) <= set(order):
            return None
        index = [order.index(name) for name in entry.names]
        if max(index) >= values.shape[1]:
            return None
        rows = names.codes == code
        chosen[rows] = values[rows][:, index]
    return chosen


def _events(table: Columns | None, episode_id: str) -> tuple[SafetyEvent, ...]:
    if table is None:
        return ()
    stamps, ids = table.time_ns("stamp"), table["episode_id"]
    columns = (stamps, table["check"], *(table.values[name] for name in ("severity", "value", "limit", "began")))
    own = [column[ids == episode_id].tolist() for column in columns]
    return tuple(SafetyEvent(*row) for row in zip(*own, strict=True))
