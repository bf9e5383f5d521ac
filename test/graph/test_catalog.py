"""The catalog beside a running graph."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from xrollout_ros.core.episode import Outcome
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.episodes.catalog.live import FILE
from xrollout_ros.episodes.catalog.query import Question

from .conftest import Graph

Start = Callable[..., Graph]
pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]


def test_the_recorder_registers_each_bag_and_the_tagger_s_word_follows(start_graph: Start, checkpoint: Path) -> None:
    graph = start_graph("deploy", model=checkpoint, episodes=2)
    assert graph.wait(90) == 0, graph.output()
    episodes = {episode.meta.episode_id: episode.meta for episode in graph.episodes()}
    connection = sqlite3.connect(f"{(graph.data / FOLDER / FILE).absolute().as_uri()}?mode=ro", uri=True)
    registered = {name for (name,) in connection.execute("SELECT episode_id FROM episodes")}
    connection.close()
    assert registered <= set(episodes)  # what was not done when the recorder ended is done before the next question
    with Catalog(graph.data) as catalog:
        assert catalog.update().read == len(episodes) - len(registered)
        assert set(catalog.ids([])) == set(episodes)
        (group,) = catalog.groups(Question())
        assert set(group.episodes) == set(episodes)
        failed = [name for name, meta in episodes.items() if meta.outcome is Outcome.FAILURE]
        assert failed
        assert set(catalog.episodes(["failure!="])["episode_id"].to_pylist()) == set(failed)


def test_a_catalog_that_is_down_delays_that_and_loses_nothing(
    start_graph: Start, checkpoint: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / FOLDER).write_text("in the way")
    graph = start_graph("deploy", data=data, model=checkpoint, episodes=2)
    assert graph.wait(90) == 0, graph.output()
    assert len(graph.episodes()) == 2
    assert "the catalog is behind" in graph.output()
    (data / FOLDER).unlink()
    with Catalog(data) as catalog:
        assert catalog.update().episodes == 2
