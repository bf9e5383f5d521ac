"""Actions in and out of the robots' own command messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Float64MultiArray

from xrollout_ros.core.chunk import ActionChunk
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.fields import stamp_ns as stamp_ns_of
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.graph.conversions import chunk_from_msg, chunk_to_msg
from xrollout_ros.graph.encodings import MESSAGES, check_encoding, decode, encode

from .robots import DELTA, dim, robot

BASE = robot([dim("linear_x", "velocity"), dim("angular_z", "velocity")], command={"topic": "/v", "encoding": "twist"})
VELOCITY = [dim("a", "velocity"), dim("b", "velocity")]
POSITION = [dim("a", "position", "keep"), dim("b", "position", "keep")]
ROBOTS = [DELTA, BASE] + [
    robot(dims, command={"topic": "/c", "encoding": encoding})
    for dims in (VELOCITY, POSITION)
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


def test_a_twist_has_no_field_for_a_joint() -> None:
    with pytest.raises(SpecError, match="a twist has no field for action elbow"):
        check_encoding(robot([dim("elbow", "velocity")], command={"topic": "/v", "encoding": "twist"}))


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
