from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import FailureJudgement
from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.image_cdr import COMPRESSED_VIDEO, VIDEO_DEFINITION, RawImage, compressed_video
from xrollout_ros.episodes.journal_entry import Effective
from xrollout_ros.episodes.mcap_file import McapFile
from xrollout_ros.episodes.moment import moment_of
from xrollout_ros.episodes.raw_bag import RawBag, RawMessage, open_raw

from .conftest import Bags
from .judgements import dropped

STEPS = 60


@pytest.fixture
def bag(bags: Bags) -> RawBag:
    rng = np.random.default_rng(3)
    summary = bags.episode(
        rng.normal(size=(STEPS, bags.robot.state_dim)),
        rng.uniform(-1, 1, (STEPS, len(bags.robot.actions))),
        outcome="failure",
        outcome_source="time_limit",
    )
    return open_raw(summary.path)


def _foreign(path: Path, count: int = 30, chunks: bool = True) -> Path:
    """An MCAP of somebody else's: no episode, flushed after each third message."""
    file = McapFile(path, compress=True)
    channels = [file.channel(f"/t{number}", "std_msgs/msg/Bool", "bool data", {}) for number in range(3)]
    for index in range(count):
        channels[index * index % 3].log(bytes([0, 1, 0, 0, index % 2]), (index + 1) * NS)
        if chunks and index % 3 == 2:
            file.flush()
    file.finish()
    file.close()
    return path


def _newest(bag: RawBag, time_ns: int) -> dict[str, RawMessage]:
    return {message.topic.name: message for message in bag.messages() if message.log_time_ns < time_ns}


@pytest.mark.parametrize("at_s", [4.0, 5.0, 5.001, 5.3, 5.4999, 100.0])
def test_what_was_said_last_before_a_moment_is_found_by_the_index(bag: RawBag, at_s: float) -> None:
    time_ns = round(at_s * NS)
    found = bag.last_before(time_ns)
    assert {message.topic.name: message for message in found} == _newest(bag, time_ns)
    assert [message.log_time_ns for message in found] == sorted(message.log_time_ns for message in found)


def test_messages_begin_where_asked_and_are_as_written(bag: RawBag) -> None:
    everything = list(bag.messages())
    assert len(everything) > STEPS * 3
    middle = bag.start_ns + 20 * 12_500_000
    assert list(bag.messages(middle)) == [message for message in everything if message.log_time_ns >= middle]
    only = list(bag.messages(middle, ["/xrollout/command"]))
    assert {message.topic.name for message in only} == {"/xrollout/command"}
    assert len(only) == STEPS - 20
    assert (bag.start_ns, bag.end_ns) == (everything[0].log_time_ns, everything[-1].log_time_ns)


def test_a_foreign_bag_is_read_too(tmp_path: Path) -> None:
    bag = open_raw(_foreign(tmp_path / "other.mcap"))
    assert bag.episode is None
    assert [topic.name for topic in bag.topics] == ["/t0", "/t1"]  # no square is 2 modulo 3
    for second in (0, 1, 2, 15, 31):
        found = bag.last_before(second * NS)
        assert {message.topic.name: message for message in found} == _newest(bag, second * NS)
    moment = moment_of(bag, None)
    assert (moment.time_ns, moment.at_s) == (bag.start_ns, 0.0)
    assert moment_of(bag, None, 3.5).time_ns == round(4.5 * NS)


