"""The running graph's topics and services, seen from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from xrollout.msg import OperatorRequest
from xrollout.srv import EndAttempt, StartAttempt
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.modes import Mode, Phase, Source
from xrollout_ros.graph.monitor import GraphObserver, observe
from xrollout_ros.graph.probes import check_qos
from xrollout_ros.graph.qos import EVENT
from xrollout_ros.graph.topics import OWN, resolve

from .conftest import Graph, wait_for, wait_for_policy_commands

Start = Callable[..., Graph]
pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]


@contextmanager
def client_node() -> Iterator[tuple[Node, Callable[..., Any]]]:
    context = Context()
    rclpy.init(context=context)
    node = Node("test_client", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def call(kind: Any, name: str, request: Any) -> Any:
        client = node.create_client(kind, f"/xrollout/{name}")
        assert client.wait_for_service(20), name
        future = client.call_async(request)
        executor.spin_until_future_complete(future, 20)
        assert future.done(), name
        return future.result()

    try:
        yield node, call
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def up(observer: GraphObserver, count: int) -> None:
    active = lambda: sum(node.lifecycle == "active" for node in observer.model().nodes) == count  # noqa: E731
    wait_for(active, 60, f"{count} nodes are active")


def running(observer: GraphObserver, number: int) -> None:
    def check() -> bool:
        episode = observer.model().episode
        return episode is not None and (episode.number, episode.phase) == (number, Phase.RUNNING)

    wait_for(check, 60, f"attempt {number} runs")


def closed(observer: GraphObserver, number: int) -> None:
    def check() -> bool:
        episode = observer.model().episode
        return episode is not None and (episode.number, episode.phase) == (number, Phase.CLOSED)

    wait_for(check, 30, f"attempt {number} is closed")


def test_attempts_on_request_marks_and_emergency_stop(start_graph: Start, checkpoint: Path, long_task: Path) -> None:
    with observe() as observer, client_node() as (_, call):
        graph = start_graph("deploy", model=checkpoint, task=long_task, drive="real_time", episodes=0)
        up(observer, 5)
        assert not call(EndAttempt, "end_attempt", EndAttempt.Request(outcome="success")).accepted
        refused = call(StartAttempt, "start_attempt", StartAttempt.Request(seed=1, start="nowhere"))
        assert not refused.accepted
        assert "nominal" in refused.reason

        accepted = call(StartAttempt, "start_attempt", StartAttempt.Request(seed=7, start="wide"))
        assert accepted.accepted
        wait_for_policy_commands(observer, 1)
        assert not call(StartAttempt, "start_attempt", StartAttempt.Request(seed=8)).accepted
        assert not call(EndAttempt, "end_attempt", EndAttempt.Request(outcome="splendid")).accepted
        assert call(EndAttempt, "end_attempt", EndAttempt.Request(outcome="success", reason="seen")).accepted
        closed(observer, 1)

        assert call(StartAttempt, "start_attempt", StartAttempt.Request(seed=-1)).accepted
        wait_for_policy_commands(observer, 2)
        assert not call(Trigger, "reset_emergency_stop", Trigger.Request()).success
        assert call(Trigger, "emergency_stop", Trigger.Request()).success
        wait_for(lambda: observer.model().mode is Mode.ESTOP, 5, "ESTOP")
        closed(observer, 2)
        assert observer.model().mode is Mode.ESTOP
        assert "emergency stop" in call(StartAttempt, "start_attempt", StartAttempt.Request(seed=9)).reason
        assert call(Trigger, "reset_emergency_stop", Trigger.Request()).success
        wait_for(lambda: observer.model().mode is Mode.HOLD, 5, "HOLD after the reset")
        graph.process.send_signal(2)
        assert graph.wait(10) == 130

    first, second = graph.episodes()
    assert (first.meta.seed, first.meta.start, first.meta.episode_id) == (7, "wide", accepted.episode_id)
    assert (first.meta.outcome, first.meta.outcome_source) == (Outcome.SUCCESS, OutcomeSource.HUMAN)
    assert (second.meta.outcome, second.meta.outcome_source) == (Outcome.ABORT, OutcomeSource.SAFETY)
    stopped = second.mode == Mode.ESTOP
    assert stopped.any()
    assert set(second.source[stopped]) == {Source.HOLD}


def test_a_transition_that_there_is_not_is_refused_and_harms_nobody(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    with observe() as observer, client_node() as (_, call):
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=1)
        wait_for_policy_commands(observer, 1)
        for name in ("supervisor", "recorder"):
            configure = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
            assert not call(ChangeState, f"{name}/change_state", configure).success
            assert (
                call(GetState, f"{name}/get_state", GetState.Request()).current_state.id == State.PRIMARY_STATE_ACTIVE
            )
        graph.process.send_signal(2)
        assert graph.wait(10) == 130
    assert graph.output().count("transition 1 refused: the node is active") == 2


@pytest.mark.parametrize("drive", ["stepped", "real_time"])
def test_no_qos_mismatch_and_no_unexpected_topic(
    start_graph: Start, checkpoint: Path, long_task: Path, drive: str
) -> None:
    with observe() as observer, client_node() as (node, _):
        start_graph("deploy", model=checkpoint, task=long_task, drive=drive, episodes=1)
        running(observer, 1)
        # Discovery by the test's own node takes its time.
        wait_for(lambda: check_qos(node).own_pairs > 20, 20, "the graph is discovered")
        report = check_qos(node)
        assert report.mismatches == ()
        known = {resolve(topic.name) for topic in OWN}
        ours = {topic for topic, _ in node.get_topic_names_and_types() if topic.startswith("/xrollout/")}
        assert {topic for topic in ours if not topic.endswith("transition_event")} <= known


def test_a_discarded_attempt_lies_in_the_trash_and_counts_nowhere(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    with observe() as observer, client_node() as (node, call):
        graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=0)
        up(observer, 5)
        requests = node.create_publisher(OperatorRequest, "/xrollout/request", EVENT)
        assert call(StartAttempt, "start_attempt", StartAttempt.Request(seed=7)).accepted
        running(observer, 1)
        wait_for(lambda: requests.get_subscription_count() >= 2, 10, "manager and supervisor listen")
        requests.publish(OperatorRequest(request=OperatorRequest.DISCARD, operator_id="anna", reason="covered"))
        closed(observer, 1)
        assert observer.model().successes == 0
        graph.process.send_signal(2)
        assert graph.wait(10) == 130
    assert graph.entries() == []
    assert len(list((graph.data / ".trash").iterdir())) == 1
    assert "has no tag" not in graph.output()
