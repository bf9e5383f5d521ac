"""Clips of the ring and corrections of an attempt: what they hold, while everything else goes on."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.episode import EpisodeKind, KeptSpan, Outcome
from xrollout_ros.core.errors import BagError, SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.episodes import highlights, sinks
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.definitions import MessageDefinition, load_definition
from xrollout_ros.episodes.highlights import Clip
from xrollout_ros.episodes.image_cdr import VIDEO_DEFINITION
from xrollout_ros.episodes.recorded_topic import EncodedCamera, RecordedTopic
from xrollout_ros.episodes.recording import Recording
from xrollout_ros.episodes.ring import Ring
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.episodes.strategies import Margin, make_strategy
from xrollout_ros.episodes.video import is_keyframe

STRING = MessageDefinition("std_msgs/msg/String", "string data\n", "RIHS01_" + "0" * 64)
ABOUT = {"strategy": "highlight"}


def text(word: str) -> bytes:
    data = word.encode() + b"\0"
    return b"\0\1\0\0" + len(data).to_bytes(4, "little") + data


class Recorder:
    """A recording with a ring: /a counts, /latched says what is in force, /cam/image_raw becomes a video."""

    def __init__(self, bags: Any, *, keep_s: float = 30.0, margin: Margin | None = None) -> None:
        self.bags, self.number = bags, 0
        bags.messages.install("sensor_msgs/msg/Image")
        spec = CameraSpec(
            name="cam", topic="/cam/image_raw", width=32, height=16, rate_hz=10, record="h264", keyframe_s=1.0
        )
        image = load_definition("sensor_msgs/msg/Image", [bags.messages.prefix])
        topics = [
            RecordedTopic("/a", STRING, True, False, 10, one_writer=True),
            RecordedTopic("/latched", STRING, True, True, 1, one_writer=True),
            RecordedTopic(
                spec.topic, image, False, False, 5, True, encoded=EncodedCamera(spec, "/cam/h264", VIDEO_DEFINITION)
            ),
        ]
        self.ring = Ring(keep_s, 64 << 20, margin_s=1.0)
        robot = RobotSpec.model_validate({**bags.robot.model_dump(), "cameras": [spec.model_dump()]})
        self.recording = Recording(
            bags.data, robot, bags.task, SystemClock(), stepped=False, topics=topics, ring=self.ring,
            strategy=make_strategy("dagger", margin),
        )  # fmt: skip
        self.now_ns = SystemClock().wall_ns() - 1000 * NS
        self.clips: queue.Queue[Clip] = queue.Queue()

    def send(self, count: int = 1) -> None:
        """So many messages of /a and images, one of each every 0.1 s."""
        for _ in range(count):
            self.now_ns += NS // 10
            self.number += 1
            self.recording.receive("/a", text(str(self.number)), self.number, self.now_ns)
            pixels = np.full((16, 96), self.number % 256, np.uint8)
            cdr = self.bags.messages.cdr(
                "sensor_msgs/msg/Image", height=16, width=32, encoding="rgb8", step=96, data=pixels.reshape(-1)
            )
            self.recording.receive("/cam/image_raw", bytes(cdr), self.number, self.now_ns)

    def encoded(self) -> None:
        """Wait until the ring has all images: one that is late brings more of those before it into a clip."""
        for event in self.recording._cameras.reached():
            assert event.wait(30)

    def save(self, after_s: float = 0.0) -> None:
        assert self.recording.highlights is not None
        self.recording.highlights.save(ABOUT, after_s, self.clips.put)

    def clip(self) -> Path:
        clip = self.clips.get(timeout=20)
        assert clip.path is not None, clip.problem
        return clip.path


@pytest.fixture
def recorder(bags: Any) -> Recorder:
    return Recorder(bags)


def words(path: Path, topic: str = "/a") -> list[int]:
    return [int(item.message.data) for item in open_bag(path).messages({topic})]


def keyframes(path: Path) -> list[bool]:
    return [is_keyframe(bytes(item.message.data)) for item in open_bag(path).messages({"/cam/h264"})]


def test_a_clip_holds_the_last_seconds_of_all_topics_and_is_no_attempt(bags: Any) -> None:
    recorder = Recorder(bags, keep_s=3.0)
    recorder.recording.receive("/latched", text("7"), 1, recorder.now_ns)
    recorder.send(100)
    recorder.encoded()
    recorder.save()
    path = recorder.clip()
    verify(path)
    assert words(path) == list(range(70, 101))
    frames = keyframes(path)
    assert frames[0] and 31 <= len(frames) <= 41
    assert words(path, "/latched") == [7]
    meta = open_bag(path).meta
    assert (meta.kind, meta.outcome) == (EpisodeKind.CLIP, Outcome.UNKNOWN)
    assert not meta.kind.counts
    assert 3.0 <= meta.duration_s <= 4.0  # a video may begin before, at its keyframe
    assert "_clip_" in path.name
    assert [entry.path for entry in find_episodes(bags.data)] == [path]


def test_an_empty_ring_says_so(recorder: Recorder) -> None:
    with pytest.raises(BagError, match="the ring is empty"):
        recorder.save()


def test_overlapping_saves_while_an_attempt_is_recorded(recorder: Recorder) -> None:
    recording, meta = recorder.recording, recorder.bags.meta()
    recorder.send(20)
    start = recorder.number
    recording.open(meta, recorder.now_ns)
    sent = []
    for _ in range(3):
        recorder.send(15)
        recorder.save()
        sent.append(recorder.number)
        recorder.send(15)
    end = recorder.number
    clips = sorted((recorder.clip() for _ in range(3)), key=lambda path: words(path)[-1])
    summary = recording.close(meta)
    recorder.send(5)
    assert words(summary.path) == list(range(start + 1, end + 1))
    frames = keyframes(summary.path)
    assert frames[0] and len(frames) == end - start
    assert summary.lost == 0
    for path, last in zip(clips, sent, strict=True):
        got = words(path)
        assert got == list(range(1, got[-1] + 1))
        assert got[-1] >= last  # the test's clock is in the past, so what comes meanwhile belongs to it as well
        assert len(keyframes(path)) >= last
        verify(path)


def test_a_clip_goes_on_after_it_was_asked_for(bags: Any) -> None:
    recorder = Recorder(bags)
    recorder.now_ns = SystemClock().wall_ns()
    recorder.recording.receive("/a", text("0"), 0, recorder.now_ns)
    recorder.save(after_s=0.4)
    deadline_s = time.monotonic() + 10
    while recorder.clips.empty():
        assert time.monotonic() < deadline_s
        recorder.number += 1
        recorder.recording.receive("/a", text(str(recorder.number)), recorder.number, SystemClock().wall_ns())
        time.sleep(0.01)
    path = recorder.clip()
    got = words(path)
    assert got == list(range(len(got)))
    assert 5 < len(got) <= recorder.number
    times = [item.log_time_ns for item in open_bag(path).messages({"/a"})]
    assert 0.2 * NS < times[-1] - times[0] <= 0.4 * NS + 10_000_000


def test_a_full_disk_is_loud_and_stops_nothing_else(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, meta = recorder.recording, recorder.bags.meta()
    recorder.send(20)
    path = recording.open(meta, recorder.now_ns)

    def refuse(self: Any, data: bytes) -> int:
        assert "_clip_" in self.path.name
        self.error = OSError(28, "No space left on device")
        raise self.error

    monkeypatch.setattr(sinks.DirectSink, "write", refuse)
    recorder.save()
    clip = recorder.clips.get(timeout=20)
    assert clip.path is None
    assert "No space left" in clip.problem and "No space left" in recording.failure
    recorder.send(20)
    monkeypatch.undo()
    assert recording.highlights is not None and recording.highlights.wait(10)
    assert not list(recorder.bags.data.rglob("*_clip_*"))  # nothing half-written stays
    summary = recording.close(meta)
    assert (summary.path, summary.lost, len(words(summary.path))) == (path, 0, 20)
    recorder.save()
    verify(recorder.clip())
    assert not recording.failure


def test_a_clip_that_the_disk_has_no_room_for_is_not_begun(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.send(5)
    usage = shutil.disk_usage(recorder.bags.data.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=10))
    recorder.save()
    clip = recorder.clips.get(timeout=20)
    assert clip.path is None and "Free space" in clip.problem


def test_a_slow_disk_under_a_clip_never_delays_a_message(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    go, write = threading.Event(), sinks.DirectSink.write

    def wait(self: Any, data: bytes) -> int:
        go.wait(20)
        return write(self, data)

    recorder.send(50)
    monkeypatch.setattr(sinks.DirectSink, "write", wait)
    longest_s = 0.0
    for _ in range(highlights.MOST_AT_ONCE):
        begun_s = time.monotonic()
        recorder.save()
        longest_s = max(longest_s, time.monotonic() - begun_s)
    with pytest.raises(BagError, match="being saved already"):
        recorder.save()
    for _ in range(50):
        begun_s = time.monotonic()
        recorder.send()
        longest_s = max(longest_s, time.monotonic() - begun_s)
    assert longest_s < 0.2
    go.set()
    for _ in range(highlights.MOST_AT_ONCE):
        got = words(recorder.clip())
        assert got == list(range(1, len(got) + 1)) and len(got) >= 50


def test_corrections_alone_are_kept_with_their_margin(bags: Any) -> None:
    recorder = Recorder(bags, margin=Margin(before_s=1.0, after_s=0.5))
    recording, meta = recorder.recording, bags.meta()
    recording.receive("/latched", text("7"), 1, recorder.now_ns)
    recorder.send(30)
    start_ns = recorder.now_ns
    recording.open(meta, start_ns)
    driven = []
    for quiet, drive in ((20, 10), (3, 4), (30, 5)):  # the second begins while the first still goes on
        recorder.send(quiet)
        recording.operator_drives(True, recorder.now_ns)
        first = recorder.number
        recorder.send(drive)
        recording.operator_drives(False, recorder.now_ns)
        driven.append((first, recorder.number))
    recorder.send(20)
    summary = recording.close(meta)
    wanted = [*range(40, 73), *range(87, 108)]
    assert [driven[0][0], driven[-1][1]] == [50, 102]
    assert words(summary.path) == wanted
    assert summary.meta.kept == [KeptSpan(begin_s=1.0, end_s=4.2), KeptSpan(begin_s=5.7, end_s=7.7)]
    assert summary.lost == 0
    frames = keyframes(summary.path)
    assert frames[0] and len(frames) >= len(wanted)
    assert words(summary.path, "/latched") == [7, 7]  # as the bag begins, and at the first correction
    verify(summary.path)


def test_an_attempt_without_a_correction_keeps_its_word_alone(bags: Any) -> None:
    recorder = Recorder(bags, margin=Margin(1.0, 1.0))
    meta = bags.meta()
    recorder.send(5)
    recorder.recording.open(meta, recorder.now_ns)
    recorder.send(20)
    summary = recorder.recording.close(meta.model_copy(update={"outcome": Outcome.SUCCESS}))
    assert (summary.messages, summary.meta.kept, summary.meta.outcome) == (0, [], Outcome.SUCCESS)


def test_a_ring_shorter_than_the_margin_is_refused(bags: Any) -> None:
    with pytest.raises(SpecError, match="10 s before a correction are kept, but the ring reaches back 3 s"):
        Recorder(bags, keep_s=3.0, margin=Margin(10.0, 0.0))


def test_strategies_are_chosen_by_name_and_contradictions_refused() -> None:
    assert not make_strategy("base").keeps_attempts
    assert make_strategy("sentry").must_upload
    assert make_strategy("dagger").corrections is None
    with pytest.raises(SpecError, match="strategy is 'hope'"):
        make_strategy("hope")
    with pytest.raises(SpecError, match="sentry cannot keep corrections only"):
        make_strategy("sentry", Margin(1, 1))
    with pytest.raises(SpecError, match="before a correction is -1"):
        Margin(-1, 0)


def test_a_closed_bag_is_taken_back_once(recorder: Recorder) -> None:
    meta = recorder.bags.meta()
    recorder.recording.open(meta, recorder.now_ns)
    path = recorder.recording.close(meta).path
    with pytest.raises(BagError, match="not the one closed last"):
        recorder.recording.discard_closed("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert recorder.recording.discard_closed(meta.episode_id).parent.name == ".trash"
    assert not path.exists()
    with pytest.raises(BagError, match="not the one closed last"):
        recorder.recording.discard_closed(meta.episode_id)
