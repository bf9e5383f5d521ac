"""An emergency stop acts when it comes, not when the next tick is due."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from xrollout.msg import EpisodeState, OperatorRequest
from xrollout_ros.core.modes import Mode, Phase, Request
from xrollout_ros.graph.nodes.supervisor import SupervisorNode

from ..unit.robots import dim, robot
from .conftest import wait_for

pytestmark = [pytest.mark.graph, pytest.mark.timeout(60)]

TASK = {
    "id": "stand",
    "instruction": "stand",
    "robot": "test_robot",
    "scene": "none",
    "starts": {"nominal": {}},
    "time_limit_s": 60.0,
    "success": {"signal": "human"},
}


@pytest.fixture
def node(ros_domain: dict[str, str], tmp_path: Path) -> Iterator[SupervisorNode]:
    """A supervisor that ticks every other second."""
    spec = robot([dim("wheel", "velocity")], control_rate_hz=0.5, policy_rate_hz=0.5).model_dump(mode="json")
    spec["observations"][0]["max_age_s"] = spec["safety"]["manager_timeout_s"] = 60.0
    for name, document in (("robot", spec), ("task", TASK)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(document))
    rclpy.init()
    made = SupervisorNode()
    made.set_parameters(
        [
            Parameter("robot", value=str(tmp_path / "robot.yaml")),
            Parameter("task", value=str(tmp_path / "task.yaml")),
            Parameter("drive", value="real_time"),
        ]
    )
    assert made.trigger_configure() is TransitionCallbackReturn.SUCCESS
    assert made.trigger_activate() is TransitionCallbackReturn.SUCCESS
    yield made
    made.make_safe()
    made.pulse.stop()
    made.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize("how", ["topic", "service", "request"])
def test_a_stop_is_commanded_before_the_next_tick(
    node: SupervisorNode, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    commands: list[Any] = []
    monkeypatch.setattr(node._teller._commands, "publish", commands.append)
    node._locked(node._on_episode)(EpisodeState(episode_id="e", phase=int(Phase.RUNNING), policy_id="p"))
    wait_for(lambda: commands, 10, "the first tick")
    assert commands[-1].mode == Mode.AUTONOMOUS
    sent = len(commands)
    if how == "topic":
        node._locked(node._on_stop_request)(Bool(data=True))
    elif how == "service":
        assert node._on_emergency_stop(Trigger.Request(), Trigger.Response()).success
    else:
        node._locked(node._on_request)(OperatorRequest(request=int(Request.EMERGENCY_STOP), operator_id="anna"))
    assert [command.mode for command in commands[sent:]] == [Mode.ESTOP]
    wait_for(lambda: len(commands) > sent + 1, 10, "the ticks go on")
    assert commands[-1].mode == Mode.ESTOP and commands[-1].step > commands[sent].step
