"""Recording strategies in the whole graph: highlights, attempts made again, runs resumed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from xrollout.msg import OperatorRequest
from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.core.modes import Phase, Request
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.catalog.api import FOLDER
from xrollout_ros.episodes.catalog.live import FILE
from xrollout_ros.graph.monitor import GraphObserver, observe
from xrollout_ros.graph.qos import EVENT

from .conftest import Graph, wait_for, wait_for_policy_commands

Start = Callable[..., Graph]
pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]


class Person:
    """Somebody with a keyboard beside the graph."""

    def __init__(self, context: Context) -> None:
        self.node = Node("person", namespace="xrollout", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._requests = self.node.create_publisher(OperatorRequest, "request", EVENT)
        self._highlight = self.node.create_client(Trigger, "save_highlight")

    def highlight(self) -> Any:
        assert self._highlight.wait_for_service(20)
        future = self._highlight.call_async(Trigger.Request())
        self._executor.spin_until_future_complete(future, 30)
        assert future.done()
        return future.result()

    def request(self, request: Request) -> None:
        # The manager and the supervisor hear requests; the recorder does too, unless nothing is recorded.
        wait_for(lambda: self._requests.get_subscription_count() >= 2, 20, "somebody hears requests")
        self._requests.publish(OperatorRequest(request=int(request), operator_id="anna"))


@contextmanager
def person() -> Iterator[Person]:
    context = Context()
    rclpy.init(context=context)
    someone = Person(context)
    try:
        yield someone
    finally:
        someone.node.destroy_node()
        rclpy.try_shutdown(context=context)


def clips(graph: Graph) -> list[Path]:
    found = [entry for entry in graph.entries() if entry.meta is not None]
    return [entry.path for entry in found if entry.meta and entry.meta.kind is EpisodeKind.CLIP]


def phase(observer: GraphObserver, number: int, wanted: Phase) -> Callable[[], bool]:
    def reached() -> bool:
        episode = observer.model().episode
        return episode is not None and (episode.number, episode.phase) == (number, wanted)

    return reached


def test_a_highlight_is_saved_during_an_attempt_whose_bag_is_whole(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=1, drive="real_time")
    with observe() as observer, person() as someone:
        wait_for_policy_commands(observer, 1)
        answers = [someone.highlight(), someone.highlight()]
        assert all(answer.success for answer in answers), answers
        someone.request(Request.MARK_SUCCESS)
        assert graph.wait(60) == 0, graph.output()
    saved = clips(graph)
    assert [str(path) in answer.message for path, answer in zip(saved, answers, strict=True)] == [True, True]
    [attempt] = [entry for entry in graph.entries() if entry.path not in saved]
    assert attempt.meta is not None
    assert all(count.lost == 0 for count in attempt.meta.topics.values())
    assert attempt.meta.outcome is Outcome.SUCCESS
    verify(attempt.path)
    for path in saved:
        topics = verify(path).topics
        assert topics["/xrollout/command"] > 10
        assert topics["/xrollout/episode"] >= 1 and topics["/xrollout/supervisor/state"] >= 1
        meta = open_bag(path).meta
        assert meta.parameters["episode_id"] == attempt.meta.episode_id
        assert meta.policy_id == attempt.meta.policy_id


@pytest.mark.parametrize("strategy", ["base", "highlight"])
def test_strategies_that_keep_no_attempt_can_save_a_highlight(
    start_graph: Start, checkpoint: Path, long_task: Path, strategy: str
) -> None:
    graph = start_graph(
        "deploy", model=checkpoint, task=long_task, episodes=1, drive="real_time", strategy=strategy, ring_seconds=2
    )
    with observe() as observer, person() as someone:
        wait_for_policy_commands(observer, 1)
        answer = someone.highlight()
        assert answer.success, answer.message
        someone.request(Request.MARK_FAILURE)
        assert graph.wait(60) == 0, graph.output()
    [path] = clips(graph)
    assert len(graph.entries()) == 1
    assert verify(path).topics["/xrollout/command"] > 10
    assert open_bag(path).meta.duration_s < 4
    connection = sqlite3.connect(graph.data / FOLDER / FILE)
    assert connection.execute("SELECT path, kind, attempt FROM episodes").fetchall() == [
        (str(path.relative_to(graph.data)), "clip", 0)
    ]
    connection.close()


def test_an_attempt_is_made_again_with_its_seed_while_it_runs_and_after_it(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    graph = start_graph(
        "deploy", model=checkpoint, task=long_task, episodes=2, seed=40, drive="real_time", reset_seconds=3600
    )
    with observe() as observer, person() as someone:
        wait_for_policy_commands(observer, 1)
        first = observer.model().episode
        assert first is not None
        someone.request(Request.RERECORD)  # while it runs

        def another() -> bool:
            episode = observer.model().episode
            return episode is not None and episode.episode_id != first.episode_id and episode.phase is Phase.RUNNING

        wait_for(another, 30, "the attempt is made again")
        wait_for_policy_commands(observer, 1)
        someone.request(Request.MARK_SUCCESS)
        wait_for(phase(observer, 1, Phase.CLOSED), 30, "attempt 1 is closed")
        second = observer.model().episode
        assert second is not None and second.seed == first.seed == 40
        someone.request(Request.RERECORD)  # after its end, while the scene is put right
        wait_for(lambda: (now := observer.model().episode) and now.episode_id != second.episode_id, 30, "again")
        wait_for_policy_commands(observer, 1)
        someone.request(Request.MARK_FAILURE)
        wait_for(phase(observer, 1, Phase.CLOSED), 30, "attempt 1 is closed once more")
    metas = [entry.meta for entry in graph.entries()]
    assert [(meta.seed, meta.outcome) for meta in metas if meta] == [(40, Outcome.FAILURE)]
    trash = sorted((graph.data / paths.TRASH).iterdir())
    assert {path.name[-26:] for path in trash} == {first.episode_id, second.episode_id}


def test_a_run_is_resumed_where_it_was_left(start_graph: Start, checkpoint: Path) -> None:
    first = start_graph("deploy", model=checkpoint, episodes=2, seed=7)
    assert first.wait(90) == 0, first.output()
    before = {entry.path: entry.bytes for entry in first.entries()}
    again = start_graph("deploy", data=first.data, model=checkpoint, episodes=3, seed=7, resume="true")
    assert again.wait(90) == 0, again.output()
    assert "resuming: 2 of 3 attempts are there" in again.output()
    assert "attempt 3/3 seed 9" in again.output()
    after = {entry.path: entry for entry in again.entries()}
    assert {path: entry.bytes for path, entry in after.items() if path in before} == before
    assert sorted(entry.meta.seed or 0 for entry in after.values() if entry.meta) == [7, 8, 9]
    done = start_graph("deploy", data=first.data, model=checkpoint, episodes=3, seed=7, resume="true")
    assert done.wait(90) == 0, done.output()
    assert len(done.entries()) == 3


def test_bags_are_uploaded_and_neither_a_dead_place_nor_a_dead_uploader_is_noticed_by_the_robot(
    start_graph: Start, checkpoint: Path, long_task: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.write_text("a file where the folder should be")
    graph = start_graph(
        "deploy", model=checkpoint, task=long_task, episodes=2, drive="real_time", strategy="sentry", upload=there
    )
    with observe() as observer, person() as someone:
        wait_for_policy_commands(observer, 1)
        someone.request(Request.MARK_SUCCESS)
        wait_for_policy_commands(observer, 2)

        def told() -> bool:
            recorder = observer.model().recorder
            return recorder is not None and recorder.upload_queue == 1 and "there" in recorder.upload_error

        wait_for(told, 60, "the operator sees that uploading fails")
        graph.kill("uploader")
        there.unlink()
        # Another one takes up the queue, and the attempt goes on meanwhile.
        wait_for(lambda: list(there.glob("*/*/metadata.yaml")), 60, "the bag is uploaded")
        assert observer.model().episode is not None
        assert phase(observer, 2, Phase.RUNNING)()
        someone.request(Request.MARK_SUCCESS)
        assert graph.wait(60) == 0, graph.output()
    [copy] = [path.parent for path in there.glob("*/*/metadata.yaml")]
    [first, second] = [entry.path for entry in graph.entries()]
    assert copy.name == first.name
    verify(copy)
    assert first.is_dir() and second.is_dir()
