"""Bags for tests, from messages serialized without ROS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import load_robot, load_task, share_dir
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.bag_file import BagSummary
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.definitions import load_definition
from xrollout_ros.episodes.rosbag2 import Durability, Reliability, qos_yaml

from .dashboards import browser, page, served  # noqa: F401

SEPARATOR = "=" * 80 + "\n"
QOS = qos_yaml(Reliability.RELIABLE, Durability.VOLATILE, 10)
_BASE, _NAME, _ARRAY = 1, 2, 3


def _default(store: Typestore, desc: tuple[Any, Any]) -> Any:
    kind, detail = desc
    if kind == _NAME:
        return _build(store, detail, {})
    if kind == _BASE:
        return {"string": "", "bool": False}.get(detail[0], 0.0 if detail[0].startswith("float") else 0)
    (inner_kind, inner), length = detail
    if inner_kind == _BASE and inner[0] != "string":
        return np.zeros(length if kind == _ARRAY else 0, dtype=inner[0])
    return [_default(store, (inner_kind, inner)) for _ in range(length)] if kind == _ARRAY else []


def _value(store: Typestore, desc: tuple[Any, Any], value: Any) -> Any:
    kind, detail = desc
    if kind == _NAME:
        return _build(store, detail, value) if isinstance(value, dict) else value
    if kind == _BASE:
        return value
    inner_kind, inner = detail[0]
    return np.asarray(value, dtype=inner[0]) if inner_kind == _BASE and inner[0] != "string" else list(value)


def _build(store: Typestore, type_name: str, values: dict[str, Any]) -> Any:
    fields = store.fielddefs[type_name][1]
    unknown = set(values) - {name for name, _ in fields}
    assert not unknown, f"{type_name} has no {unknown}"
    return store.types[type_name](
        **{
            name: _value(store, desc, values[name]) if name in values else _default(store, desc)
            for name, desc in fields
        }
    )


def time_of(stamp_ns: int) -> dict[str, int]:
    return {"sec": stamp_ns // NS, "nanosec": stamp_ns % NS}


class Messages:
    """Every message type of Jazzy and of ours; ``prefix`` looks like an ament prefix with those asked for."""

    def __init__(self, prefix: Path) -> None:
        self.store = get_typestore(Stores.ROS2_JAZZY)
        self.prefix = prefix
        self._installed: set[str] = set()
        self._own = {path.stem: path for path in sorted((share_dir() / "msg").glob("*.msg"))}
        types: dict[str, Any] = {}
        for name, path in self._own.items():
            types.update(get_types_from_msg(path.read_text(), f"xrollout/msg/{name}"))
        self.store.register(types)

    def cdr(self, type_name: str, **values: Any) -> bytes:
        return bytes(self.store.serialize_cdr(_build(self.store, type_name, values), type_name))

    def install(self, type_name: str) -> None:
        """Put the type and all that it is made of into the prefix, as rosidl does."""
        if type_name in self._installed:
            return
        self._installed.add(type_name)
        text, _ = self.store.generate_msgdef(type_name, ros_version=2)
        own, *nested = text.split(SEPARATOR)
        parts = {type_name: own}
        for part in nested:
            head, _, body = part.partition("\n")
            package, name = head.removeprefix("MSG: ").split("/")
            parts[f"{package}/msg/{name}"] = body
        hashes = [{"type_name": name, "hash_string": self.store.hash_rihs01(name)} for name in parts]
        for name, body in parts.items():
            package, _, short = name.split("/")
            folder = self.prefix / "share" / package / "msg"
            folder.mkdir(parents=True, exist_ok=True)
            source = self._own[short].read_text() if package == "xrollout" else body
            (folder / f"{short}.msg").write_text(source)
        package, _, short = type_name.split("/")
        (self.prefix / "share" / package / "msg" / f"{short}.json").write_text(json.dumps({"type_hashes": hashes}))


class Bags:
    """Writes bags under a folder."""

    def __init__(self, data: Path, messages: Messages) -> None:
        self.data = data
        self.messages = messages
        self.robot = load_robot("metaworld_sawyer")
        self.task = load_task("pick_and_place")

    def meta(self, **values: Any) -> EpisodeMeta:
        known: dict[str, Any] = {
            "episode_id": new_id(),
            "kind": "attempt",
            "task": "pick_and_place",
            "robot": "metaworld_sawyer",
            "start": "nominal",
            "seed": 7,
            "strategy": "sentry",
            "software_version": "0.1.0",
            "started_at": "2026-01-31T12:00:00+00:00",
        }
        return EpisodeMeta.model_validate({**known, **values})

    def open(self, path: Path | None = None, meta: EpisodeMeta | None = None, **options: Any) -> BagWriter:
        meta = meta or self.meta()
        path = path or self.data / f"bag_{meta.episode_id}"
        return BagWriter.open(path, path.name, meta, SystemClock(), self.robot, self.task, **options)

    def add(self, writer: BagWriter, topic: str, type_name: str) -> None:
        self.messages.install(type_name)
        definition = load_definition(type_name, [self.messages.prefix])
        writer.add_topic(topic, type_name, definition.text, definition.type_hash, QOS)

    def observe(
        self, writer: BagWriter, state: Any, stamp_ns: int, log_ns: int, robot: RobotSpec | None = None
    ) -> None:
        """One complete observation, as the driver publishes it."""
        robot = robot or self.robot
        slices = robot.state_slices()
        published: dict[str, tuple[str, dict[str, Any]]] = {}
        for entry in robot.observations:
            values = [float(value) for value in state[slices[entry.name]]]
            leaf: Any = values
            if entry.type != "sensor_msgs/msg/JointState":
                leaf = dict(zip("xyzw", values, strict=False))
            message = published.setdefault(entry.topic, (entry.type, {}))[1]
            *parents, last = entry.field.split(".")
            for part in parents:
                message = message.setdefault(part, {})
            message[last] = leaf
            if entry.names:
                message["name"] = list(entry.names)
        for topic, (type_name, values_of) in published.items():
            values_of["header"] = {"stamp": time_of(stamp_ns)}
            self.add(writer, topic, type_name)
            writer.write(topic, self.messages.cdr(type_name, **values_of), log_ns)

    def command(
        self, writer: BagWriter, meta: EpisodeMeta, action: Any, stamp_ns: int, log_ns: int, **values: Any
    ) -> None:
        self.add(writer, "/xrollout/command", "xrollout/msg/Command")
        known: dict[str, Any] = {
            "stamp": time_of(stamp_ns),
            "episode_id": meta.episode_id,
            "mode": 1,
            "action": action,
            "clipped": [False] * len(action),
        }
        writer.write("/xrollout/command", self.messages.cdr("xrollout/msg/Command", **{**known, **values}), log_ns)

    def safety(self, writer: BagWriter, meta: EpisodeMeta, stamp_ns: int, **values: Any) -> None:
        self.add(writer, "/xrollout/supervisor/event", "xrollout/msg/SafetyEvent")
        known = {"stamp": time_of(stamp_ns), "episode_id": meta.episode_id}
        writer.write(
            "/xrollout/supervisor/event", self.messages.cdr("xrollout/msg/SafetyEvent", **known, **values), stamp_ns
        )

    def episode(self, state: Any, action: Any, path: Path | None = None, **meta: Any) -> BagSummary:
        """A stepped attempt: command t answers observation t, 12.5 ms apart, from simulated second 5."""
        known = self.meta(**meta)
        with self.open(path, known) as writer:
            for step, (seen, sent) in enumerate(zip(state, action, strict=True)):
                stamp_ns = 5 * NS + step * self.robot.control_period_ns
                self.observe(writer, seen, stamp_ns, stamp_ns)
                self.command(writer, known, sent, stamp_ns, stamp_ns, step=step)
            return writer.close(known)


@pytest.fixture(scope="session")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Messages:
    return Messages(tmp_path_factory.mktemp("prefix"))


@pytest.fixture
def bags(tmp_path: Path, messages: Messages) -> Iterator[Bags]:
    yield Bags(tmp_path / "data", messages)
