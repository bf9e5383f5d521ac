"""The whole graph: demonstrations, attempts, determinism, what is on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader as RosbagsReader

from xrollout_ros.core.episode import EpisodeKind, Outcome, OutcomeSource
from xrollout_ros.core.modes import Source
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

from ..checkpoints import make_checkpoint
from .conftest import Graph

Start = Callable[..., Graph]
pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]


def check_bag(path: Path) -> None:
    """Two libraries that are not ours read it whole, and metadata.yaml agrees with it."""
    info = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    with next(path.glob("*.mcap")).open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        messages = [(schema, channel, message) for schema, channel, message in reader.iter_messages()]
        for schema in reader.get_summary().schemas.values():  # type: ignore[union-attr]
            assert schema.encoding == "ros2msg"
            assert schema.data, schema.name
    times = [message.log_time for _, _, message in messages]
    assert info["message_count"] == len(messages)
    assert info["starting_time"]["nanoseconds_since_epoch"] == min(times)
    assert info["duration"]["nanoseconds"] == max(times) - min(times)
    counts = {entry["topic_metadata"]["name"]: entry["message_count"] for entry in info["topics_with_message_count"]}
    for topic, count in counts.items():
        assert count == sum(channel.topic == topic for _, channel, _ in messages), topic
    with RosbagsReader(path) as rosbag:
        assert rosbag.message_count == len(messages)
        read = [(connection.topic, time, bytes(data)) for connection, time, data in rosbag.messages()]
    key = lambda item: (item[1], item[0], item[2])  # noqa: E731
    own = [(channel.topic, message.log_time, bytes(message.data)) for _, channel, message in messages]
    assert sorted(read, key=key) == sorted(own, key=key)


def test_demonstrations_are_recorded_and_equal_the_in_process_loop(start_graph: Start) -> None:
    graph = start_graph("record", task="pick_and_place", episodes=2, seed=5)
    assert graph.wait(90) == 0, graph.output()
    robot, task = load_robot("metaworld_sawyer"), load_task("pick_and_place")
    episodes = graph.episodes()
    assert [episode.meta.seed for episode in episodes] == [5, 6]
    for entry, episode in zip(graph.entries(), episodes, strict=True):
        check_bag(entry.path)
        meta = episode.meta
        assert (meta.kind, meta.outcome, meta.outcome_source) == (
            EpisodeKind.DEMONSTRATION,
            Outcome.SUCCESS,
            OutcomeSource.ROBOT,
        )
        assert meta.tags == ["bootstrap"]
        assert set(episode.source) == {Source.OPERATOR}
        assert all(count.lost == 0 for count in meta.topics.values())
        [span] = meta.interventions
        assert (span.operator, span.begin_s) == ("metaworld", 0.0)
        sim, operator = make_sim_robot(robot, task), make_operator("scripted", robot, task)
        attempt = run_attempt(sim, robot, meta.seed or 0, meta.start, operator=operator)
        np.testing.assert_array_equal(attempt.actions, episode.action)
        np.testing.assert_array_equal(np.array(attempt.states), episode.state)
        np.testing.assert_allclose(episode.stamp_s, np.arange(len(episode)) / robot.control_rate_hz, atol=1e-9)


def test_a_seed_gives_the_same_attempt_twice_in_the_graph_and_in_process(start_graph: Start, checkpoint: Path) -> None:
    robot, task = load_robot("metaworld_sawyer"), load_task("pick_and_place")
    first = start_graph("deploy", model=checkpoint, episodes=2, seed=11, start="wide")
    assert first.wait(90) == 0, first.output()
    # The other order of attempts: what came before must not matter.
    second = start_graph("deploy", model=checkpoint, episodes=1, seed=12, start="wide")
    assert second.wait(90) == 0, second.output()
    again = {episode.meta.seed: episode for episode in second.episodes()}[12]
    for episode in first.episodes():
        assert episode.meta.outcome in (Outcome.FAILURE, Outcome.SUCCESS)
        attempt = run_attempt(
            make_sim_robot(robot, task), robot, episode.meta.seed or 0, "wide", policy=load_policy(checkpoint)
        )
        assert attempt.actions.tobytes() == episode.action.tobytes()
        if episode.meta.seed == 12:
            assert again.action.tobytes() == episode.action.tobytes()
            assert again.state.tobytes() == episode.state.tobytes()


@pytest.mark.parametrize(("engine", "max_prefix"), [("rtc", 4), ("rtc", 0), ("temporal_ensembling", 0)])
def test_simulated_inference_delay_is_the_same_in_the_graph_and_in_process(
    start_graph: Start, tmp_path: Path, engine: str, max_prefix: int
) -> None:
    """With a prefix as learned, with guidance, and with neither."""
    robot, task = load_robot("metaworld_sawyer"), load_task("pick_and_place")
    checkpoint = make_checkpoint(tmp_path / "random.pt", max_prefix=max_prefix)
    graph = start_graph("deploy", model=checkpoint, episodes=1, seed=3, engine=engine, delay_steps=3)
    assert graph.wait(90) == 0, graph.output()
    [episode] = graph.episodes()
    attempt = run_attempt(
        make_sim_robot(robot, task), robot, 3, "nominal", policy=load_policy(checkpoint), engine=engine, delay_steps=3
    )
    assert attempt.actions.tobytes() == episode.action.tobytes()
    assert list(episode.source[:4]) == [Source.HOLD] * 3 + [Source.POLICY]
    assert episode.meta.parameters["engine"] == engine
    [entry] = graph.entries()
    chunks = [found.message for found in open_bag(entry.path).messages(["/xrollout/chunk"])]
    sent = [chunk for chunk in chunks if len(chunk.data)][1:]
    assert {chunk.prefix_length for chunk in sent} == ({3} if engine == "rtc" else {0})
    assert all("chunk_consistency" in chunk.score_names for chunk in sent)


def test_every_failed_attempt_is_tagged(start_graph: Start, checkpoint: Path) -> None:
    from xrollout_ros.episodes import journal

    graph = start_graph("deploy", model=checkpoint, episodes=2)
    assert graph.wait(90) == 0, graph.output()
    entries = journal.read(graph.data / "journal.jsonl").entries
    failed = {episode.meta.episode_id for episode in graph.episodes() if episode.meta.outcome is Outcome.FAILURE}
    assert failed
    assert failed == {entry.episode_id for entry in entries}


def test_real_time_drive_runs_at_the_control_rate(start_graph: Start, checkpoint: Path) -> None:
    graph = start_graph("deploy", model=checkpoint, episodes=1, drive="real_time")
    assert graph.wait(90) == 0, graph.output()
    [episode] = graph.episodes()
    assert episode.meta.outcome_source is OutcomeSource.TIME_LIMIT
    assert episode.meta.duration_s == pytest.approx(load_task("pick_and_place").time_limit_s, abs=0.5)
    driven = episode.source == Source.POLICY
    assert driven.mean() > 0.5
    chunks = [found.message for found in open_bag(graph.entries()[0].path).messages(["/xrollout/chunk"])]
    assert any(chunk.prefix_length > 0 for chunk in chunks), "real-time chunking goes on from what is played"
    period_s = np.median(np.diff(episode.stamp_s))
    assert period_s == pytest.approx(1 / load_robot("metaworld_sawyer").control_rate_hz, rel=0.1)
    check_bag(graph.entries()[0].path)


def test_strategy_base_records_nothing(start_graph: Start, checkpoint: Path) -> None:
    graph = start_graph("deploy", model=checkpoint, episodes=1, strategy="base")
    assert graph.wait(90) == 0, graph.output()
    assert graph.entries() == []
    assert "attempt 1/1" in graph.output()
