"""An attempt that the graph recorded, replayed in process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from xrollout_ros.ui.cli import cli

from .conftest import Graph

pytestmark = [pytest.mark.graph, pytest.mark.timeout(120)]


@pytest.mark.parametrize(("engine", "delay"), [("rtc", 0), ("sync", 2)])
def test_what_the_graph_recorded_replays_bit_for_bit(
    start_graph: Callable[..., Graph], checkpoint: Path, engine: str, delay: int
) -> None:
    graph = start_graph("deploy", model=checkpoint, episodes=1, seed=21, start="wide", engine=engine, delay_steps=delay)
    assert graph.wait(90) == 0, graph.output()
    [entry] = graph.entries()
    told = json.loads(CliRunner().invoke(cli, ["replay", str(entry.path), "--json"]).output)["actions"]
    assert (told["same"], told["diverges_at"], told["same_outcome"], told["remarks"]) == (True, None, True, [])
    assert told["steps"] == len(graph.episodes()[0])
    # The first of the attempts from the same start is the recorded one.
    again = ["replay", str(entry.path), "--model", str(checkpoint), "--reproduce", "2", "--json"]
    found = json.loads(CliRunner().invoke(cli, again).output)["reproduction"]
    assert found["steps"][0] == told["steps"]
    assert (found["outcomes"][0], found["remarks"]) == (told["recorded_outcome"], [])
