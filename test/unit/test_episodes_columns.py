"""Columns against messages decoded one by one, whatever the messages are like."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType, Writer

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import BagError, SpecError
from xrollout_ros.core.safety import SafetyLimits
from xrollout_ros.episodes import by_columns, by_message, chunks, rosbag2, rows
from xrollout_ros.episodes.bag_reader import Bag, open_bag
from xrollout_ros.episodes.columns import Columns, IrregularError, iter_columns, read_columns
from xrollout_ros.episodes.reader import COMMAND_TOPIC, read_episode

JOINTS = "/joints"
JOINT_STATE = "sensor_msgs/msg/JointState"
FIELDS = ("header.stamp.sec", "header.frame_id", "name", "position", "velocity", "effort")
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.sampled_from(["", "base", "baße", "tool", "a", "\N{SNOWMAN}"])
names = st.sampled_from([("a", "b"), ("b", "a"), ("a", "c"), ("a",), (), ("a", "b", "ccc")])
floats = st.floats(width=64)


@st.composite
def joint_states(draw: st.DrawFn, uniform: bool = False) -> list[dict[str, Any]]:
    """Messages, most of them alike, with a few strangers."""
    usual = (draw(texts), draw(names), draw(st.integers(0, 3)))
    messages = []
    for _ in range(draw(st.integers(1, 40))):
        frame, joints, effort = usual if uniform or draw(st.integers(0, 5)) else (draw(texts), draw(names), 1)
        values = [draw(floats) for _ in range(2 * len(joints) + effort)]
        messages.append(
            {
                "header": {"stamp": {"sec": draw(st.integers(-(2**31), 2**31 - 1)), "nanosec": 5}, "frame_id": frame},
                "name": list(joints),
                "position": values[: len(joints)],
                "velocity": values[len(joints) : 2 * len(joints)],
                "effort": values[2 * len(joints) :],
            }
        )
    return messages


def record(bags: Any, path: Path, messages: list[dict[str, Any]], times: list[int]) -> Bag:
    meta = bags.meta()
    with bags.open(path, meta) as writer:
        bags.add(writer, JOINTS, JOINT_STATE)
        for values, time_ns in zip(messages, times, strict=True):
            writer.write(JOINTS, bags.messages.cdr(JOINT_STATE, **values), time_ns)
        writer.close(meta)
    return open_bag(path)


def one_by_one(bag: Bag, topic: str, fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """What the decoder of single messages says, comparable bit for bit."""
    found = []
    for item in bag.messages([topic]):
        values = []
        for field in fields:
            value = item.message
            for part in field.split("."):
                value = getattr(value, part)
            values.append(comparable(value))
        found.append((item.log_time_ns, *values))
    return found


def comparable(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | np.ndarray) and len(value) and isinstance(value[0], str):
        return tuple(value)
    flat = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return flat.tobytes() if flat.size else b""


def in_columns(table: Columns, fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return [*zip(table.log_time_ns.tolist(), *(map(comparable, table[field]) for field in fields), strict=True)]


@SLOW
@given(messages=joint_states(), data=st.data(), worth=st.sampled_from([1, 16]), most=st.sampled_from([0, 1, 3, 16]))
def test_blocks_hold_what_the_decoder_says(
    messages: list[dict[str, Any]],
    data: st.DataObject,
    worth: int,
    most: int,
    bags: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """However many layouts may be learned, and whatever the order of receive times."""
    times = data.draw(st.lists(st.integers(0, 50), min_size=len(messages), max_size=len(messages)))
    bag = record(bags, tmp_path_factory.mktemp("columns") / "bag", messages, times)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_WORTH", worth)
        patch.setattr(rows, "_LAYOUTS", most)
        blocks = list(iter_columns(bag, JOINTS, FIELDS))
        found = [row for block in blocks for row in in_columns(block, FIELDS)]
        assert sorted(found, key=repr) == sorted(one_by_one(bag, JOINTS, FIELDS), key=repr)
        shapes = {tuple(len(message[field]) for field in ("position", "velocity", "effort")) for message in messages}
        if len(shapes) == 1:
            assert in_columns(read_columns(bag, JOINTS, FIELDS), FIELDS) == one_by_one(bag, JOINTS, FIELDS)
        else:
            with pytest.raises(IrregularError, match="in turn"):
                read_columns(bag, JOINTS, FIELDS)
        only = ("header.frame_id", "header.stamp.sec")
        assert in_columns(read_columns(bag, JOINTS, only), only) == one_by_one(bag, JOINTS, only)


command_times = st.integers(0, 12)


@SLOW
@given(data=st.data())
def test_an_episode_is_the_same_by_columns_and_by_message(
    data: st.DataObject, bags: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Resends, other episodes, actions of other sizes, foreign layouts: the same arrays, or columns give up."""
    path = tmp_path_factory.mktemp("episode") / "bag"
    meta = bags.meta()
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    regular = data.draw(st.booleans())
    with bags.open(path, meta) as writer:
        for number in range(data.draw(st.integers(0, 40))):
            stamp_ns, log_ns = NS + data.draw(command_times), 2 * NS + data.draw(command_times)
            kind = data.draw(st.sampled_from(["observe", "command", "command", "safety"]))
            if kind == "observe":
                bags.observe(writer, rng.normal(size=bags.robot.state_dim), stamp_ns, log_ns)
            elif kind == "command":
                other = data.draw(st.integers(0, 9))
                bags.command(
                    writer,
                    meta,
                    rng.normal(size=3 if other == 0 and not regular else 4),
                    stamp_ns,
                    log_ns,
                    step=data.draw(st.integers(0, 3)),
                    source=number % 4,
                    clipped=[bool(number % 2)] * 4,
                    episode_id=meta.episode_id if other > 2 else data.draw(st.sampled_from(["", "x" * 26])),
                )
            else:
                check = data.draw(st.sampled_from(["limit", "rate", "stale"]))
                bags.safety(writer, meta, log_ns, check=check, severity=number % 5, value=float(number), began=True)
        writer.close(meta)
    bag = open_bag(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_WORTH", data.draw(st.sampled_from([1, 16])))
        fast = by_columns.read(bag)
    try:
        slow = by_message.read(bag)
    except SpecError:
        assert fast is None
        return
    if fast is None:
        assert not regular or not slow.stamp_ns.size
        return
    for name in ("stamp_ns", "received_ns", "step", "source", "mode", "action", "clipped"):
        one, other_one = getattr(fast, name), getattr(slow, name)
        assert (one.dtype, one.shape, one.tobytes()) == (other_one.dtype, other_one.shape, other_one.tobytes()), name
    assert fast.observed.keys() == slow.observed.keys()
    for name, seen in fast.observed.items():
        assert seen.stamped == slow.observed[name].stamped
        np.testing.assert_array_equal(seen.times_ns, slow.observed[name].times_ns)
        assert seen.values.tobytes() == slow.observed[name].values.tobytes()
    assert (fast.counts, fast.events) == (slow.counts, slow.events)


def test_an_ordinary_episode_is_read_by_columns(bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or all of this would be slow, and nobody would notice."""
    rng = np.random.default_rng(0)
    state, action = rng.normal(size=(300, bags.robot.state_dim)), rng.normal(size=(300, 4))
    summary = bags.episode(state, action)
    decoded = []
    original = rows.ChannelRows._one_by_one

    def count(self: Any, messages: Any, chosen: Any, first: int) -> Any:
        decoded.append(len(chosen))
        return original(self, messages, chosen, first)

    monkeypatch.setattr(rows.ChannelRows, "_one_by_one", count)
    monkeypatch.setattr(by_message, "read", None)
    np.testing.assert_array_equal(read_episode(summary.path).state, state)
    assert sum(decoded) == 0


@SLOW
@given(order=st.permutations(["a", "b", "c"]), count=st.integers(1, 30), data=st.data())
def test_joints_are_taken_by_name_in_whatever_order_they_come(
    order: list[str], count: int, data: st.DataObject, bags: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = bags.robot.observations[0].model_copy(
        update={
            "type": JOINT_STATE,
            "field": "position",
            "names": ("c", "a"),
            "shape": (2,),
            "topic": JOINTS,
            "name": "joints",
        }
    )
    bags.robot = bags.robot.model_copy(update={"observations": (spec,), "sim": None, "safety": SafetyLimits()})
    meta = bags.meta()
    path = tmp_path_factory.mktemp("joints") / "bag"
    with bags.open(path, meta) as writer:
        bags.add(writer, JOINTS, JOINT_STATE)
        for number in range(count):
            shuffled = order if data.draw(st.booleans()) else sorted(order)
            values = {"a": number + 0.25, "b": number + 0.5, "c": number + 0.75}
            stamp = {"sec": 1, "nanosec": number}
            cdr = bags.messages.cdr(
                JOINT_STATE, header={"stamp": stamp}, name=shuffled, position=[values[name] for name in shuffled]
            )
            writer.write(JOINTS, cdr, number)
            bags.command(writer, meta, [0.0] * 4, NS + number, number, step=number)
        writer.close(meta)
    streams = by_columns.read(open_bag(path))
    assert streams is not None
    expected = np.arange(count)[:, None] + [0.75, 0.25]
    np.testing.assert_array_equal(streams.observed["joints"].values, expected)


def write_mcap(bags: Any, file: Path, messages: list[tuple[int, bytes]], **options: Any) -> Bag:
    """A bag as another writer would make it."""
    bags.messages.install(JOINT_STATE)
    text, _ = bags.messages.store.generate_msgdef(JOINT_STATE, ros_version=2)
    with file.open("wb") as stream:
        writer = Writer(stream, **options)
        writer.start(profile="ros2")
        writer.add_metadata(rosbag2.EPISODE, rosbag2.describe(bags.meta()))
        schema = writer.register_schema(JOINT_STATE, "ros2msg", text.encode())
        channels = [writer.register_channel(topic, "cdr", schema) for topic in (JOINTS, "/others")]
        for number, (time_ns, cdr) in enumerate(messages):
            for channel in channels[: 1 + number % 2]:
                writer.add_message(channel, time_ns, cdr, time_ns)
        writer.finish()
    return open_bag(file)


def some_messages(bags: Any, count: int = 100, little_endian: bool = True) -> list[tuple[int, bytes]]:
    store, rng = bags.messages.store, np.random.default_rng(1)
    header = store.types["std_msgs/msg/Header"](store.types["builtin_interfaces/msg/Time"](1, 2), "base")
    make = store.types[JOINT_STATE]
    times = rng.integers(0, 1000, count).tolist()
    return [
        (
            time_ns,
            bytes(
                store.serialize_cdr(
                    make(header, ["a", "bb"], rng.normal(size=2), rng.normal(size=2), np.empty(0)),
                    JOINT_STATE,
                    little_endian=little_endian,
                )
            ),
        )
        for time_ns in times
    ]


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("index_types", [IndexType.ALL, IndexType.ALL & ~IndexType.MESSAGE])
def test_other_writers_bags(
    bags: Any, tmp_path: Path, compression: CompressionType, little_endian: bool, index_types: IndexType
) -> None:
    """Every compression and byte order; chunks that overlap in time; no message indexes."""
    bag = write_mcap(
        bags,
        tmp_path / "other.mcap",
        some_messages(bags, little_endian=little_endian),
        compression=compression,
        index_types=index_types,
        chunk_size=2048,
    )
    assert bag.summary is not None
    assert len(bag.summary.chunk_indexes) > 5
    table = read_columns(bag, JOINTS, FIELDS)
    assert in_columns(table, FIELDS) == one_by_one(bag, JOINTS, FIELDS)
    assert table.values["position"].dtype.isnative
    assert len(table) == 100


@pytest.mark.parametrize(
    "options", [{"use_chunking": False}, {"index_types": IndexType.ALL & ~IndexType.CHUNK & ~IndexType.MESSAGE}]
)
def test_a_bag_without_an_index_says_so(bags: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    bag = write_mcap(bags, tmp_path / "other.mcap", some_messages(bags), **options)
    assert len(one_by_one(bag, JOINTS, FIELDS)) == 100
    with pytest.raises(BagError, match=r"no messages on /joints|no index"):
        read_columns(bag, JOINTS, FIELDS)
    assert by_columns.read(bag) is None


def test_wrong_questions_are_answered_with_what_there_is(bags: Any, tmp_path: Path) -> None:
    bag = write_mcap(bags, tmp_path / "other.mcap", some_messages(bags))
    with pytest.raises(BagError, match=r"no messages on /joint. Its topics are: /joints, /others"):
        read_columns(bag, "/joint", FIELDS)
    with pytest.raises(SpecError, match="JointState has no field 'positions'"):
        read_columns(bag, JOINTS, ["positions"])


def test_invalid_text_is_left_to_the_decoder(bags: Any, tmp_path: Path) -> None:
    """A string that is no UTF-8 makes the message one that cannot be decoded, also where nobody asked for it."""
    messages = some_messages(bags, 50)
    messages[30] = (messages[30][0], messages[30][1].replace(b"base", b"b\xffse"))
    bag = write_mcap(bags, tmp_path / "other.mcap", messages)
    with pytest.raises(BagError, match="damaged: UnicodeDecodeError"):
        read_columns(bag, JOINTS, ["position"])


@pytest.fixture
def flip(bags: Any, tmp_path: Path) -> tuple[Bag, Callable[[int], None]]:
    bag = write_mcap(bags, tmp_path / "other.mcap", some_messages(bags, 40), chunk_size=1 << 20)
    whole = bag.file.read_bytes()

    def apply(place: int) -> None:
        bag.file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x51]) + whole[place + 1 :])

    return bag, apply


def test_message_indexes_are_never_believed(flip: tuple[Bag, Callable[[int], None]]) -> None:
    """No CRC covers them: whatever byte of theirs is wrong, the columns are right."""
    bag, apply = flip
    assert bag.summary is not None
    (index,) = bag.summary.chunk_indexes
    expected = one_by_one(bag, JOINTS, FIELDS)
    begin = index.chunk_start_offset + index.chunk_length
    for place in range(begin, begin + index.message_index_length):
        apply(place)
        assert in_columns(read_columns(bag, JOINTS, FIELDS), FIELDS) == expected, place - begin


def test_a_flipped_byte_of_a_chunk_never_gives_other_values(flip: tuple[Bag, Callable[[int], None]]) -> None:
    """Some bytes of its head say twice what is said elsewhere; without them all is still there."""
    bag, apply = flip
    assert bag.summary is not None
    (index,) = bag.summary.chunk_indexes
    expected = one_by_one(bag, JOINTS, FIELDS)
    refused = 0
    for place in range(index.chunk_length):
        apply(index.chunk_start_offset + place)
        try:
            assert in_columns(read_columns(bag, JOINTS, FIELDS), FIELDS) == expected, place
        except BagError as error:
            assert "is damaged" in error.what
            refused += 1
    assert refused >= index.compressed_size


def test_a_file_cut_short_while_it_is_read_is_an_error(bags: Any, tmp_path: Path) -> None:
    bag = write_mcap(bags, tmp_path / "other.mcap", some_messages(bags), chunk_size=2048)
    assert bag.summary is not None
    blocks = iter_columns(bag, JOINTS, FIELDS)
    assert len(next(blocks))
    os.truncate(bag.file, bag.summary.chunk_indexes[-3].chunk_start_offset + 40)
    with pytest.raises(BagError, match="is damaged"):
        list(blocks)


def test_records_that_do_not_fill_a_chunk_are_scanned_or_refused() -> None:
    def message(channel: int, payload: bytes) -> bytes:
        body = struct.pack("<HIQQ", channel, 0, 7, 7) + payload
        return struct.pack("<BQ", 5, len(body)) + body

    data = message(1, b"abc") + struct.pack("<BQ", 4, 2) + b"??" + message(2, b"d")
    second = len(data) - len(message(2, b"d"))
    assert chunks._scanned(data, 0, len(data)).tolist() == [0, second]

    def index(*places: int) -> bytes:
        entries = b"".join(struct.pack("<QQ", 7, place) for place in places)
        return struct.pack("<BQHI", 7, 6 + len(entries), 1, len(entries)) + entries

    said = chunks._indexed(data, index(0) + index(second))
    assert said is not None
    assert said.tolist() == [0, second]
    for false in (b"", index(0), index(0, 0, second), index(1, second), index(0, 2**63), index(0, len(data)), b"\7"):
        assert chunks._indexed(data, false) is None
    for cut in range(1, len(data)):
        if cut not in (second, len(message(1, b"abc"))):
            with pytest.raises(chunks.EndOfFile):
                chunks._scanned(data[:cut], 0, cut)


def test_chunks_are_read_as_they_are_needed(bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = write_mcap(bags, tmp_path / "other.mcap", some_messages(bags, 300), chunk_size=2048)
    loaded, taken = [], []
    original = chunks._load

    def load(handle: int, index: Any) -> Any:
        loaded.append(index)
        return original(handle, index)

    monkeypatch.setattr(chunks, "_load", load)
    for block in iter_columns(bag, JOINTS, FIELDS):
        taken.append(len(block))
        assert len(loaded) <= len(taken) + 1  # a last one holds the other topic alone
    assert len(loaded) > 20
    assert sum(taken) == 300


def test_topics_are_read_in_one_pass(bags: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    summary = bags.episode(rng.normal(size=(5, bags.robot.state_dim)), rng.normal(size=(5, 4)), tmp_path / "bag")
    bag = open_bag(summary.path)
    with bag.file.open("rb") as stream:
        counted = make_reader(stream).get_summary()
    assert counted is not None
    table = read_columns(bag, COMMAND_TOPIC, ["step", "clipped", "episode_id"])
    assert table["step"].tolist() == list(range(5))
    assert table["clipped"].dtype == np.bool_
    assert set(table["episode_id"]) == {bag.meta.episode_id}
    assert len(table.texts["episode_id"].values) == 1
