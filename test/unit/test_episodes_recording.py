"""The recorder's logic: topics, clocks, losses, ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes import sinks
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.definitions import MessageDefinition, load_definition, stamp_offset
from xrollout_ros.episodes.losses import LossCounter
from xrollout_ros.episodes.recorded_topic import RecordedTopic
from xrollout_ros.episodes.recording import Recording

STRING = MessageDefinition("std_msgs/msg/String", "string data\n", "RIHS01_" + "0" * 64)
START_NS = 1_000 * NS
PERIOD_NS = NS // 100


class Recorder:
    """A Recording with topics /a (plain), /latched, /stamped (100 Hz by its spec, several writers)."""

    def __init__(self, bags: Any, *, stepped: bool = False, **options: Any) -> None:
        self.bags = bags
        bags.messages.install("sensor_msgs/msg/JointState")
        self.stamped_type = load_definition("sensor_msgs/msg/JointState", [bags.messages.prefix])
        topics = [
            RecordedTopic("/a", STRING, True, False, 10, one_writer=True),
            RecordedTopic("/latched", STRING, True, True, 1, one_writer=True),
            RecordedTopic(
                "/stamped",
                self.stamped_type,
                False,
                False,
                10,
                one_writer=False,
                stamp_offset=stamp_offset(self.stamped_type),
                period_ns=None if stepped else PERIOD_NS,
            ),
        ]
        self.recording = Recording(
            bags.data, bags.robot, bags.task, SystemClock(), stepped=stepped, topics=topics, **options
        )
        self.meta = bags.meta()

    def stamped(self, stamp_ns: int) -> bytes:
        stamp = {"sec": stamp_ns // NS, "nanosec": stamp_ns % NS}
        return bytes(self.bags.messages.cdr("sensor_msgs/msg/JointState", header={"stamp": stamp}))

    def times(self, path: Path) -> list[tuple[str, int]]:
        bag = open_bag(path)
        with bag.file.open("rb") as stream:
            from mcap.reader import make_reader

            return [(channel.topic, message.log_time) for _, channel, message in make_reader(stream).iter_messages()]


@pytest.fixture
def recorder(bags: Any) -> Recorder:
    return Recorder(bags)


def text(word: str) -> bytes:
    data = word.encode() + b"\0"
    return b"\0\1\0\0" + len(data).to_bytes(4, "little") + data


def test_gaps_of_one_writers_numbers_are_losses(recorder: Recorder) -> None:
    recording = recorder.recording
    recording.receive("/a", text("before"), 5, 1)  # no attempt: not recorded, but its number counts
    recording.open(recorder.meta, START_NS)
    for number, sequence in enumerate((6, 7, 10, 11)):
        recording.receive("/a", text("x"), sequence, START_NS + number)
    assert (recording.counts()["/a"].received, recording.counts()["/a"].lost) == (4, 2)
    recording.receive("/a", text("x"), 1, START_NS + 9)  # the writer was started again
    recording.receive("/a", text("x"), 2, START_NS + 10)
    recording.receive("/a", text("x"), 5, START_NS + 11)
    summary = recording.close(recorder.meta)
    assert (summary.topics["/a"].received, summary.topics["/a"].lost) == (7, 4)
    assert open_bag(summary.path).meta.topics["/a"].lost == 4
    second = recorder.bags.meta()
    recording.open(second, START_NS)
    recording.receive("/a", text("x"), 6, START_NS)
    assert recording.close(second).lost == 0


def test_with_a_second_writer_numbers_tell_nothing(recorder: Recorder) -> None:
    recording = recorder.recording
    recording.open(recorder.meta, START_NS)
    recording.receive("/a", text("x"), 1, START_NS)
    recording.several_writers("/a")
    for sequence in (500, 2, 501, 3):
        recording.receive("/a", text("x"), sequence, START_NS)
    assert recording.close(recorder.meta).lost == 0
    again = recorder.bags.meta()
    recording.open(again, START_NS)
    for sequence in (4, 7):
        recording.receive("/a", text("x"), sequence, START_NS)
    assert recording.close(again).lost == 4  # 2, 3, 5 and 6: it is one writer again


def test_gaps_of_stamps_are_losses_where_the_spec_names_a_rate(recorder: Recorder) -> None:
    recording = recorder.recording
    recording.receive("/stamped", recorder.stamped(START_NS), None, 1)
    recording.open(recorder.meta, START_NS)
    # The gap before the bag's first is not its loss; 1.4 periods are jitter; 3 periods are 2 messages; 1.6 one.
    for periods in (50, 51, 52.4, 53.4, 56.4, 58.0, 57.0, 59.0):
        recording.receive("/stamped", recorder.stamped(START_NS + round(periods * PERIOD_NS)), 9, START_NS)
    assert recording.close(recorder.meta).topics["/stamped"].lost == 3


@given(
    kept=st.sets(st.integers(0, 200), min_size=2),
    jitter=st.integers(-PERIOD_NS // 5, PERIOD_NS // 5),
)
def test_stamps_and_numbers_agree(kept: set[int], jitter: int) -> None:
    by_number, by_stamp = LossCounter(True, PERIOD_NS), LossCounter(False, PERIOD_NS)
    by_number.begin()
    by_stamp.begin()
    lost = [0, 0]
    for number in sorted(kept):
        stamp_ns = START_NS + number * PERIOD_NS + (jitter if number % 2 else 0)
        lost[0] += by_number.missing(number + 1, stamp_ns)
        lost[1] += by_stamp.missing(number + 1, stamp_ns)
    expected = max(kept) - min(kept) + 1 - len(kept)
    assert lost == [expected, expected]


def test_without_stamps_or_rate_nothing_is_known() -> None:
    assert LossCounter(False).missing(9, START_NS) == 0
    counter = LossCounter(False, PERIOD_NS)
    assert [counter.missing(None, stamp) for stamp in (None, 0, START_NS, 0, START_NS + PERIOD_NS)] == [0] * 5


def test_the_stamp_is_found_in_the_definition(bags: Any) -> None:
    def offset(type_name: str) -> int | None:
        bags.messages.install(type_name)
        return stamp_offset(load_definition(type_name, [bags.messages.prefix]))

    assert offset("sensor_msgs/msg/JointState") == 4
    assert offset("sensor_msgs/msg/Image") == 4
    assert offset("xrollout/msg/Command") == 4
    assert offset("visualization_msgs/msg/MarkerArray") == 8
    assert offset("tf2_msgs/msg/TFMessage") == 8
    assert offset("std_msgs/msg/Float64MultiArray") is None
    assert offset("std_msgs/msg/String") is None
    assert offset("std_msgs/msg/Empty") is None


def test_latched_samples_are_in_each_bag(recorder: Recorder) -> None:
    recording = recorder.recording
    recording.receive("/latched", text("old"), 1, 5)
    recording.receive("/latched", text("state"), 2, 7)
    for _ in range(2):
        meta = recorder.bags.meta()
        recording.open(meta, START_NS)
        recording.receive("/a", text("x"), None, START_NS + 5)
        path = recording.close(meta).path
        assert recorder.times(path) == [("/latched", START_NS), ("/a", START_NS + 5)]
        [found] = [item.message.data for item in open_bag(path).messages({"/latched"})]
        assert found == "state"


def test_stepped_receive_times_are_simulated(bags: Any) -> None:
    recorder = Recorder(bags, stepped=True)
    recording = recorder.recording
    recording.open(recorder.meta, START_NS)
    for topic, message in (
        ("/a", text("x")),  # no stamp of its own: the attempt's start
        ("/stamped", recorder.stamped(START_NS + 100)),
        ("/a", text("x")),  # the newest stamp seen
        ("/stamped", recorder.stamped(START_NS + 50)),  # an older stamp stays, and turns no clock back
        ("/a", text("x")),
        ("/stamped", recorder.stamped(3)),  # of before the attempt
        ("/stamped", b"\0\1\0\0"),  # too short for a stamp
    ):
        recording.receive(topic, message, None, 77)
    summary = recording.abandon("over")
    assert summary is not None
    times = sorted(time_ns - START_NS for _, time_ns in recorder.times(summary.path))
    assert times == [0, 0, 50, 100, 100, 100, 100]
    assert summary.meta.duration_s == pytest.approx(100 / NS)
    assert summary.lost == 0


def test_abandoned_bags_say_why(recorder: Recorder) -> None:
    recording = recorder.recording
    assert recording.abandon("nothing is open") is None
    recording.open(recorder.meta, START_NS)
    assert recording.episode_id == recorder.meta.episode_id
    summary = recording.abandon("the manager is silent")
    assert recording.aborted is not None and recording.aborted.outcome_reason == "the manager is silent"
    assert summary is not None
    meta = open_bag(summary.path).meta
    assert (meta.outcome, meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SYSTEM)
    assert meta.outcome_reason == "the manager is silent"
    assert recording.episode_id == "" and recording.bag == summary.path
    verify(summary.path)


def test_discarded_bags_go_to_the_trash(recorder: Recorder) -> None:
    recording = recorder.recording
    path = recording.open(recorder.meta, START_NS)
    recording.close(recorder.meta, discard=True)
    assert not path.exists()
    assert recording.last_bag == recorder.bags.data / ".trash" / path.name
    verify(recording.last_bag)


def test_opening_twice_and_closing_the_wrong_one_is_refused(recorder: Recorder) -> None:
    recording, other = recorder.recording, recorder.bags.meta()
    with pytest.raises(BagError, match="no bag of attempt"):
        recording.close(other)
    recording.open(recorder.meta, START_NS)
    with pytest.raises(BagError, match="still open"):
        recording.open(other, START_NS)
    with pytest.raises(BagError, match="no bag of attempt"):
        recording.close(other)
    recording.close(recorder.meta)


def test_a_failed_disk_is_told_and_what_comes_is_counted(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorder.recording
    recording.open(recorder.meta, START_NS)

    def refuse(self: Any, data: bytes) -> int:
        self.error = OSError(28, "No space left on device")
        raise self.error

    recording.receive("/a", text("x"), 1, START_NS)
    monkeypatch.setattr(sinks.FileSink, "write", refuse)
    deadline_s = time.monotonic() + 5
    sequence = 1
    while not recording.failure:
        assert time.monotonic() < deadline_s
        sequence += 1
        recording.receive("/a", text("x" * 1000), sequence, START_NS)
        time.sleep(0.001)
    assert "No space left" in recording.failure
    assert recording.counts()["/a"].lost > 0
    with pytest.raises(BagError, match="No space left"):
        recording.close(recorder.meta)
    assert "No space left" in recording.failure  # until the next bag
    monkeypatch.undo()
    recording.open(recorder.bags.meta(), START_NS)
    assert not recording.failure
    recording.abandon("done")


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that hangs until the event is set."""
    go, write = threading.Event(), sinks.FileSink.write

    def wait(self: Any, data: bytes) -> int:
        go.wait(20)
        return write(self, data)

    monkeypatch.setattr(sinks.FileSink, "write", wait)
    yield go
    go.set()


def test_a_stalled_disk_makes_it_drop_and_count_but_never_wait(bags: Any, stalled: threading.Event) -> None:
    stalled.set()
    recorder = Recorder(bags, queue_bytes=2 << 20)
    recording = recorder.recording
    recording.open(recorder.meta, START_NS)
    stalled.clear()
    message, longest_s = text("x" * 100_000), 0.0
    for sequence in range(1, 301):
        begun_s = time.monotonic()
        recording.receive("/a", message, sequence, START_NS + sequence)
        longest_s = max(longest_s, time.monotonic() - begun_s)
    recording.receive("/latched", text("small"), 1, START_NS)  # images do not push out what is small
    assert longest_s < 0.2
    counts = recording.counts()
    assert counts["/latched"].lost == 0
    assert 10 <= counts["/a"].received < 40  # some wait in the queue, and what the compressor took
    stalled.set()
    summary = recording.close(recorder.meta)
    assert summary.topics["/a"].received + summary.topics["/a"].lost == 300
    assert summary.topics["/a"].lost > 250
    assert verify(summary.path).topics["/a"] == summary.topics["/a"].received
