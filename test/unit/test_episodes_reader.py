"""Rows of an episode: each command with the observation that it answered."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import BagError
from xrollout_ros.core.modes import Severity, Source
from xrollout_ros.core.safety import SafetyLimits
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.reader import COMMAND_TOPIC, read_episode

MS = NS // 1000


def random_rows(bags: Any, count: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, bags.robot.state_dim)), rng.normal(size=(count, bags.robot.action_dim))


def test_stepped_rows_are_exact(bags: Any) -> None:
    state, action = random_rows(bags, 40)
    summary = bags.episode(state, action, outcome="success")
    episode = read_episode(summary.path)
    np.testing.assert_array_equal(episode.state, state)
    np.testing.assert_array_equal(episode.action, action)
    np.testing.assert_array_equal(episode.step, np.arange(40))
    np.testing.assert_allclose(episode.stamp_s, np.arange(40) * 0.0125, rtol=0, atol=1e-12)
    assert episode.start_ns == 5 * NS
    assert (len(episode), episode.state.dtype, episode.source.dtype, episode.clipped.shape) == (
        40,
        np.float64,
        np.uint8,
        (40, 4),
    )
    assert episode.meta.outcome.value == "success"
    assert (episode.robot, episode.task) == (bags.robot, bags.task)
    assert [item.message.step for item in episode.topic(COMMAND_TOPIC)] == list(range(40))
    assert list(episode.topic("/not/recorded")) == []


def test_the_file_alone_is_enough(bags: Any, tmp_path: Path) -> None:
    state, action = random_rows(bags, 3)
    summary = bags.episode(state, action)
    file = next(summary.path.glob("*.mcap"))
    np.testing.assert_array_equal(read_episode(file).state, state)
    lone = tmp_path / "copied.mcap"
    shutil.copy(file, lone)
    assert read_episode(lone).meta == summary.meta
    assert verify(lone).messages == summary.messages


def test_resent_messages_count_once(bags: Any, tmp_path: Path) -> None:
    state, action = random_rows(bags, 5)
    meta = bags.meta()
    with bags.open(tmp_path / "bag", meta) as writer:
        for step in range(5):
            stamp = NS + step * 12_500_000
            for _ in range(1 + step % 2):
                bags.observe(writer, state[step], stamp, stamp)
                bags.command(writer, meta, action[step], stamp, stamp, step=step)
        writer.close(meta)
    episode = read_episode(tmp_path / "bag")
    np.testing.assert_array_equal(episode.state, state)
    np.testing.assert_array_equal(episode.action, action)


def test_commands_of_others_and_before_the_first_observation_are_left_out(bags: Any, tmp_path: Path) -> None:
    state, action = random_rows(bags, 4)
    meta = bags.meta()
    with bags.open(tmp_path / "bag", meta) as writer:
        bags.command(writer, meta, action[0], 1 * NS, 1 * NS, step=0)
        bags.observe(writer, state[1], 2 * NS, 2 * NS)
        bags.command(writer, meta, action[1], 2 * NS, 2 * NS, step=1, source=Source.OPERATOR.value, mode=4)
        bags.command(writer, meta, action[2], 3 * NS, 3 * NS, step=2, episode_id="")
        bags.command(writer, meta, action[3], 4 * NS, 4 * NS, step=3, clipped=[True, False, False, True])
        bags.safety(writer, meta, 4 * NS, check="limit", severity=0, value=float("nan"), limit=float("inf"), began=True)
        writer.close(meta)
    episode = read_episode(tmp_path / "bag")
    np.testing.assert_array_equal(episode.action, action[[1, 3]])
    np.testing.assert_array_equal(episode.state, state[[1, 1]])
    np.testing.assert_array_equal(episode.stamp_s, [0.0, 2.0])
    assert list(episode.source) == [1, 0]
    assert list(episode.mode) == [4, 1]
    np.testing.assert_array_equal(episode.clipped, [[False] * 4, [True, False, False, True]])
    (event,) = episode.safety_events
    assert (event.at_s, event.check, event.severity, event.began) == (2.0, "limit", Severity.CLIP, True)
    assert np.isnan(event.value)
    assert np.isinf(event.limit)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seen=st.lists(st.integers(0, 60), min_size=1, max_size=20),
    sent=st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True),
    order=st.randoms(use_true_random=False),
)
def test_real_time_pairs_the_newest_not_newer(
    seen: list[int], sent: list[int], order: Any, bags: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the order of arrival: only the stamps decide."""
    path = tmp_path_factory.mktemp("pairs") / "bag"
    meta = bags.meta()
    events = [("seen", stamp) for stamp in seen] + [("sent", stamp) for stamp in sent]
    order.shuffle(events)
    with bags.open(path, meta) as writer:
        for arrival, (what, stamp) in enumerate(events):
            if what == "seen":
                state = np.full(bags.robot.state_dim, float(stamp))
                bags.observe(writer, state, NS + stamp * MS, 2 * NS + arrival)
            else:
                bags.command(writer, meta, [float(stamp)] * 4, NS + stamp * MS, 2 * NS + arrival, step=stamp)
        writer.close(meta)
    expected = [(stamp, max(other for other in seen if other <= stamp)) for stamp in sorted(sent) if stamp >= min(seen)]
    episode = read_episode(path, allow_empty=True)
    assert list(zip(episode.action[:, 0], episode.state[:, 0], strict=True)) == expected


