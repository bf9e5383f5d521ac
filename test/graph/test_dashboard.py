"""What the dashboard does in a running graph: it asks for things, and shows pictures while somebody looks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.modes import Mode, Request
from xrollout_ros.graph.acting import Acting
from xrollout_ros.graph.cameras import Cameras
from xrollout_ros.graph.monitor import observe
from xrollout_ros.graph.scene import Scene

from .conftest import COMMAND, Graph, wait_for, wait_for_policy_commands
from .people import insist, screen

pytestmark = pytest.mark.graph
CAMERA = "/camera/image_raw"


def test_it_asks_a_running_graph_for_things_and_sees_what_its_cameras_send(
    start_graph: Callable[..., Graph], checkpoint: Path, long_task: Path, ros_domain: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(os.environ, "ROS_DOMAIN_ID", ros_domain["ROS_DOMAIN_ID"])
    with observe() as observer:
        node = observer.node
        acting, cameras = Acting(node, "somebody"), Cameras(node)
        with pytest.raises(GraphError, match="nobody hears the request HOLD"):
            acting.request(Request.HOLD)
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=5, drive="real_time", camera=True)
        wait_for_policy_commands(observer, 1)
        model = observer.model()
        assert [each.name for each in model.action] == ["dx", "dy", "dz", "gripper"]
        assert all(each.lower <= each.value <= each.upper for each in model.action)
        assert model.attempt_s > 0
        assert len({node.incarnation for node in model.nodes}) == len(model.nodes) > 4, "each process has its own"
        assert [score.name for score in model.scores]
        wait_for(lambda: CAMERA in cameras.topics(), 10, "the camera")
        with cameras.watching(CAMERA):
            picture, number = wait_for(lambda: (found := cameras.picture(CAMERA))[1] and found, 30, "a picture")
            assert picture.startswith(b"\xff\xd8\xff")
            wait_for(lambda: cameras.picture(CAMERA, number)[1] > number, 30, "the next one")
        assert not [each for each in node.subscriptions if each.topic_name == CAMERA], "nobody looks any more"
        for topic in ("/nowhere", "/xrollout/episode"):
            with pytest.raises(KeyError), cameras.watching(topic):
                pass
        scene = Scene(node)
        assert scene.values("metaworld_sawyer") == {}, "nobody looks"
        with scene.watching():
            sensed = wait_for(lambda: scene.values("metaworld_sawyer"), 30, "what is sensed")
            hand, unit = sensed["hand_position"]
            assert hand.shape == (3,) and unit == "m"
            assert np.isfinite(hand).all()
        assert not [each for each in node.subscriptions if each.topic_name == "/sawyer/hand"]
        assert "messages" in acting.trigger("save_highlight")
        acting.request(Request.MARK_SUCCESS, model.episode.episode_id if model.episode is not None else "")
        wait_for(lambda: observer.model().recent == ("success",), 30, "the attempt was marked")
        wait_for_policy_commands(observer, 2)
        acting.trigger("emergency_stop")
        wait_for(lambda: observer.model().mode is Mode.ESTOP, 10, "it stops")
        acting.trigger("reset_emergency_stop")
        wait_for(lambda: observer.model().mode is not Mode.ESTOP, 10, "it goes on")
        wait_for(lambda: observer.model().mode is Mode.AUTONOMOUS, 30, "the next attempt")
        with screen() as (keys, slave, output):
            watcher = subprocess.Popen(
                [*COMMAND, "monitor"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                env={**ros_domain, "TERM": "xterm"},
            )  # fmt: skip
            try:
                wait_for(lambda: "AUTONOMOUS" in output(), 60, "the view")
                os.write(keys, b"x")  # asks for nothing
                insist(lambda: os.write(keys, b"h"), lambda: observer.model().mode is Mode.HOLD, "h holds")
                wait_for(lambda: "HOLD" in output(), 10, "the view says so")
                insist(lambda: os.write(keys, b"e"), lambda: observer.model().mode is Mode.ESTOP, "e stops, at once")
                os.write(keys, b"q")
                assert watcher.wait(20) == 0
            finally:
                watcher.kill()
        assert observer.model().recent[0] == "success", graph.output()
