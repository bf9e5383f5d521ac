"""Offsets of a layout against the decoder of single messages, for every type there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.errors import SpecError
from xrollout_ros.episodes.bag_reader import message_decoder
from xrollout_ros.episodes.layout import Definition, LayoutError, Numbers, Texts

_BASE, _NAME, _ARRAY = 1, 2, 3


def random_value(store: Any, desc: Any, rng: np.random.Generator, depth: int = 0) -> Any:
    kind, detail = desc
    if kind == _NAME:
        fields = store.fielddefs[detail][1]
        return store.types[detail](**{name: random_value(store, inner, rng, depth) for name, inner in fields})
    if kind == _BASE:
        if detail[0] == "string":
            return "".join(rng.choice(list("aβ\N{SNOWMAN} z"), size=rng.integers(0, 6)))
        if detail[0] == "bool":
            return bool(rng.integers(2))
        return random_numbers(detail[0], 1, rng)[0].item()
    inner, length = detail
    count = length if kind == _ARRAY else int(rng.integers(0, min(length or 4, 4) if depth < 3 else 1))
    if inner[0] == _BASE and inner[1][0] != "string":
        return random_numbers(inner[1][0], count, rng)
    return [random_value(store, inner, rng, depth + 1) for _ in range(count)]


def random_numbers(name: str, count: int, rng: np.random.Generator) -> Any:
    if name == "bool":
        return rng.integers(0, 2, count).astype(bool)
    if name in ("byte", "octet"):  # rosbags writes them signed
        return rng.integers(0, 128, count, dtype=np.uint8)
    dtype = np.dtype({"char": "u1"}.get(name, name))
    if dtype.kind == "f":
        return rng.normal(size=count).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)


def compare(node: Any, said: Any, cdr: bytes) -> int:
    """Values compared, arrays of messages left out."""
    if isinstance(node, dict):
        return sum(compare(part, getattr(said, name), cdr) for name, part in node.items())
    if isinstance(node, Texts):
        assert node.value == (tuple(said) if isinstance(said, list) else said)
        return 1
    if isinstance(node, Numbers):
        count = node.shape[0] if node.shape else 1
        values = np.frombuffer(cdr, node.dtype, count, node.offset) if node.nbytes else np.empty(0)
        np.testing.assert_array_equal(values, np.atleast_1d(np.array(list(said) if isinstance(said, bytes) else said)))
        return count
    assert node is None
    return 0


@pytest.mark.parametrize("little_endian", [True, False])
def test_every_type_of_ros_lies_where_the_decoder_finds_it(messages: Any, little_endian: bool) -> None:
    store = messages.store
    rng = np.random.default_rng(5)
    types = compared = 0
    for type_name in sorted(store.fielddefs):
        if "/msg/" not in type_name:
            continue
        text, _ = store.generate_msgdef(type_name, ros_version=2)
        if "wstring" in text:
            continue
        definition = Definition(type_name, text)
        decode = message_decoder("cdr", type_name, "ros2msg", text.encode())
        assert decode is not None
        types += 1
        for _ in range(8):
            message = random_value(store, (_NAME, type_name), rng)
            cdr = bytes(store.serialize_cdr(message, type_name, little_endian=little_endian))
            compared += compare(definition.trace(cdr).root, decode(cdr), cdr)
    assert types > 150
    assert compared > 50 * types


def test_what_has_no_layout_is_refused(messages: Any) -> None:
    cdr = messages.cdr("sensor_msgs/msg/JointState", name=["a", "b"], position=[1.0, 2.0])
    text, _ = messages.store.generate_msgdef("sensor_msgs/msg/JointState", ros_version=2)
    definition = Definition("sensor_msgs/msg/JointState", text)
    assert definition.trace(cdr).find(["position"]).shape == (2,)
    for size in range(len(cdr)):
        with pytest.raises(LayoutError):
            definition.trace(cdr[:size])
    with pytest.raises(LayoutError, match="not UTF-8"):
        definition.trace(cdr.replace(b"a\0", b"\xff\0"))
    with pytest.raises(LayoutError, match="cannot be parsed"):
        Definition("a_msgs/msg/A", "this is no definition")
    with pytest.raises(LayoutError, match="missing"):
        Definition("a_msgs/msg/A", "b_msgs/B inner").field("inner.x")
    with pytest.raises(LayoutError, match="wstring"):
        Definition("a_msgs/msg/A", "wstring text").trace(bytes(16))


def test_fields_are_named_or_refused_with_what_there_is(messages: Any) -> None:
    text, _ = messages.store.generate_msgdef("nav_msgs/msg/Odometry", ros_version=2)
    definition = Definition("nav_msgs/msg/Odometry", text)
    position = definition.field("pose.pose.position")
    assert [path[-1] for path in position.paths] == ["x", "y", "z"]
    assert position.array
    assert len(definition.field("pose.pose.orientation").paths) == 4
    assert definition.field("pose.covariance").dtype == np.float64
    assert definition.field("child_frame_id").dtype is None
    assert definition.has("header")
    assert not definition.has("position")
    for path, said in (
        ("velocity", "stopped at 'velocity'"),
        ("pose.pose.colour", "stopped at 'colour'"),
        ("child_frame_id.x", "'child_frame_id' is a string"),
        ("pose", "is a geometry_msgs/PoseWithCovariance"),
    ):
        with pytest.raises(SpecError, match=said):
            definition.field(path)
    text, _ = messages.store.generate_msgdef("trajectory_msgs/msg/JointTrajectory", ros_version=2)
    with pytest.raises(SpecError, match="lies in an array"):
        Definition("trajectory_msgs/msg/JointTrajectory", text).field("points.positions")
