"""Emergency stop by topic and dead-man switch in whole graphs: what stops, what holds, and what goes on when."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from xrollout.msg import SafetyEvent
from xrollout.srv import EndAttempt
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.graph.monitor import observe
from xrollout_ros.graph.qos import EVENT

from .arm_driver import call, spinning
from .conftest import Graph, wait_for, wait_for_policy_commands
from .people import Stream, in_mode, insist, safe_robot

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]
Start = Callable[..., Graph]
SWITCH = "/enabling"
PATIENT_S = 2.0
"""A switch on a busy machine may be late; a released one says so at once."""


class Switch:
    """An enabling switch, held down at first."""

    def __init__(self) -> None:
        self.held = True
        self.silent = False

    def message(self) -> Bool | None:
        return None if self.silent else Bool(data=self.held)


def test_an_emergency_stop_by_topic_or_by_the_dead_man_switch_is_left_by_a_reset_alone(
    start_graph: Start, checkpoint: Path, long_task: Path, tmp_path: Path
) -> None:
    dead_man = {"topic": SWITCH, "timeout_s": PATIENT_S, "severity": "stop"}
    robot = safe_robot(tmp_path / "robot.yaml", dead_man=dead_man)
    switch = Switch()
    with spinning("safety") as node, observe() as observer:
        Stream(node, Bool, SWITCH, switch.message)
        request = node.create_publisher(Bool, "/xrollout/emergency_stop_request", EVENT)
        graph = start_graph("deploy", model=checkpoint, robot=robot, task=long_task, episodes=4, drive="real_time")
        stopped = in_mode(observer, Mode.ESTOP)

        def waiting(times: int) -> None:
            wait_for(stopped, 20, "the robot is stopped")
            line = "emergency stop: waiting for reset_emergency_stop"
            wait_for(lambda: graph.output().count(line) == times, 30, "the next attempt waits")

        def reset() -> Trigger.Response:
            return call(node, Trigger, "reset_emergency_stop", Trigger.Request(), wait_for)

        wait_for_policy_commands(observer, 1)
        insist(lambda: request.publish(Bool(data=True)), stopped, "the topic stops the robot")
        waiting(1)
        request.publish(Bool(data=False))
        assert reset().success, "a false takes nothing back; the reset does"

        wait_for_policy_commands(observer, 2)
        switch.held = False
        waiting(2)
        refused = reset()
        assert not refused.success and "was released" in refused.message, refused.message
        switch.held = True
        wait_for(lambda: reset().success, 20, "the switch is held again: the reset is taken")

        wait_for_policy_commands(observer, 3)
        switch.silent = True
        waiting(3)
        refused = reset()
        assert not refused.success and "is silent" in refused.message, refused.message
        switch.silent = False
        wait_for(lambda: reset().success, 20, "the switch speaks again: the reset is taken")

        wait_for_policy_commands(observer, 4)
        graph.process.send_signal(signal.SIGINT)
        assert graph.wait(15) == 130, graph.output()
    episodes = graph.episodes()
    assert len(episodes) == 4
    checks = [{event.check for event in episode.meta.safety_events} for episode in episodes[:3]]
    assert "dead_man" not in checks[0] and "dead_man" in checks[1] & checks[2]
    for episode in episodes[:3]:
        assert (episode.meta.outcome, episode.meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SAFETY)
        commands = [item.message for item in episode.topic("/xrollout/command")]
        modes = [command.mode for command in commands]
        assert Mode.AUTONOMOUS in modes and Mode.ESTOP in modes
        after = commands[modes.index(Mode.ESTOP) :]
        assert {(command.mode, command.source) for command in after} == {(Mode.ESTOP, Source.HOLD)}


def test_a_dead_man_switch_that_only_holds_gives_the_robot_back_by_itself(
    start_graph: Start, checkpoint: Path, long_task: Path, tmp_path: Path
) -> None:
    dead_man = {"topic": SWITCH, "timeout_s": PATIENT_S, "severity": "hold"}
    robot = safe_robot(tmp_path / "robot.yaml", dead_man=dead_man, hold_abort_s=60.0)
    switch = Switch()
    with spinning("safety") as node, observe() as observer:
        Stream(node, Bool, SWITCH, switch.message)
        told: list[bool] = []

        def on_event(event: SafetyEvent) -> None:
            if event.check == "dead_man":
                told.append(event.began)

        node.create_subscription(SafetyEvent, "/xrollout/supervisor/event", on_event, EVENT)
        graph = start_graph("deploy", model=checkpoint, robot=robot, task=long_task, episodes=1, drive="real_time")
        wait_for_policy_commands(observer, 1)

        def told_and_driven(times: int, source: Source) -> Callable[[], bool]:
            return lambda: len(told) == times and observer.model().command_source is source

        # On a busy machine a policy that is late has the robot held too: the switch's own word tells.
        for number, let_go in enumerate(("held", "silent")):
            setattr(switch, let_go, let_go == "silent")
            wait_for(told_and_driven(2 * number + 1, Source.HOLD), 20, f"{let_go}: the robot is held")
            assert observer.model().mode is Mode.AUTONOMOUS
            setattr(switch, let_go, let_go == "held")
            wait_for(told_and_driven(2 * number + 2, Source.POLICY), 20, f"{let_go}: it goes on")
        ended = call(node, EndAttempt, "end_attempt", EndAttempt.Request(outcome="success"), wait_for)
        assert ended.accepted, ended.message
        assert graph.wait(60) == 0, graph.output()
    [episode] = graph.episodes()
    assert episode.meta.outcome is Outcome.SUCCESS
    kept = [event.began for event in episode.meta.safety_events if event.check == "dead_man"]
    assert kept == told == [True, False, True, False]