def test_observations_without_a_header_are_paired_by_arrival(bags: Any, tmp_path: Path) -> None:
    plain = bags.robot.observations[0].model_copy(
        update={"type": "geometry_msgs/msg/Point", "field": "x", "shape": (1,), "topic": "/plain", "name": "plain"}
    )
    robot = bags.robot.model_copy(update={"observations": (plain,), "sim": None, "safety": SafetyLimits()})
    bags.robot = robot
    meta = bags.meta()
    with bags.open(tmp_path / "bag", meta) as writer:
        bags.add(writer, "/plain", "geometry_msgs/msg/Point")
        for number in range(3):
            writer.write("/plain", bags.messages.cdr("geometry_msgs/msg/Point", x=float(number)), 100 + 10 * number)
            bags.command(writer, meta, [0.0] * 4, NS + number, 105 + 10 * number, step=number)
        writer.close(meta)
    np.testing.assert_array_equal(read_episode(tmp_path / "bag").state[:, 0], [0, 1, 2])


def test_specs_fall_back_to_the_shipped_ones(bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xrollout_ros.episodes.mcap_file import McapFile

    monkeypatch.setattr(McapFile, "attach", lambda *arguments: None)
    state, action = random_rows(bags, 2)
    episode = read_episode(bags.episode(state, action).path)
    assert (episode.robot, episode.task) == (bags.robot, bags.task)
    with pytest.raises(BagError, match="unknown task 'juggle'"):
        read_episode(bags.episode(state, action, task="juggle").path)


class TestBadInput:
    @pytest.fixture
    def bag(self, bags: Any) -> Path:
        return Path(bags.episode(*random_rows(bags, 50)).path)

    def test_no_such_path(self, tmp_path: Path) -> None:
        with pytest.raises(BagError, match="there is no bag"):
            read_episode(tmp_path / "nothing")

    def test_not_a_bag(self, tmp_path: Path) -> None:
        with pytest.raises(BagError, match="is not a bag"):
            read_episode(tmp_path)
        (tmp_path / "a.txt").write_text("text")
        with pytest.raises(BagError, match="is not a bag"):
            read_episode(tmp_path / "a.txt")
        (tmp_path / "a.mcap").write_text("text")
        with pytest.raises(BagError, match="does not begin as an MCAP"):
            read_episode(tmp_path / "a.mcap")
        (tmp_path / "empty.mcap").touch()
        with pytest.raises(BagError, match="does not begin as an MCAP"):
            read_episode(tmp_path / "empty.mcap")

    def test_foreign_bag(self, bag: Path, tmp_path: Path) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        store = get_typestore(Stores.ROS2_JAZZY)
        with Writer(tmp_path / "foreign", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            connection = writer.add_connection("/a", "std_msgs/msg/String", typestore=store)
            writer.write(connection, 1, b"\0\1\0\0\1\0\0\0\0")
        with pytest.raises(BagError, match="foreign bag"):
            read_episode(tmp_path / "foreign")
        with pytest.raises(BagError, match="foreign bag"):
            read_episode(tmp_path / "foreign" / "foreign.mcap")

    def test_torn_bag(self, bag: Path) -> None:
        (bag / "metadata.yaml").unlink()
        with pytest.raises(BagError, match=r"torn: it has no metadata.yaml; it is episode \w{26} \(pick_and_place\)"):
            read_episode(bag)
        file = next(bag.glob("*.mcap"))
        for kept in (file.stat().st_size - 1, file.stat().st_size // 2, 9):
            with file.open("r+b") as stream:
                stream.truncate(kept)
            with pytest.raises(BagError, match="torn: its end is missing"):
                read_episode(file)

    def test_missing_file(self, bag: Path) -> None:
        next(bag.glob("*.mcap")).unlink()
        with pytest.raises(BagError, match="lacks its file"):
            read_episode(bag)

    @pytest.mark.parametrize("text", ["", "{", "a: 1", "rosbag2_bagfile_information: 3", "\x00"])
    def test_damaged_metadata(self, bag: Path, text: str) -> None:
        (bag / "metadata.yaml").write_text(text)
        with pytest.raises(BagError, match=r"metadata.yaml is damaged"):
            read_episode(bag)

    def test_every_flipped_byte_of_the_messages_is_found(self, bag: Path) -> None:
        from mcap.reader import make_reader

        file = next(bag.glob("*.mcap"))
        with file.open("rb") as stream:
            summary = make_reader(stream).get_summary()
        assert summary is not None
        chunk = summary.chunk_indexes[0]
        whole = file.read_bytes()
        begin = chunk.chunk_start_offset + 9 + 8 + 8 + 8
        for place in np.linspace(begin, chunk.chunk_start_offset + chunk.chunk_length - 1, 40).astype(int):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            with pytest.raises(BagError, match=r"damaged|torn"):
                read_episode(bag)
            with pytest.raises(BagError):
                verify(bag)

    def test_no_commands(self, bags: Any, tmp_path: Path) -> None:
        meta = bags.meta(outcome="abort", outcome_source="system")
        with bags.open(tmp_path / "bag", meta) as writer:
            bags.observe(writer, np.zeros(bags.robot.state_dim), NS, NS)
            writer.close(meta)
        with pytest.raises(BagError, match="holds no command"):
            read_episode(tmp_path / "bag")
        episode = read_episode(tmp_path / "bag", allow_empty=True)
        assert (len(episode), episode.state.shape, episode.action.shape) == (0, (0, bags.robot.state_dim), (0, 4))

    def test_action_of_another_size(self, bags: Any, tmp_path: Path) -> None:
        meta = bags.meta()
        with bags.open(tmp_path / "bag", meta) as writer:
            bags.observe(writer, np.zeros(bags.robot.state_dim), NS, NS)
            bags.command(writer, meta, [0.0] * 3, NS, NS)
            writer.close(meta)
        with pytest.raises(BagError, match="`action` of the command at step 0 has 3 values"):
            read_episode(tmp_path / "bag")

    def test_counts_that_disagree(self, bag: Path) -> None:
        text = (bag / "metadata.yaml").read_text()
        (bag / "metadata.yaml").write_text(text.replace("message_count: 50", "message_count: 51"))
        with pytest.raises(BagError, match=r"metadata.yaml says"):
            verify(bag)

    def test_a_later_version(self, bag: Path) -> None:
        information = rosbag2.read_metadata(bag)
        changed = information["custom_data"][rosbag2.EPISODE].replace('"seed":7', '"seed":7,"mood":"good"')
        information["custom_data"][rosbag2.EPISODE] = changed
        rosbag2.write_metadata(bag, information)
        with pytest.raises(BagError, match=r"mood: .*not permitted"):
            open_bag(bag)