def test_several_files_of_a_foreign_bag_are_one(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for number in range(2):
        _foreign(folder / f"other_{number}.mcap", count=10 + number)
    (folder / "metadata.yaml").write_text(
        "rosbag2_bagfile_information: {version: 9, storage_identifier: mcap, "
        "relative_file_paths: [other_0.mcap, other_1.mcap]}\n"
    )
    bag = open_raw(folder)
    assert len(list(bag.messages())) == 21
    assert bag.end_ns == 11 * NS
    assert {message.log_time_ns for message in bag.last_before(100 * NS)} == {10 * NS, 11 * NS}


def test_what_is_no_bag_says_so(tmp_path: Path, bag: RawBag) -> None:
    with pytest.raises(BagError, match="there is no bag"):
        open_raw(tmp_path / "none")
    with pytest.raises(BagError, match="holds no message"):
        open_raw(_foreign(tmp_path / "empty.mcap", count=0))
    folder = tmp_path / "sqlite"
    folder.mkdir()
    (folder / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 9, storage_identifier: sqlite3}\n")
    with pytest.raises(BagError, match=r"no MCAP file.*ros2 bag convert"):
        open_raw(folder)
    _foreign(folder / "other_0.mcap")
    (folder / "metadata.yaml").write_text(
        "rosbag2_bagfile_information: {version: 9, storage_identifier: mcap, compression_mode: MESSAGE}\n"
    )
    with pytest.raises(BagError, match=r"compressed by rosbag2.*no compression mode"):
        open_raw(folder)
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(bag.files[0].read_bytes()[:-100])
    with pytest.raises(BagError, match=r"torn.*episodes repair"):
        open_raw(torn)
    broken = bytearray(bag.files[0].read_bytes())
    broken[600:700] = bytes(100)
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(broken)
    with pytest.raises(BagError, match="damaged"):
        list(open_raw(damaged).messages())


def _effective(bag: RawBag, *judgements: FailureJudgement) -> Effective:
    assert bag.episode is not None
    held = journal.effective(bag.episode.meta, [])
    return Effective(held.outcome, held.source, "too slow", tuple(judgements))


def _judgement(bag: RawBag, moment_s: float) -> FailureJudgement:
    assert bag.episode is not None
    return dropped(bag.episode.meta.episode_id, moment_s)


def test_the_moment_is_that_of_the_failure_that_counts(bag: RawBag) -> None:
    moment = moment_of(bag, _effective(bag, _judgement(bag, 0.25), _judgement(bag, 0.5)))
    assert moment.time_ns == 5 * NS + NS // 4
    assert moment.at_s == 0.25
    assert moment.why == "dropped in transport: it fell (said by rule:dropped, confidence 0.90)"
    assert moment.remarks == ()


def test_a_moment_that_was_told_wrong_is_brought_into_the_bag_and_said(bag: RawBag) -> None:
    moment = moment_of(bag, _effective(bag, _judgement(bag, 99.0)))
    assert moment.time_ns == bag.end_ns
    assert "99.00 s, lies outside" in moment.remarks[0]


def test_a_failure_without_a_tag_is_opened_at_its_end(bag: RawBag) -> None:
    moment = moment_of(bag, _effective(bag))
    assert moment.time_ns == bag.end_ns
    assert "failure, said by time_limit: too slow" in moment.why


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("attempt", "success"), ("attempt", "unknown"), ("clip", "failure"), ("demonstration", "success")],
)
def test_others_are_opened_at_their_beginning(bags: Bags, kind: str, outcome: str) -> None:
    state, action = np.zeros((5, bags.robot.state_dim)), np.zeros((5, len(bags.robot.actions)))
    bag = open_raw(bags.episode(state, action, kind=kind, outcome=outcome).path)
    moment = moment_of(bag, _effective(bag))
    assert moment.time_ns == bag.start_ns
    assert "the beginning of the" in moment.why


def test_a_moment_asked_for_outside_of_the_bag_is_refused(bag: RawBag) -> None:
    assert moment_of(bag, _effective(bag, _judgement(bag, 0.1)), 0.5).at_s == 0.5
    with pytest.raises(DataError, match=r"99 s lies outside.*0\.00 to 0\.74 s"):
        moment_of(bag, _effective(bag), 99.0)


@pytest.mark.parametrize(("at_s", "pictures"), [(3.5, [1, 2, 3]), (5.5, [4, 5]), (4.5, [4]), (0.5, [])])
def test_of_a_video_all_is_given_that_is_needed_to_decode_it(tmp_path: Path, at_s: float, pictures: list[int]) -> None:
    file = McapFile(tmp_path / "video.mcap", compress=True)
    video = file.channel("/camera/h264", COMPRESSED_VIDEO, VIDEO_DEFINITION.text, {})
    other = file.channel("/t", "std_msgs/msg/Bool", "bool data", {})
    for second in range(1, 7):
        picture = b"\x00\x00\x00\x01" + (b"\x65" if second in (1, 4) else b"\x41") + b"picture"
        image = RawImage(second, 0, b"camera", 2, 2, "rgb8", 6, np.zeros(12, np.uint8))
        video.log(compressed_video(image, picture), second * NS)
        other.log(b"\x00\x01\x00\x00\x01", second * NS)
        file.flush()
    file.finish()
    file.close()
    found = open_raw(tmp_path / "video.mcap").last_before(round(at_s * NS))
    assert [round(item.log_time_ns / NS) for item in found if item.topic.name == "/camera/h264"] == pictures
    assert len([item for item in found if item.topic.name == "/t"]) == (1 if pictures else 0)
