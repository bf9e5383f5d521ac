"""Actions in and out of the robots' own command messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Float64MultiArray

from xrollout_ros.core.chunk import ActionChunk
from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.fields import assign, extract
from xrollout_ros.core.fields import stamp_ns as stamp_ns_of
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.graph.conversions import chunk_from_msg, chunk_to_msg
from xrollout_ros.graph.encodings import MESSAGES, TYPES, decode, encode
from xrollout_ros.graph.types import message_class

from .robots import DELTA, dim, robot

BASE = robot([dim("linear_x", "velocity"), dim("angular_z", "velocity")], command={"topic": "/v", "encoding": "twist"})
VELOCITY = [dim("a", "velocity"), dim("b", "velocity")]
POSITION = [dim("a", "position", "keep"), dim("b", "position", "keep")]
EFFORT = [dim("a", "effort"), dim("b", "effort")]
ROBOTS = [DELTA, BASE] + [
    robot(dims, command={"topic": "/c", "encoding": encoding})
    for dims in (VELOCITY, POSITION, EFFORT)
    for encoding in ("joint_state", "joint_trajectory", "float64_multi_array")
]


@given(st.sampled_from(ROBOTS), st.lists(st.floats(-1, 1), min_size=2, max_size=2))
def test_what_is_encoded_and_sent_is_decoded(spec: RobotSpec, values: list[float]) -> None:
    message = encode(spec, np.array(values), 123)
    wire = deserialize_message(serialize_message(message), MESSAGES[spec.command.encoding])
    assert decode(spec, wire).tolist() == values


def test_a_command_that_is_not_whole_is_refused() -> None:
    with pytest.raises(SpecError, match="carries 1 actions"):
        decode(DELTA, Float64MultiArray(data=[1.0]))


SHIPPED = [
    (load_robot("so100"), "sensor_msgs/msg/JointState"),
    (load_robot("diff_drive"), "geometry_msgs/msg/Twist"),
    (load_robot("jtc_arm"), "trajectory_msgs/msg/JointTrajectory"),
    (load_robot("ee_delta_arm"), "std_msgs/msg/Float64MultiArray"),
]
SHIPPED_IDS = [spec.id for spec, _ in SHIPPED]


@pytest.mark.parametrize(("spec", "kind"), SHIPPED, ids=SHIPPED_IDS)
def test_a_shipped_robots_commands_survive_the_wire(spec: RobotSpec, kind: str) -> None:
    action = np.linspace(0.25, 0.75, spec.action_dim) * (spec.upper - spec.lower) + spec.lower
    message = encode(spec, action, 5 * NS)
    assert TYPES[spec.command.encoding] == kind
    assert type(message) is message_class(kind)
    wire = deserialize_message(serialize_message(message), message_class(kind))
    assert decode(spec, wire).tolist() == action.tolist()


@pytest.mark.parametrize("spec", [spec for spec, _ in SHIPPED], ids=SHIPPED_IDS)
def test_a_shipped_robots_observations_survive_the_wire(spec: RobotSpec) -> None:
    state = np.random.default_rng(0).normal(size=spec.state_dim)
    messages: dict[str, Any] = {}
    for entry in spec.observations:
        message = messages.setdefault(entry.topic, message_class(entry.type)())
        assign(message, entry, state[spec.state_slices()[entry.name]])
    wire = {topic: deserialize_message(serialize_message(sent), type(sent)) for topic, sent in messages.items()}
    found = {entry.name: extract(wire[entry.topic], entry) for entry in spec.observations}
    assert spec.state_vector(found).tobytes() == state.tobytes()


def test_joint_states_are_taken_by_name_whatever_their_order_and_company() -> None:
    spec = load_robot("so100")
    entry = spec.observations[0]
    message = message_class(entry.type)(
        name=["head", *reversed(entry.names)], position=[9.0, *(float(place) for place in reversed(range(6)))]
    )
    assert extract(message, entry).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_joint_trajectory_is_one_point_due_a_control_period_later_from_now_on() -> None:
    spec = load_robot("jtc_arm")
    message = encode(spec, np.zeros(6), 5 * NS)
    [point] = message.points
    assert message.joint_names == [dim.name for dim in spec.actions]
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 10_000_000)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)


def test_a_stamped_twist_carries_the_time_and_the_robots_frame() -> None:
    spec = robot(
        [dim("linear_x", "velocity"), dim("angular_z", "velocity")],
        frame="base",
        command={"topic": "/v", "encoding": "twist_stamped"},
    )
    message = encode(spec, np.array([0.5, -0.25]), 3 * NS + 7)
    assert (message.header.frame_id, message.header.stamp.sec, message.header.stamp.nanosec) == ("base", 3, 7)
    assert (message.twist.linear.x, message.twist.angular.z) == (0.5, -0.25)


@pytest.mark.parametrize("encoding", ["twist", "twist_stamped"])
def test_a_twist_has_no_field_for_a_joint(encoding: str) -> None:
    with pytest.raises(ValidationError, match=f"a {encoding} has no field for action elbow"):
        robot([dim("elbow", "velocity")], command={"topic": "/v", "encoding": encoding})


@pytest.mark.parametrize("encoding", ["joint_state", "joint_trajectory"])
@pytest.mark.parametrize("kinds", [("position", "velocity"), ("effort", "gripper"), ("delta", "delta")])
def test_a_joint_message_carries_one_kind_of_value(encoding: str, kinds: tuple[str, str]) -> None:
    dims = [dim(f"joint_{place}", kind, "keep") for place, kind in enumerate(kinds)]
    with pytest.raises(ValidationError, match=r"joint_0 is a .*choose the encoding float64_multi_array"):
        robot(dims, command={"topic": "/c", "encoding": encoding})


@given(st.integers(0, 10), st.integers(1, 5), st.integers(0, 2**40), st.floats(0, 1))
def test_a_chunk_survives_the_wire(rows: int, width: int, stamp_ns: int, score: float) -> None:
    actions = np.arange(rows * width, dtype=np.float32).reshape(rows, width) / 7
    chunk = ActionChunk("e", "p", 3, 4, stamp_ns, stamp_ns + 5, 12_500_000, actions, 2, 9, 0, 0.25, {"novelty": score})
    message = chunk_to_msg(chunk, sent_ns=11)
    back = chunk_from_msg(deserialize_message(serialize_message(message), type(message)))
    assert back.actions.tobytes() == actions.tobytes()
    assert back.actions.shape == actions.shape
    assert (back.stamp_ns, back.start_ns, back.period_ns) == (stamp_ns, stamp_ns + 5, 12_500_000)
    assert (back.observed_ns, stamp_ns_of(message.sent), back.inference_s) == (9, 11, 0.25)
    assert back.scores == {"novelty": score}


def test_rows_that_are_not_whole_keep_a_shape_that_the_checks_refuse() -> None:
    message = chunk_to_msg(ActionChunk("e", "p", 0, 0, 0, 0, 1, np.zeros((2, 2), dtype=np.float32)))
    message.data = message.data[:3]
    assert chunk_from_msg(message).actions.ndim == 1
