"""Operators in whole graphs: a leader arm, a keyboard in the graph's own terminal, a phone that joins, a foot pedal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from xrollout.msg import Command
from xrollout_ros.core.episode import FAILURE_RECOVERY, Outcome
from xrollout_ros.core.modes import Mode, Phase, Source
from xrollout_ros.core.resources import share_dir
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.records import read_records
from xrollout_ros.graph.monitor import observe
from xrollout_ros.graph.qos import EVENT

from ..checkpoints import make_checkpoint
from .arm_driver import SO100, START, arm_driver, spinning
from .conftest import Graph, wait_for, wait_for_policy_commands
from .people import SUCCESS, TOGGLE, Pad, Stream, in_mode, insist, screen, terminal

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]
Start = Callable[..., Graph]
TASK = "so100_pick_and_place"


def tags_of(data: Path, episode_id: str) -> dict[str, str]:
    [found] = [record for record in read_records(data).records if record.meta.episode_id == episode_id]
    return found.effective.tags


def test_a_leader_arm_gets_a_real_robot_without_a_jump_and_what_it_helped_with_is_not_the_policy_s(
    start_graph: Start, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(tmp_path / "so100.pt", robot_id="so100", task_id=TASK)
    task = yaml.safe_load((share_dir() / f"config/tasks/{TASK}.yaml").read_text())
    long = tmp_path / "long.yaml"
    long.write_text(yaml.safe_dump({**task, "time_limit_s": 120.0}))
    names = [dim.name for dim in SO100.actions]
    led = list(START)
    with spinning("leader") as node, observe() as observer, arm_driver() as driver:
        Stream(node, JointState, "/leader/joint_states", lambda: JointState(name=names, position=list(led)))
        pad = Pad(node)
        graph = start_graph("deploy", model=checkpoint, task=long, episodes=2, operator="so100_leader,joy")
        wait_for_policy_commands(observer, 1)
        insist(lambda: pad.press(TOGGLE), in_mode(observer, Mode.TELEOP, "leader+joy"), "the leader gets the robot")
        led[:] = [0.4, -0.5, 0.6, 0.0, 0.2, 1.0]
        wait_for(lambda: np.abs(np.subtract(driver.position, led)).max() < 0.01, 20, "the robot follows the leader")
        pad.press(TOGGLE)
        wait_for(in_mode(observer, Mode.AUTONOMOUS), 20, "the policy has the robot again")
        insist(lambda: pad.press(SUCCESS), lambda: "attempt 1/2" in graph.output(), "the attempt is marked")
        assert "0/1 succeeded, 1 helped" in graph.output()
        wait_for_policy_commands(observer, 2)
        [first] = [entry.meta for entry in graph.entries() if entry.meta is not None]
        wait_for(lambda: FAILURE_RECOVERY in tags_of(graph.data, first.episode_id), 20, "the tagger tags it")
        insist(lambda: pad.press(SUCCESS), lambda: graph.process.poll() is not None, "the second one is marked")
        assert graph.wait(30) == 0, graph.output()
    assert "done: 1 of 2 succeeded, 1 helped" in graph.output()
    episode, _ = graph.episodes()
    assert (episode.meta.outcome, episode.meta.outcome_reason) == (Outcome.SUCCESS, "leader+joy: joystick button 0")
    assert [span.operator for span in episode.meta.interventions] == ["leader+joy"]
    assert tags_of(graph.data, episode.meta.episode_id)[FAILURE_RECOVERY].endswith("leader+joy drove")
    driven = np.flatnonzero(episode.source == Source.OPERATOR)
    before, begun = episode.action[driven[0] - 1], episode.action[driven[0]]
    assert (np.abs(begun - before) <= SO100.max_rate * 0.1).all(), "it closes in, it does not jump"


def test_a_keyboard_in_the_graph_s_own_terminal_and_a_phone_that_joins_drive_one_after_the_other(
    start_graph: Start, checkpoint: Path, long_task: Path, ros_domain: dict[str, str], tmp_path: Path
) -> None:
    phone = tmp_path / "phone.yaml"
    phone.write_text("{source: pose, buttons_topic: /phone/buttons, clutch: 0, buttons: {toggle: 3, success: 4}}")
    at = [0.0]
    moving = False

    def pose() -> PoseStamped:
        at[0] += 0.004 if moving else 0.0
        message = PoseStamped()
        message.pose.position.x, message.pose.orientation.w = at[0], 1.0
        return message

    along_x: list[float] = []

    def on_command(message: Command) -> None:
        if message.source == Source.OPERATOR:
            along_x.append(message.action[0])

    with spinning("phone") as node, observe() as observer, screen() as (keys, slave, _):
        Stream(node, PoseStamped, "/phone/pose", pose)
        buttons = Pad(node, "/phone/buttons")
        node.create_subscription(Command, "/xrollout/command", on_command, EVENT)
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=1, operator="keyboard", stdin=slave)
        wait_for_policy_commands(observer, 1)
        assert "backspace rerecord" in graph.output(), "the keys are told where they are pressed"
        first = observer.model().episode
        assert first is not None

        def made_again() -> bool:
            episode = observer.model().episode
            return episode is not None and episode.episode_id != first.episode_id and episode.phase is Phase.RUNNING

        insist(lambda: os.write(keys, b"\x7f"), made_again, "backspace makes the attempt again")
        wait_for_policy_commands(observer, 1)
        insist(lambda: os.write(keys, b" "), in_mode(observer, Mode.TELEOP, "keyboard"), "space takes over")

        def driven() -> bool:
            os.write(keys, b"w")
            return max(along_x, default=0.0) > 0.05

        wait_for(driven, 20, "a key drives")
        os.write(keys, b" ")
        wait_for(in_mode(observer, Mode.AUTONOMOUS), 20, "space hands back")
        with terminal(ros_domain, str(phone), "pose"):
            taken = in_mode(observer, Mode.TELEOP, "pose")
            insist(lambda: buttons.press(0, 3), taken, "the phone's button takes over")
            along_x.clear()
            begun, moving = at[0], True
            wait_for(lambda: sum(along_x) > 5.0, 20, "the pose drives")
            insist(lambda: buttons.press(0, 4), lambda: graph.process.poll() is not None, "the attempt is marked")
            assert graph.wait(60) == 0, graph.output()
    [episode] = graph.episodes()
    assert (episode.meta.outcome, episode.meta.seed) == (Outcome.SUCCESS, first.seed)
    assert episode.meta.outcome_reason == "pose: button 4"
    assert "0/1 succeeded, 1 helped" in graph.output()
    assert first.episode_id in {path.name[-26:] for path in (graph.data / paths.TRASH).iterdir()}
    by_keys, by_phone = episode.meta.interventions
    assert (by_keys.operator, by_phone.operator) == ("keyboard", "pose")
    operated = episode.source == Source.OPERATOR
    for span in (by_keys, by_phone):
        during = operated & (episode.stamp_s >= span.begin_s) & (episode.stamp_s <= span.end_s)
        actions = episode.action[during]
        # Both move the hand along x alone, at the pace of whoever drives.
        assert len(actions), (span, episode.meta.interventions, episode.stamp_s[operated][[0, -1]])
        assert actions[:, 0].max() > 0 and actions[:, 0].min() >= 0 and not actions[:, 1:3].any(), span.operator
    assert actions[:, 0].sum() <= 100 * (at[0] - begun) + 1e-6, "no farther than the phone, cm"


@pytest.mark.skipif(not os.access("/dev/uinput", os.W_OK), reason="needs /dev/uinput")
def test_a_foot_pedal_takes_over_and_hands_back(
    start_graph: Start, checkpoint: Path, long_task: Path, tmp_path: Path
) -> None:
    evdev = pytest.importorskip("evdev")
    pedal_file = tmp_path / "pedal.yaml"
    pedal_file.write_text("{source: pedal, device: XRollout graph test, pedals: {KEY_B: toggle, KEY_C: success}}")
    with (
        evdev.UInput(name="XRollout graph test FootSwitch") as device,
        spinning("pad") as node,
        observe() as observer,
    ):

        def step_on(key: int) -> None:
            for value in (1, 0):
                device.write(evdev.ecodes.EV_KEY, key, value)
                device.syn()

        Pad(node)
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=1, operator=f"joy,{pedal_file}")
        wait_for_policy_commands(observer, 1)
        toggle = evdev.ecodes.KEY_B
        insist(lambda: step_on(toggle), in_mode(observer, Mode.TELEOP, "joy+pedal"), "the pedal takes over")
        step_on(toggle)
        wait_for(in_mode(observer, Mode.AUTONOMOUS), 20, "the pedal hands back")
        insist(lambda: step_on(evdev.ecodes.KEY_C), lambda: graph.process.poll() is not None, "the pedal marks")
        assert graph.wait(60) == 0, graph.output()
    [episode] = graph.episodes()
    assert [span.operator for span in episode.meta.interventions] == ["joy+pedal"]
    assert episode.meta.outcome is Outcome.SUCCESS
