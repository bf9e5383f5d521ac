"""However a graph ends, it leaves the report of what it made beside the bags."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xrollout_ros.core.episode import RUN, Outcome
from xrollout_ros.graph.monitor import observe
from xrollout_ros.ui.deployment import DeploymentReport
from xrollout_ros.ui.report import read_report

from .conftest import Graph, wait_for, wait_for_policy_commands

Start = Callable[..., Graph]
pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]


def report_of(graph: Graph) -> DeploymentReport:
    """The report that a graph has told of, which counts its bags."""
    path = Path(graph.output().rsplit("report: ", 1)[1].split("\n")[0])
    assert path.is_file() and path.parent.parent == graph.data / "reports"
    report = read_report(path.parent)
    assert {each.episode_id for each in report.attempts} == {each.meta.episode_id for each in graph.episodes()}
    assert {each.meta.parameters[RUN] for each in graph.episodes()} == {report.run}
    return report


def test_a_deployment_leaves_a_report_and_the_next_one_another(start_graph: Start, checkpoint: Path) -> None:
    graph = start_graph("deploy", model=checkpoint, episodes=2)
    assert graph.wait(90) == 0, graph.output()
    report = report_of(graph)
    assert report.rate.attempts == 2
    assert [policy.checkpoint for policy in report.policies] == [str(checkpoint)]
    assert all(each.failure_mode for each in report.attempts if each.outcome is Outcome.FAILURE)
    assert report.story.command.startswith("xrollout up deploy ")
    again = start_graph("record", data=graph.data, task="pick_and_place", episodes=1)
    assert again.wait(90) == 0, again.output()
    path = Path(again.output().rsplit("report: ", 1)[1].split("\n")[0])
    other = read_report(path.parent)
    assert (other.made, other.rate.successes) == ("demonstrations", 1)
    assert other.run != report.run
    assert len(list((graph.data / "reports").iterdir())) == 2


def test_an_interrupted_deployment_leaves_one_soon(
    start_graph: Start, checkpoint: Path, long_task: Path, ros_domain: dict[str, str]
) -> None:
    graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=3, drive="real_time")
    with observe() as observer:
        wait_for_policy_commands(observer, 1)
    begin_s = time.monotonic()
    graph.process.send_signal(signal.SIGINT)
    assert graph.wait(30) == 130, graph.output()
    assert time.monotonic() - begin_s < 20
    report = report_of(graph)
    assert [each.outcome for each in report.attempts] == [Outcome.ABORT]
    assert report.latency is not None and report.latency.commands > 0


def test_a_graph_whose_recorder_dies_again_and_again_leaves_one_that_names_the_torn_bags(
    start_graph: Start, checkpoint: Path, long_task: Path
) -> None:
    graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=3, drive="real_time")
    killed: set[int] = set()

    def kill_again() -> bool:
        pid = graph.pid_of("recorder") if graph.process.poll() is None else None
        if pid is not None and pid not in killed and list(graph.data.glob("*/*/*.mcap")):
            killed.add(pid)
            graph.kill("recorder")
        return graph.process.poll() is not None

    wait_for(kill_again, 90, "the starter gives up")
    assert graph.wait(30) != 0
    assert "died" in graph.output()
    path = Path(graph.output().rsplit("report: ", 1)[1].split("\n")[0])
    report = read_report(path.parent)
    assert report.not_read and "torn" in report.not_read[0].problem
    assert "cannot be read; if these were attempts, no figure here counts them" in graph.output()
