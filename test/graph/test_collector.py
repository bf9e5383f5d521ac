"""Collecting from a running robot: what it writes is an ordinary episode, and what is missing is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import Twist
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState

from xrollout_ros.collect import ROS2DataCollector
from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeKind, Outcome, OutcomeSource
from xrollout_ros.core.errors import DataError, GraphError, SpecError
from xrollout_ros.core.images import decode_image
from xrollout_ros.core.modes import Source
from xrollout_ros.core.sensing import CameraRecord
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.images import ImageSequence
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.qos import EVENT

from .arm_driver import SO100, camera, spinning
from .conftest import wait_for

pytestmark = pytest.mark.graph
TASK = "so100_pick_and_place"
NAMES = [dim.name for dim in SO100.actions]


class Leader:
    """A leader arm and the arm that follows it, moving on a slow circle."""

    def __init__(self, node: Any, **topics: str) -> None:
        self.sent: list[list[float]] = []
        self.acting = True
        self.late_ns = 0
        self._states = node.create_publisher(JointState, topics["state"], qos_profile_sensor_data)
        self._actions = node.create_publisher(JointState, topics["action"], EVENT)
        node.create_timer(1 / 60, self._tick)

    def _tick(self) -> None:
        angle = len(self.sent) / 30
        position = [0.5 * np.sin(angle), 0.5 * np.cos(angle), 0.1, 0.2, 0.3, 0.4]
        stamp = time_msg(SystemClock().wall_ns() - self.late_ns)
        state = JointState(name=NAMES, position=position)
        state.header.stamp = stamp
        self._states.publish(state)
        if self.acting:
            self.sent.append(position)
            action = JointState(name=list(reversed(NAMES)), position=list(reversed(position)))
            self._actions.publish(action)


@contextmanager
def leader(state: str = "/joint_states", action: str = "/leader/joint_states", width: int = 32) -> Iterator[Leader]:
    with spinning("leader") as node:
        camera(node, "/wrist_cam/image_raw", width, 24)
        yield Leader(node, state=state, action=action)


@pytest.fixture
def data(ros_domain: dict[str, str], tmp_path: Path) -> Path:
    return tmp_path / "data"


def collect(collector: ROS2DataCollector, leading: Leader, actions: int, **end: Any) -> Any:
    collector.start_episode(task=TASK)
    begun = len(leading.sent)
    wait_for(lambda: len(leading.sent) - begun >= actions, 10, "the leader does not move")
    return collector.end_episode(**end)


def test_what_is_collected_lists_reads_and_trains(data: Path, tmp_path: Path) -> None:
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.learning.training.options import TrainOptions
    from xrollout_ros.learning.training.train import train

    with (
        leader() as leading,
        ROS2DataCollector(
            robot_type="so100",
            camera_topics=["/wrist_cam/image_raw"],
            state_topic="/joint_states",
            action_topic="/leader/joint_states",
            data=data,
            operator="anna",
        ) as collector,
    ):
        first = collect(collector, leading, 60, success=True, reason="neat")
        failed = collect(collector, leading, 10, success=False)
        collect(collector, leading, 5, discard=True)
        assert collector.episodes == [first, failed]
    assert [entry.path for entry in find_episodes(data)] == [first.path, failed.path]
    episode = read_episode(first.path)
    meta = episode.meta
    assert (meta.kind, meta.outcome, meta.outcome_source) == (
        EpisodeKind.DEMONSTRATION,
        Outcome.SUCCESS,
        OutcomeSource.HUMAN,
    )
    assert (meta.operator, meta.outcome_reason, meta.robot, meta.task) == ("anna", "anna: neat", "so100", TASK)
    assert set(episode.source) == {Source.OPERATOR}
    assert first.actions >= 57  # what was on its way at the beginning and at the end may be missing
    assert len(episode) >= first.actions - 3
    sent = {tuple(position) for position in leading.sent}
    assert all(tuple(row) in sent for row in episode.action)
    # The follower says where it is before the leader acts; each action is paired with that very state.
    np.testing.assert_allclose(episode.state, episode.action, atol=0.05)
    [picture, *_] = episode.topic("/wrist_cam/image_raw")
    assert decode_image(picture.message).shape == (24, 32, 3)
    assert [(found.name, found.width, found.height) for found in episode.robot.cameras] == [("front", 32, 24)]
    assert verify(first.path).topics["/leader/joint_states"] == first.actions
    options = TrainOptions.of(data=data, output=tmp_path / "c.pt", epochs=2, policy="mlp", held_out=0.0)
    result = train(options, lambda progress: None)
    assert result.left_out == {"demonstration with outcome failure": 1}
    assert load_policy(result.output, SO100).predict(episode.state[0]).shape == (8, 6)


def recording_as(tmp_path: Path, **entry: Any) -> str:
    """The SO-100 with a camera that is recorded otherwise."""
    camera = SO100.cameras[0].model_copy(update={"topic": "/wrist_cam/image_raw", **entry})
    path = tmp_path / "robot.yaml"
    path.write_text(SO100.model_copy(update={"cameras": (camera,)}).model_dump_json())
    return str(path)


@pytest.mark.parametrize(("record", "suffix"), [("jpeg", "/compressed"), ("h264", "/h264")])
def test_cameras_are_recorded_as_the_spec_says(data: Path, tmp_path: Path, record: str, suffix: str) -> None:
    if record == "h264":
        pytest.importorskip("av")
    robot = recording_as(tmp_path, record=CameraRecord(record))
    with (
        leader() as leading,
        ROS2DataCollector(robot, action_topic="/leader/joint_states", data=data) as collector,
    ):
        episode = collect(collector, leading, 30, success=True)
        assert episode.problem == ""
    topics = verify(episode.path).topics
    assert "/wrist_cam/image_raw" not in topics
    images = ImageSequence(open_bag(episode.path), f"/wrist_cam/image_raw{suffix}")
    assert len(images) == topics[f"/wrist_cam/image_raw{suffix}"] > 3
    assert images[0].shape == (24, 32, 3)
    # Each picture is one grey, and the next is a little lighter, but for what compression makes of it.
    greys = [int(np.median(images[number])) for number in range(len(images))]
    assert np.all(np.diff(greys) >= 0) and greys[-1] > greys[0]
    assert np.all(np.diff(images.stamps_ns) > 0)


def test_a_size_that_cannot_be_recorded_as_the_spec_says_is_refused(data: Path, tmp_path: Path) -> None:
    robot = recording_as(tmp_path, record=CameraRecord.H264)
    with leader(width=31), pytest.raises(SpecError, match=r"camera 'front' .* 31x24 must be even"):
        ROS2DataCollector(robot, action_topic="/leader/joint_states", data=data, timeout_s=5.0)


def test_a_topic_that_nobody_publishes_is_named_with_those_there_are(data: Path) -> None:
    with leader(), pytest.raises(GraphError, match=r"nobody publishes /other/actions .*/leader/joint_states"):
        ROS2DataCollector("so100", action_topic="/other/actions", camera_topics=[], data=data, timeout_s=3.0)


def test_a_topic_of_another_type_is_named_with_its_publisher(data: Path) -> None:
    with spinning("joystick") as node, leader():
        node.create_publisher(Twist, "/cmd", EVENT)
        with pytest.raises(GraphError, match=r"/joystick publishes /cmd as geometry_msgs/msg/Twist.*JointState"):
            ROS2DataCollector("so100", action_topic="/cmd", camera_topics=[], data=data, timeout_s=5.0)


def test_a_silent_sensor_missing_joints_and_foreign_time_are_named(data: Path) -> None:
    def connect(**topics: Any) -> None:
        known = {"action_topic": "/leader/joint_states", "camera_topics": [], "data": data, "timeout_s": 6.0}
        ROS2DataCollector("so100", **{**known, **topics}).close()

    with spinning("silent") as node, leader() as leading:
        node.create_publisher(JointState, "/silent", qos_profile_sensor_data)
        with pytest.raises(GraphError, match="no message came on /silent"):
            connect(state_topic="/silent", timeout_s=3.0)
        others = node.create_publisher(JointState, "/others", qos_profile_sensor_data)
        node.create_timer(0.02, lambda: others.publish(JointState(name=["knee"], position=[0.0])))
        with pytest.raises(GraphError, match=r"/others does not fit robot 'so100'.*no joint shoulder_pan"):
            connect(state_topic="/others")
        leading.late_ns = 60 * 10**9
        with pytest.raises(GraphError, match=r"the stamps on /joint_states are 60 s behind"):
            connect()
    with pytest.raises(SpecError, match="unknown robot 'nobody'"):
        ROS2DataCollector("nobody")


def test_an_episode_without_actions_is_refused_and_lies_in_the_trash(data: Path) -> None:
    with (
        leader() as leading,
        ROS2DataCollector("so100", action_topic="/leader/joint_states", camera_topics=[], data=data) as collector,
    ):
        leading.acting = False
        with pytest.raises(GraphError, match="no episode is open"):
            collector.end_episode()
        collector.start_episode(task=TASK)
        with pytest.raises(GraphError, match="is still open"):
            collector.start_episode(task=TASK)
        begun_s = time.monotonic()
        wait_for(lambda: time.monotonic() - collector._listener.silent_s("/joint_states") > begun_s, 5, "no state")
        # One that was on its way when the leader stopped may still have come.
        before = len(leading.sent)
        with pytest.raises(DataError, match="no action came on /leader/joint_states"):
            collector.end_episode()
        assert len(leading.sent) == before
        assert collector.episodes == []
        collector.start_episode(task=TASK)
    [entry] = find_episodes(data)
    assert entry.meta is not None
    assert entry.meta.outcome is Outcome.ABORT
    assert len(list((data / ".trash").iterdir())) == 1
