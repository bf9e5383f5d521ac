"""Robots for tests of the runtime."""

from __future__ import annotations

from typing import Any

from xrollout_ros.core.robot import RobotSpec


def robot(actions: list[dict[str, Any]], **values: Any) -> RobotSpec:
    known: dict[str, Any] = {
        "id": "test_robot",
        "description": "for tests",
        "control_rate_hz": 100.0,
        "policy_rate_hz": 100.0,
        "observations": [
            {
                "name": "joints",
                "topic": "/joint_states",
                "type": "sensor_msgs/msg/JointState",
                "field": "position",
                "shape": [2],
                "unit": "rad",
                "rate_hz": 100.0,
                "max_age_s": 0.1,
            }
        ],
        "actions": actions,
        "command": {"topic": "/command", "encoding": "float64_multi_array"},
    }
    return RobotSpec.model_validate({**known, **values})


def dim(name: str, kind: str, hold: str = "zero", **values: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "unit": "1", "lower": -1.0, "upper": 1.0, "hold": hold, **values}


DELTA = robot([dim("dx", "delta"), dim("grip", "gripper", "keep")])
JOINTS = robot(
    [
        dim("shoulder", "position", "measured", max_rate=2.0, measured={"observation": "joints", "index": 1}),
        dim("wheel", "velocity", "zero", max_rate=5.0),
        dim("grip", "gripper", "keep"),
    ]
)
SMOOTH = robot(
    [
        dim(
            "shoulder", "position", "measured", measured={"observation": "joints", "index": 1},
            max_rate=2.0, max_acceleration=20.0, max_jerk=500.0,
        ),
        dim("wheel", "velocity", "zero", max_rate=5.0, max_jerk=100.0),
        dim("grip", "gripper", "keep", max_acceleration=10.0),
    ],
    policy_rate_hz=20.0,
    motion={"interpolation": "minimum_jerk"},
)  # fmt: skip
