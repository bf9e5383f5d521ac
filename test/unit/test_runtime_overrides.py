"""A robot with other topics."""

from __future__ import annotations

import pytest

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot
from xrollout_ros.runtime.overrides import camera_name, with_camera_sizes, with_topics

SO100 = load_robot("so100")


def test_nothing_given_nothing_changed() -> None:
    assert with_topics(SO100) == SO100


def test_topics_replace_those_of_the_spec_and_nothing_that_a_policy_sees() -> None:
    other = with_topics(SO100, state_topic="/arm/state", action_topic="/leader/state", camera_topics=["/top/image_raw"])
    assert [entry.topic for entry in other.observations] == ["/arm/state"]
    assert other.command.topic == "/leader/state"
    assert [(camera.name, camera.topic, camera.width) for camera in other.cameras] == [("front", "/top/image_raw", 640)]
    assert other.interface_hash() == SO100.interface_hash()


def test_more_cameras_than_the_spec_has_are_named_after_their_topics() -> None:
    other = with_topics(SO100, camera_topics=["/wrist_cam/image_raw", "/camera/image_raw", "/Top_View/color/image_raw"])
    assert [camera.name for camera in other.cameras] == ["wrist_cam", "front", "top_view"]
    sized = with_camera_sizes(other, {"/wrist_cam/image_raw": (32, 24)})
    assert [(camera.width, camera.height) for camera in sized.cameras] == [(32, 24), (640, 480), (1, 1)]
    assert with_topics(SO100, camera_topics=[]).cameras == ()


def test_cameras_of_one_name_are_refused() -> None:
    with pytest.raises(SpecError, match="cameras named twice: cam"):
        with_topics(load_robot("diff_drive"), camera_topics=["/a/cam/image_raw", "/b/cam/image_raw"])


@pytest.mark.parametrize(
    ("topic", "name"), [("/camera/image_raw", "camera"), ("/image_raw", "camera"), ("/3d/image", "camera_3d")]
)
def test_names_of_cameras(topic: str, name: str) -> None:
    assert camera_name(topic) == name


def test_a_state_topic_that_could_mean_several_is_refused() -> None:
    with pytest.raises(SpecError, match=r"could replace any of /ee_pose, /gripper/joint_states"):
        with_topics(load_robot("ee_delta_arm"), state_topic="/state")


def test_a_topic_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match="topics of robot so100"):
        with_topics(SO100, action_topic="no topic")
