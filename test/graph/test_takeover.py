"""Takeover in whole graphs: a script stepped, a joystick and a terminal in real time, sources that are absent."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xrollout_ros.core.episode import EpisodeKind, Outcome, OutcomeSource
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.graph.monitor import observe
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.learning.dataset import load_training_set
from xrollout_ros.runtime.operators.scripted import TakeoverRule
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

from .arm_driver import spinning
from .conftest import COMMAND, Graph, wait_for, wait_for_policy_commands
from .people import DEAD_MAN, SUCCESS, TOGGLE, Pad, in_mode, terminal

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]
Start = Callable[..., Graph]


def test_a_scripted_takeover_is_the_same_in_the_graph_and_in_process_and_trains_with_demonstrations(
    start_graph: Start, checkpoint: Path, ros_domain: dict[str, str]
) -> None:
    robot, task = load_robot("metaworld_sawyer"), load_task("pick_and_place")
    graph = start_graph("deploy", model=checkpoint, episodes=2, seed=3, operator="scripted_at_step_40")
    assert graph.wait(90) == 0, graph.output()
    rule = TakeoverRule(at_step=40, for_steps=30)
    for episode in graph.episodes():
        operator = make_operator("scripted", robot, task, rule)
        attempt = run_attempt(
            make_sim_robot(robot, task),
            robot,
            episode.meta.seed or 0,
            "nominal",
            policy=load_policy(checkpoint),
            operator=operator,
        )
        assert attempt.actions.tobytes() == episode.action.tobytes()
        assert [command.source for command in attempt.commands] == list(episode.source)
        driven = np.flatnonzero(episode.source == Source.OPERATOR)
        assert driven[0] >= 40 and driven[-1] < 120 and len(driven) > 15
        assert (np.diff(driven) == 1).all()
        assert (episode.source[:40] == Source.POLICY).all()
        assert Source.POLICY in episode.source[driven[-1] :], "the policy goes on after it"
        assert (episode.meta.kind, episode.meta.operator) == (EpisodeKind.ATTEMPT, "metaworld")
        [span] = episode.meta.interventions
        assert span.operator == "metaworld"
        assert span.begin_s <= episode.stamp_s[driven[0]] + 1e-6 and span.end_s >= episode.stamp_s[driven[-1]] - 1e-6

    demonstrated = start_graph("record", data=graph.data, task="pick_and_place", episodes=1, seed=5)
    assert demonstrated.wait(90) == 0, demonstrated.output()
    merged = load_training_set(graph.data)
    made = {each.meta.episode_id: each for each in graph.episodes()}
    kinds = [made[episode.episode_id].meta.kind for episode in merged.episodes]
    assert sorted(kinds) == [EpisodeKind.ATTEMPT, EpisodeKind.ATTEMPT, EpisodeKind.DEMONSTRATION]
    for episode in merged.episodes:
        np.testing.assert_array_equal(episode.usable, made[episode.episode_id].source == Source.OPERATOR)

    words = ["record", "--task", "pick_and_place", "--episodes", "2", "--seed", "5", "--data", str(graph.data)]
    resumed = subprocess.run([*COMMAND, *words, "--resume"], env=ros_domain, capture_output=True, text=True, timeout=90)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "resuming: 1 of 2 demonstrations are there" in resumed.stdout
    assert "recorded 2 demonstrations" in resumed.stdout
    metas = [episode.meta for episode in graph.episodes()]
    seeds = [meta.seed or 0 for meta in metas if meta.kind is EpisodeKind.DEMONSTRATION]
    assert sorted(seeds) == [5, 6]


def test_people_take_over_with_a_joystick_and_from_another_terminal(
    start_graph: Start, checkpoint: Path, long_task: Path, ros_domain: dict[str, str]
) -> None:
    with spinning("pad") as node, observe() as observer:
        pad = Pad(node)
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=2, operator="joy")
        wait_for_policy_commands(observer, 1)
        pad.axes[1] = 1.0
        pad.pressed = {TOGGLE, DEAD_MAN}
        wait_for(in_mode(observer, Mode.TELEOP, "joy"), 10, "the joystick did not get the robot")
        wait_for(lambda: observer.model().command_source is Source.OPERATOR, 5, "no command of the operator")
        pad.pressed = {DEAD_MAN}
        time.sleep(0.3)  # drives for a while
        pad.pressed = {DEAD_MAN, TOGGLE}
        wait_for(in_mode(observer, Mode.AUTONOMOUS), 10, "the joystick did not hand back")
        wait_for(lambda: observer.model().command_source is Source.POLICY, 5, "the policy did not go on")
        pad.pressed = {SUCCESS}
        wait_for_policy_commands(observer, 2)
        pad.pressed = set()
        with terminal(ros_domain) as keys:
            os.write(keys, b" ")
            wait_for(in_mode(observer, Mode.TELEOP, "keyboard"), 10, "the keyboard did not get the robot")

            def driven() -> bool:
                os.write(keys, b"w")
                return observer.model().command_source is Source.OPERATOR

            wait_for(driven, 10, "no command of the keyboard")
            os.write(keys, b"0")
            assert graph.wait(60) == 0, graph.output()
    first, second = graph.episodes()
    assert (first.meta.outcome, first.meta.outcome_source) == (Outcome.SUCCESS, OutcomeSource.HUMAN)
    assert first.meta.outcome_reason == "joy: joystick button 0"
    assert (second.meta.outcome, second.meta.outcome_reason) == (Outcome.FAILURE, "keyboard: key 0")
    for episode, operator in ((first, "joy"), (second, "keyboard")):
        assert [span.operator for span in episode.meta.interventions] == [operator]
        assert {Source.POLICY, Source.OPERATOR} <= set(episode.source)
        commands = [item.message for item in episode.topic("/xrollout/teleop/command")]
        mine = [message for message in commands if message.operator_id == operator]
        assert mine and any(message.enabled for message in mine)
        # From the press on: what was sent first for the operator was made from what is recorded of them before.
        sent = [item for item in episode.topic("/xrollout/command") if item.message.source == Source.OPERATOR]
        given = [item.log_time_ns for item in episode.topic("/xrollout/teleop/command")]
        assert min(given) <= sent[0].log_time_ns, operator
        robot = load_robot("metaworld_sawyer")
        assert (episode.action >= robot.lower).all() and (episode.action <= robot.upper).all()
    ticks = [item.message for item in first.topic("/xrollout/command") if item.message.source == Source.OPERATOR]
    forward = np.array([tick.action[:3] for tick in ticks])
    assert forward[:, 0].max() > 0.9 and np.abs(forward[:, 1:]).max() == 0
    # It grows with time, it does not jump: after a tick that came late it may have grown for as long as that took.
    stamps_s = np.array([tick.stamp.sec + tick.stamp.nanosec * 1e-9 for tick in ticks])
    # The stamps are those of the sending, which is up to half a period away from the tick's own time.
    grown_s = np.diff(stamps_s) + 0.5e-9 * robot.control_period_ns
    assert (np.abs(np.diff(forward[:, 0])) <= grown_s / robot.safety.handover.ramp_s).all(), (forward[:5, 0], stamps_s)


def test_a_source_that_is_absent_ends_the_start_and_says_what_to_do(start_graph: Start, checkpoint: Path) -> None:
    graph = start_graph("deploy", model=checkpoint, episodes=1, operator="joy")
    assert graph.wait(100) == 6, graph.output()
    assert "the operator joy is configured, but nobody publishes /joy" in graph.output()
    assert "ros2 run joy joy_node" in graph.output()
    assert not graph.entries()


def test_nobody_joins_what_is_not_there_or_does_not_wait(
    start_graph: Start, checkpoint: Path, ros_domain: dict[str, str]
) -> None:
    def join() -> str:
        done = subprocess.run([*COMMAND, "teleop", "joy"], env=ros_domain, capture_output=True, text=True, timeout=60)
        assert done.returncode == 6
        return done.stderr

    assert "no graph was found within 10 s" in join()
    graph = start_graph("deploy", model=checkpoint, episodes=0)
    wait_for(lambda: "ready; call start_attempt" in graph.output(), 60, "the graph did not come up")
    assert "driven stepped: simulated time does not wait for a person" in join()
