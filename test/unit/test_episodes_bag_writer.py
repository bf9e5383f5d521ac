"""A written bag reads whole with other people's readers, and says what it lost."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from xrollout_ros.core.episode import Outcome, TopicCount
from xrollout_ros.core.errors import BagError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.bag_file import BagFile
from xrollout_ros.episodes.bag_reader import verify
from xrollout_ros.episodes.mcap_file import McapFile

STRING = "std_msgs/msg/String"


def whole_mcap(path: Path) -> list[tuple[str, int, bytes]]:
    """Topic, time and payload in file order, every CRC checked."""
    with path.open("rb") as stream:
        list(StreamReader(stream, validate_crcs=True).records)
        stream.seek(0)
        return [
            (channel.topic, message.log_time, message.data)
            for _, channel, message in make_reader(stream, validate_crcs=True).iter_messages(log_time_order=False)
        ]


def whole_rosbag2(folder: Path) -> list[tuple[str, int, bytes]]:
    with Reader(folder) as reader:
        return [(connection.topic, time, bytes(data)) for connection, time, data in reader.messages()]


def test_bag_reads_whole_with_both_libraries(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta()
    path = tmp_path / "bag"
    sent = []
    with bags.open(path, meta) as writer:
        for number in range(500):
            topic, type_name = (("/a", STRING), ("/b/c", "sensor_msgs/msg/JointState"))[number % 2]
            bags.add(writer, topic, type_name)
            cdr = (
                bags.messages.cdr(STRING, data=str(number))
                if number % 2 == 0
                else bags.messages.cdr(type_name, name=["j"], position=[float(number)])
            )
            assert writer.write(topic, cdr, 10**18 + number * 1000)
            sent.append((topic, 10**18 + number * 1000, cdr))
        summary = writer.close(meta.model_copy(update={"outcome": Outcome.SUCCESS}))
    assert sorted(p.name for p in path.iterdir()) == ["bag_0.mcap", "metadata.yaml"]
    assert whole_mcap(path / "bag_0.mcap") == sent
    assert sorted(whole_rosbag2(path)) == sorted(sent)
    assert (summary.messages, summary.start_ns, summary.end_ns) == (500, 10**18, 10**18 + 499_000)
    assert summary.bytes == sum(len(cdr) for _, _, cdr in sent)
    assert summary.topics == {"/a": TopicCount(received=250), "/b/c": TopicCount(received=250)}
    assert verify(path).messages == 500
    with AnyReader([path]) as reader:
        assert reader.message_count == 500
        assert (reader.start_time, reader.end_time) == (10**18, 10**18 + 499_000 + 1)
        assert {c.topic: (c.msgtype, c.digest, c.msgcount) for c in reader.connections} == {
            "/a": (STRING, bags.messages.store.hash_rihs01(STRING), 250),
            "/b/c": ("sensor_msgs/msg/JointState", bags.messages.store.hash_rihs01("sensor_msgs/msg/JointState"), 250),
        }
        for number, (connection, _, raw) in enumerate(reader.messages()):
            decoded = reader.deserialize(raw, connection.msgtype)
            value = decoded.data if connection.topic == "/a" else decoded.position[0]
            assert float(value) == number


def test_bag_describes_itself(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta(tags=["bootstrap"], parameters={"delay": 2})
    path = tmp_path / "bag"
    with bags.open(path, meta) as writer:
        bags.add(writer, "/a", STRING)
        writer.write("/a", bags.messages.cdr(STRING, data="x"), 1)
        final = meta.model_copy(update={"outcome": Outcome.FAILURE, "topics": {"/a": TopicCount(lost=3)}})
        summary = writer.close(final)
    with (path / "bag_0.mcap").open("rb") as stream:
        reader = make_reader(stream)
        assert reader.get_header().profile == "ros2"
        records = [item for item in reader.iter_metadata() if item.name == rosbag2.EPISODE]
        attachments = {item.name: item for item in reader.iter_attachments()}
        contents = reader.get_summary()
    assert [rosbag2.episode_of(item.metadata, path).outcome.value for item in records] == ["unknown", "failure"]
    assert records[0].metadata["tags"] == '["bootstrap"]'
    assert RobotSpec.model_validate_json(attachments[rosbag2.ROBOT].data) == bags.robot
    assert TaskSpec.model_validate_json(attachments[rosbag2.TASK].data) == bags.task
    assert contents is not None
    (channel,) = contents.channels.values()
    assert channel.message_encoding == "cdr"
    assert channel.metadata["topic_type_hash"] == bags.messages.store.hash_rihs01(STRING)
    assert contents.schemas[channel.schema_id].encoding == "ros2msg"
    assert {chunk.compression for chunk in contents.chunk_indexes} == {"zstd"}
    information = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    listed = information["topics_with_message_count"][0]["topic_metadata"]
    assert listed["offered_qos_profiles"] == yaml.safe_load(channel.metadata["offered_qos_profiles"])
    assert listed["type_description_hash"] == channel.metadata["topic_type_hash"]
    assert rosbag2.episode_of(information["custom_data"], path) == summary.meta
    assert summary.meta.topics == {"/a": TopicCount(received=1, lost=3)}
    assert summary.lost == 3
    assert information["custom_data"]["outcome"] == "failure"


def test_bag_without_messages_is_whole(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta()
    with bags.open(tmp_path / "bag", meta) as writer:
        bags.add(writer, "/never", STRING)
        summary = writer.close(meta)
    assert (summary.messages, summary.start_ns, summary.end_ns) == (0, 0, 0)
    assert verify(tmp_path / "bag").messages == 0
    assert whole_rosbag2(tmp_path / "bag") == []


def test_not_a_number_survives(bags: Any, tmp_path: Path) -> None:
    event = {"at_s": 0.1, "check": "finite", "severity": 3, "value": float("nan"), "limit": float("inf"), "began": True}
    meta = bags.meta(safety_events=[event])
    bags.open(tmp_path / "bag", meta).close(meta)
    read = rosbag2.episode_of(rosbag2.custom_data(rosbag2.read_metadata(tmp_path / "bag")), tmp_path)
    assert read.safety_events[0].value != read.safety_events[0].value
    assert read.safety_events[0].limit == float("inf")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.lists(
        st.tuples(
            st.sampled_from(["/a", "/b", "/c/d"]),
            st.integers(0, 2**63 - 1),
            st.binary(max_size=300),
        ),
        max_size=60,
    )
)
def test_any_sequence_reads_back_identically(
    sent: list[tuple[str, int, bytes]], bags: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "bag"
    meta = bags.meta()
    with bags.open(path, meta) as writer:
        for topic in ("/a", "/b", "/c/d"):
            bags.add(writer, topic, STRING)
        assert all(writer.write(*(topic, data, time)) for topic, time, data in sent)
        summary = writer.close(meta)
    assert whole_mcap(path / "bag_0.mcap") == sent
    assert sorted(whole_rosbag2(path)) == sorted(sent)
    times = [time for _, time, _ in sent]
    assert (summary.start_ns, summary.end_ns) == ((min(times), max(times)) if times else (0, 0))
    check = verify(path)
    assert check.topics == {topic: count.received for topic, count in summary.topics.items() if count.received}


def test_two_bags_at_once_do_not_mix(bags: Any, tmp_path: Path) -> None:
    first, second = bags.meta(), bags.meta()
    with bags.open(tmp_path / "one", first) as one, bags.open(tmp_path / "two", second) as two:
        for writer, text in ((one, "one"), (two, "two")):
            bags.add(writer, "/a", STRING)
            for _ in range(50):
                writer.write("/a", bags.messages.cdr(STRING, data=text), 1)
        one.close(first)
        two.close(second)
    for name in ("one", "two"):
        cdr = bags.messages.cdr(STRING, data=name)
        assert whole_mcap(tmp_path / name / f"{name}_0.mcap") == [("/a", 1, cdr)] * 50


def test_many_threads_may_write(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta()
    with bags.open(tmp_path / "bag", meta) as writer:
        for number in range(4):
            bags.add(writer, f"/t{number}", STRING)

        def work(number: int) -> None:
            for count in range(500):
                writer.write(f"/t{number}", bags.messages.cdr(STRING, data=str(count)), count)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        summary = writer.close(meta)
    assert summary.messages == 2000
    found = whole_mcap(tmp_path / "bag" / "bag_0.mcap")
    for number in range(4):
        assert [time for topic, time, _ in found if topic == f"/t{number}"] == list(range(500))


def test_overwriting_is_refused(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta()
    bags.open(tmp_path / "bag", meta).close(meta)
    before = {path: path.read_bytes() for path in (tmp_path / "bag").iterdir()}
    with pytest.raises(BagError, match="exists already"):
        bags.open(tmp_path / "bag", meta)
    assert {path: path.read_bytes() for path in (tmp_path / "bag").iterdir()} == before


def test_a_place_that_cannot_be_written_is_named(bags: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BagError, match=r"file/bag cannot be written") as caught:
        bags.open(tmp_path / "file" / "bag")
    assert "XROLLOUT_DATA" in caught.value.remedy


def test_topics_that_nobody_could_read_are_refused(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta()
    with bags.open(tmp_path / "bag", meta) as writer:
        with pytest.raises(BagError, match="has no definition of my_msgs/msg/Thing"):
            writer.add_topic("/x", "my_msgs/msg/Thing", " \n", "RIHS01_0", "")
        with pytest.raises(BagError, match="no type hash"):
            writer.add_topic("/x", "my_msgs/msg/Thing", "int8 a", "", "")
        with pytest.raises(BagError, match="are not a list"):
            writer.add_topic("/x", "my_msgs/msg/Thing", "int8 a", "RIHS01_0", "reliable")
        with pytest.raises(BagError, match="whose definition is not in the bag"):
            writer.write("/x", b"", 0)
        bags.add(writer, "/a", STRING)
        bags.add(writer, "/a", STRING)
        with pytest.raises(BagError, match="only one type"):
            bags.add(writer, "/a", "std_msgs/msg/Bool")
        for time in (-1, 2**63):
            with pytest.raises(BagError, match="receive time"):
                writer.write("/a", b"", time)
        writer.close(meta)
    with pytest.raises(BagError, match="is closed"):
        writer.write("/a", b"", 0)


def test_what_finds_no_room_is_dropped_and_counted(bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    write = BagFile.write

    def slow(self: BagFile, *message: Any) -> None:
        assert held.wait(30)
        write(self, *message)

    monkeypatch.setattr(BagFile, "write", slow)
    meta = bags.meta()
    with bags.open(tmp_path / "bag", meta, queue_bytes=1_000_000) as writer:
        bags.add(writer, "/image", STRING)
        bags.add(writer, "/command", STRING)
        image = [writer.write("/image", bytes(100_000), number) for number in range(20)]
        assert image == [True] * 8 + [False] * 12, "an eighth is kept for small messages"
        small = [writer.write("/command", bytes(1000), number) for number in range(300)]
        assert sum(small) == (1_000_000 - 8 * 100_128) // 1128
        assert small == sorted(small, reverse=True)
        counts = writer.counts()
        assert counts["/image"] == TopicCount(received=8, lost=12)
        held.set()
        summary = writer.close(meta)
    assert summary.topics["/image"] == TopicCount(received=8, lost=12)
    assert summary.topics["/command"] == TopicCount(received=sum(small), lost=300 - sum(small))
    assert summary.lost == 12 + 300 - sum(small)
    assert len(whole_mcap(tmp_path / "bag" / "bag_0.mcap")) == 8 + sum(small)


def test_a_failing_disk_is_reported_once_and_nothing_hangs(
    bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BagError] = []
    failed = threading.Event()

    def on_failure(error: BagError) -> None:
        told.append(error)
        failed.set()

    def full(self: McapFile) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(McapFile, "flush", full)
    meta = bags.meta()
    writer = bags.open(tmp_path / "bag", meta, on_failure=on_failure)
    bags.add(writer, "/a", STRING)
    assert writer.failure is None
    assert writer.write("/a", b"1", 1)
    assert failed.wait(10)
    assert writer.failure is told[0]
    assert not writer.write("/a", b"2", 2), "from then on everything is lost, and counted"
    assert writer.counts() == {"/a": TopicCount(received=1, lost=1)}
    for _ in range(2):
        with pytest.raises(BagError, match=r"bag_0.mcap cannot be written: No space left") as caught:
            writer.close(meta)
    assert "Free space" in caught.value.remedy
    assert len(told) == 1
    assert not (tmp_path / "bag" / "metadata.yaml").exists()


def test_a_hanging_disk_ends_the_wait(bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    finish = McapFile.finish

    def hang(self: McapFile) -> None:
        assert go_on.wait(30)
        finish(self)

    monkeypatch.setattr(McapFile, "finish", hang)
    meta = bags.meta()
    writer = bags.open(tmp_path / "bag", meta)
    with pytest.raises(BagError, match=r"not finished within 0\.05 s"):
        writer.close(meta, timeout_s=0.05)
    go_on.set()
    assert writer.close(meta).messages == 0


def test_a_file_that_holds_less_than_was_written_is_no_closed_bag(
    bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xrollout_ros.episodes.mcap_file import McapChannel

    monkeypatch.setattr(McapChannel, "log", lambda self, cdr, log_time_ns: None)
    meta = bags.meta()
    writer = bags.open(tmp_path / "bag", meta)
    bags.add(writer, "/a", STRING)
    writer.write("/a", b"1", 1)
    with pytest.raises(BagError, match="was written"):
        writer.close(meta)
    assert not (tmp_path / "bag" / "metadata.yaml").exists()


def test_an_exception_in_the_block_keeps_what_was_recorded(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta()
    with pytest.raises(ZeroDivisionError), bags.open(tmp_path / "bag", meta) as writer:
        bags.add(writer, "/a", STRING)
        writer.write("/a", b"1", 1)
        writer.update(meta.model_copy(update={"outcome_reason": "midway"}))
        raise ZeroDivisionError
    assert verify(tmp_path / "bag").messages == 1
    assert rosbag2.custom_data(rosbag2.read_metadata(tmp_path / "bag"))["outcome_reason"] == "midway"
