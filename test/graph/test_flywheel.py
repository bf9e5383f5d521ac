"""The flywheel in the real graph: killed in each state, asked for by its action, and what it is compared by."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rclpy.action import ActionClient
from rclpy.node import Node

from xrollout.action import RunCycle
from xrollout.msg import FlywheelState
from xrollout.srv import StartAttempt
from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeKind
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import Ending, State
from xrollout_ros.graph.qos import LATCHED
from xrollout_ros.runtime.start_list import LIST, NUMBER

from ..checkpoints import make_checkpoint
from .arm_driver import call, spinning
from .conftest import COMMAND, Graph, wait_for

pytestmark = [pytest.mark.graph, pytest.mark.timeout(300)]
RECIPE = {
    "deploy": {"attempts": 3, "starts": ["nominal"]},
    "collect": {"first": 2, "demonstrations": 2, "candidates": 0},
    "stages": {"mining": 0.0, "active": 0.9, "auto_labels": 0.95},
    "train": {"options": {"epochs": 3}},
    "compare": {"rules": {"most": 3}, "workers": 1},
    "trigger": {"episodes": 2},
}
KILLED_IN = (State.DEPLOY, State.MINE, State.COLLECT, State.CURATE, State.TRAIN, State.VALIDATE)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(RECIPE))
    return path


def state_of(place: Place) -> State | None:
    newest = place.newest()
    return None if newest is None else newest.state


def test_the_manager_is_killed_in_each_state_and_the_cycle_is_none_the_worse(
    start_graph: Callable[..., Graph], checkpoint: Path, recipe: Path, tmp_path: Path
) -> None:
    place, data = Place(tmp_path / "flywheel", SystemClock()), tmp_path / "data"

    def start() -> Graph:
        given = {"model": checkpoint} if place.deployed() is None else {}
        return start_graph("flywheel", data=data, folder=place.root, recipe=recipe, until_cycle=1, **given)

    for state in KILLED_IN:
        graph = start()
        wait_for(lambda state=state: state_of(place) is state, 90, f"in {state.value}")
        graph.kill("manager")
        assert graph.wait(30) == -signal.SIGKILL % 256, graph.output()
        assert state_of(place) is state, "it was killed there"
    graph = start()
    assert graph.wait(150) == 0, graph.output()
    (record,) = place.records()
    assert record.ending is Ending.INCONCLUSIVE, record
    assert record.restarts == len(KILLED_IN)
    assert [each.state for each in record.transitions] == [*KILLED_IN, State.INCONCLUSIVE, State.DONE]
    # An attempt that was under way when the manager was killed is closed as aborted by the system, and made again.
    metas = [entry.meta for entry in graph.entries() if entry.meta is not None]
    made = Counter(
        (meta.parameters[LIST], meta.parameters[NUMBER]) for meta in metas if meta.outcome_source.value != "system"
    )
    assert set(made.values()) == {1}
    assert len(made) == 3 + 2
    kinds = Counter(meta.kind for meta in metas if meta.outcome_source.value != "system")
    assert kinds == {EpisodeKind.ATTEMPT: 3, EpisodeKind.DEMONSTRATION: 2}
    assert all(meta.policy_id == "" for meta in metas if meta.kind is EpisodeKind.DEMONSTRATION)
    assert all(meta.operator == "" for meta in metas if meta.kind is EpisodeKind.ATTEMPT)
    deployed = place.deployed()
    assert deployed is not None
    assert deployed.policy.checkpoint == str(checkpoint), "nothing was shown to be better"
    assert record.trained is not None
    assert Path(record.trained.policy.checkpoint).is_file()


def attempt(node: Node, seed: int) -> None:
    """Have the graph begin an attempt, after the one that is under way."""

    def asked() -> bool:
        request = StartAttempt.Request(seed=seed, start="nominal")
        return bool(call(node, StartAttempt, "start_attempt", request, wait_for).accepted)

    wait_for(asked, 30, f"an attempt from seed {seed}")


def result_of(future: Any, timeout_s: float, what: str) -> Any:
    wait_for(future.done, timeout_s, what)
    return future.result()


def test_a_cycle_is_asked_for_by_the_action_waits_for_attempts_and_is_cancelled(
    start_graph: Callable[..., Graph], checkpoint: Path, recipe: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "flywheel"
    graph = start_graph("flywheel", model=checkpoint, folder=folder, recipe=recipe, wait=True)
    with spinning("asks_for_a_cycle") as node:
        seen: list[str] = []
        told: list[FlywheelState] = []
        node.create_subscription(FlywheelState, "/xrollout/flywheel", told.append, LATCHED)
        asking = ActionClient(node, RunCycle, "/xrollout/run_cycle")
        wait_for(lambda: "the action run_cycle begins a cycle" in graph.output(), 60, "the graph is ready")
        assert asking.wait_for_server(30)
        bad = result_of(asking.send_goal_async(RunCycle.Goal(recipe="/nowhere.yaml")), 20, "an answer")
        assert not bad.accepted
        goal = RunCycle.Goal(demonstrations=1)
        handle = result_of(
            asking.send_goal_async(goal, feedback_callback=lambda got: seen.append(got.feedback.state)), 20, "an answer"
        )
        assert handle.accepted
        # It makes no attempts, and begins when others have made as many as the recipe says.
        for seed in (1, 2):
            assert set(seen) <= {"DEPLOY"}
            attempt(node, seed)
        wait_for(lambda: "TRAIN" in seen, 90, "it trains")
        other = result_of(asking.send_goal_async(RunCycle.Goal()), 20, "an answer")
        assert not other.accepted, "one at a time"
        canceling = handle.cancel_goal_async()
        result = result_of(handle.get_result_async(), 60, "the result").result
        assert result_of(canceling, 20, "an answer").goals_canceling
        assert result.ending == "" or result.stop == ""
        if result.stop:
            assert result.stop == "stopped"
            assert "flywheel run` goes on" in result.next_step
        # The same again goes on where it was, to its end.
        handle = result_of(asking.send_goal_async(RunCycle.Goal()), 20, "an answer")
        assert handle.accepted
        result = result_of(handle.get_result_async(), 120, "the result").result
        assert result.ending == "inconclusive", (result, graph.output())
        assert result.dataset_version
        wait_for(lambda: told and told[-1].ending == "inconclusive", 10, "everybody is told")
        assert told[-1].candidate_id
        assert told[-1].policy_id == result.policy_id
        asking.destroy()
    records = Place(folder, SystemClock()).records()
    assert [record.number for record in records] == [1]
    assert records[0].collected is not None
    assert records[0].collected.demonstrations == 1, "the goal's budget"
    assert records[0].deployed is not None
    assert records[0].deployed.attempts == 2
    assert "2 new attempts" in records[0].transitions[1].why
    os.kill(graph.process.pid, signal.SIGINT)
    graph.wait(20)


def test_policies_are_compared_in_the_graph_as_in_process(
    ros_domain: dict[str, str], checkpoint: Path, tmp_path: Path
) -> None:
    other = make_checkpoint(tmp_path / "other.pt", 0.0)
    compare = ["compare", checkpoint, other, "--trials", 2, "--start", "nominal", "--data", tmp_path / "data"]

    def run(*more: object) -> dict[str, Any]:
        words = [*COMMAND, *map(str, (*compare, *more, "--json"))]
        done = subprocess.run(words, env=ros_domain, capture_output=True, text=True, timeout=120)
        assert done.returncode == 21, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    graph = run("--in", "graph", "--output", tmp_path / "graph")
    process = run("--in", "process", "--output", tmp_path / "process")
    for one, two in zip(graph["trials"], process["trials"], strict=True):
        same = {name: one[name] for name in ("pair", "arm", "start", "seed", "outcome")}
        assert same == {name: two[name] for name in same}
        assert one["episode_id"]
        assert not two["episode_id"]
    again = time.monotonic()
    assert run("--in", "graph", "--output", tmp_path / "graph")["trials"] == graph["trials"]
    assert time.monotonic() - again < 60
