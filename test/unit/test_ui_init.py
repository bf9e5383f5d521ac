"""What `xrollout init` makes of a graph, without ROS."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xrollout_ros.core.action import ActionKind, HoldRule
from xrollout_ros.core.errors import GraphError, SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.survey import GraphSurvey, Stamps, TopicSurvey
from xrollout_ros.ui.guesses import guess
from xrollout_ros.ui.initialize import check_heard
from xrollout_ros.ui.robot_guess import spec_name
from xrollout_ros.ui.spec_writer import Written, write_spec

from .surveys import description, graph, joint_states, listened, picture, topic

TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
FLOATS = "std_msgs/msg/Float64MultiArray"
ODOMETRY = "nav_msgs/msg/Odometry"
URDF = """<robot name="r">
<joint name="shoulder" type="revolute"><limit lower="-1" upper="2" velocity="1.5" effort="1"/></joint>
<joint name="elbow" type="continuous"/>
<joint name="left_finger" type="prismatic"><limit lower="0" upper="0.04" velocity="0.2" effort="1"/></joint>
<joint name="right_finger" type="prismatic"><mimic joint="left_finger"/></joint>
</robot>"""


def written(survey: GraphSurvey) -> Written:
    result = write_spec("arm", guess(survey))
    assert RobotSpec.model_validate(yaml.safe_load(result.text)) == result.spec
    return result


def test_an_arm_with_description_and_controller() -> None:
    result = written(
        graph(
            joint_states("shoulder", "elbow", "left_finger", "right_finger", rate_hz=99.2),
            description(URDF),
            listened("/arm_controller/joint_trajectory", TRAJECTORY),
            picture("/front/color/image_raw", rate_hz=29.7),
            picture("/front/depth/image_raw", encoding="16UC1", rate_hz=29.7),
        )
    )
    spec = result.spec
    assert (spec.policy_rate_hz, spec.control_rate_hz) == (30.0, 90.0)
    assert spec.command.encoding == "joint_trajectory"
    shoulder, elbow, finger = spec.actions
    assert (shoulder.lower, shoulder.upper, shoulder.max_rate, shoulder.hold) == (-1.0, 2.0, 1.5, HoldRule.MEASURED)
    assert (finger.name, finger.kind, finger.unit, finger.upper) == ("left_finger", ActionKind.GRIPPER, "m", 0.04)
    # The description says nothing of how fast the elbow may move: a slow guess, named as such.
    assert elbow.max_rate == 0.5
    assert result.open_ends == ("actions: elbow: max_rate",)
    assert [camera.name for camera in spec.cameras] == ["front_color"]
    assert "# cameras" not in result.text
    assert "front_depth" in result.text  # as a comment
    assert "not calibrated" in result.text


def test_without_a_description_limits_stay_near_where_it_stood() -> None:
    result = written(graph(joint_states("a", "b"), listened("/commands", FLOATS)))
    assert [(dim.lower, dim.upper) for dim in result.spec.actions] == [(0.4, 0.6)] * 2
    assert {"actions: a: lower (within 0.1 of where it stood)", "actions: b: max_rate"} <= set(result.open_ends)
    assert any("order" in each for each in result.open_ends)
    assert "robot_description" in result.text


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [("geometry_msgs/msg/Twist", "twist"), ("geometry_msgs/msg/TwistStamped", "twist_stamped")],
)
def test_a_base_is_driven_by_velocities(kind: str, encoding: str) -> None:
    odometry = topic("/odom", ODOMETRY, SimpleNamespace(), rate_hz=20.0)
    result = written(graph(odometry, listened("/cmd_vel", kind)))
    assert result.spec.command.encoding == encoding
    assert [dim.name for dim in result.spec.actions] == ["linear_x", "angular_z"]
    assert {dim.hold for dim in result.spec.actions} == {HoldRule.ZERO}
    assert result.spec.observations[0].name == "odom_position"


def test_velocity_and_effort_controllers_are_known_by_their_topics() -> None:
    velocity = written(graph(joint_states("a"), listened("/velocity_controller/commands", FLOATS))).spec.actions[0]
    effort = written(graph(joint_states("a"), listened("/effort_controller/commands", FLOATS))).spec.actions[0]
    assert (velocity.kind, velocity.hold, effort.kind) == (ActionKind.VELOCITY, HoldRule.ZERO, ActionKind.EFFORT)


def test_several_command_topics_the_likeliest_first_the_others_as_comments() -> None:
    result = written(
        graph(
            joint_states("a", subscriber="/robot_state_publisher"),
            listened("/z_controller/joint_trajectory", TRAJECTORY),
            listened("/cmd_vel", "geometry_msgs/msg/Twist"),
            listened("/seen", FLOATS, node="/rosbag2_recorder"),
        )
    )
    assert result.spec.command.topic == "/z_controller/joint_trajectory"
    assert '# command: {topic: "/cmd_vel"' in result.text
    assert "/seen" not in result.text


def test_where_nobody_takes_commands_the_topic_is_to_be_filled_in() -> None:
    result = written(graph(joint_states("a")))
    assert result.spec.command.topic == "/fill_in/command"
    assert "command: topic and encoding" in result.open_ends


def test_stamps_that_are_no_good_are_said() -> None:
    zero = written(graph(joint_states("a", stamps=Stamps(0.0, 0.0, zero=9))))
    late = written(graph(joint_states("a", stamps=Stamps(2.0, 2.5))))
    assert any("zero" in each for each in zero.open_ends)
    assert any("2000 ms old" in each for each in late.open_ends)


def test_a_camera_that_is_only_compressed_is_written_as_a_comment() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, format="JPEG")
    kind = "sensor_msgs/msg/CompressedImage"
    good = topic("/c/image/compressed", kind, SimpleNamespace(data=buffer.getvalue(), format="jpeg"))
    bad = topic("/d/image/compressed", kind, SimpleNamespace(data=b"?", format="jpeg"))
    result = written(graph(joint_states("a"), good, bad))
    assert result.spec.cameras == ()
    assert '#   - {name: c_image, topic: "/c/image/compressed", width: 64, height: 48' in result.text
    assert "/d/image" not in result.text


def test_nothing_to_observe_is_refused() -> None:
    with pytest.raises(SpecError, match="1 topics heard"):
        guess(graph(topic("/chatter", "std_msgs/msg/String", SimpleNamespace(data="hello"))))


def test_joint_names_that_no_action_may_have_are_remarked() -> None:
    result = written(graph(joint_states("Shoulder-Pan"), listened("/c/joint_trajectory", TRAJECTORY)))
    assert result.spec.actions[0].name == "shoulder_pan"
    assert result.spec.observations[0].names == ("Shoulder-Pan",)
    assert "Note: joint Shoulder-Pan" in result.text


@given(st.text(max_size=80))
def test_any_text_becomes_a_name(text: str) -> None:
    name = spec_name(text)
    assert RobotSpec.model_fields["id"]
    assert name[:1].isalpha()
    assert name == spec_name(name)
    assert len(name) <= 64


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=5, unique=True))
def test_any_joint_name_survives_the_yaml(names: list[str]) -> None:
    if len({spec_name(name) for name in names}) < len(names):
        return
    assert written(graph(joint_states(*names))).spec.observations[0].names == tuple(names)


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        ([], "no message was heard in ROS domain 7"),
        ([topic("/joint_states", "sensor_msgs/msg/JointState")], "though /joint_states is published"),
        ([TopicSurvey("/odd", problem="the message type odd_msgs/msg/Odd is not installed")], "odd_msgs"),
    ],
)
def test_silence_is_explained(topics: list[TopicSurvey], said: str) -> None:
    with pytest.raises(GraphError, match=said):
        check_heard(graph(*topics), {})
    check_heard(graph(joint_states("a")), {})
