"""Whole graphs in processes of their own, on a private ROS domain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from xrollout_ros.core.modes import Phase, Source
from xrollout_ros.core.resources import share_dir
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.store import EpisodeEntry, find_episodes
from xrollout_ros.graph.monitor import GraphObserver
from xrollout_ros.graph.nursery import made_by

from ..checkpoints import make_checkpoint

COMMAND = [sys.executable, "-c", "from xrollout_ros.ui.cli import main; main()"]


def wait_for(done: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Wait for a condition; gives its value."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := done()):
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.005)
    return value


def wait_for_policy_commands(observer: GraphObserver, number: int) -> None:
    """Until the policy drives in attempt ``number``."""

    def driving() -> bool:
        model = observer.model()
        return (
            model.episode is not None
            and (model.episode.number, model.episode.phase) == (number, Phase.RUNNING)
            and model.command_source is Source.POLICY
            and model.command_rate_hz > 20
        )

    wait_for(driving, 60, f"the policy drives attempt {number}")


@dataclass
class Graph:
    """A graph started by ``xrollout up``."""

    process: subprocess.Popen[str]
    data: Path
    log: Path
    ended: bool = field(default=False)

    def output(self) -> str:
        return self.log.read_text()

    def pid_of(self, node: str) -> int | None:
        """Process id of a node, or of the nursery."""
        return made_by(self.process.pid).get(node)

    def kill(self, node: str, number: signal.Signals = signal.SIGKILL) -> None:
        pid = self.pid_of(node)
        assert pid is not None, f"{node} is not running"
        os.kill(pid, number)

    def wait(self, timeout_s: float) -> int:
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the graph did not end within {timeout_s:g} s:\n{self.output()}")
        self.ended = True
        return status

    def entries(self) -> list[EpisodeEntry]:
        return sorted(find_episodes(self.data), key=lambda entry: entry.path.name)

    def episodes(self) -> list[EpisodeData]:
        return [read_episode(entry.path) for entry in self.entries()]


@pytest.fixture
def start_graph(ros_domain: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Graph]]:
    """Start a graph: ``start_graph("deploy", model=..., episodes=2)``."""
    started: list[Graph] = []

    def start(graph: str, data: Path | None = None, stdin: int | None = None, **arguments: object) -> Graph:
        folder = data or tmp_path / f"data{len(started)}"
        log = tmp_path / f"graph{len(started)}.log"
        words = [f"{name}:={value}" for name, value in arguments.items()]
        with log.open("w") as out:
            process = subprocess.Popen(
                [*COMMAND, "up", graph, f"data:={folder}", *words],
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                env=ros_domain,
                cwd=tmp_path,
            )
        started.append(Graph(process, folder, log))
        return started[-1]

    yield start
    for graph in started:
        if graph.process.poll() is None:
            graph.process.send_signal(signal.SIGINT)
            try:
                graph.process.wait(10)
            except subprocess.TimeoutExpired:
                graph.process.kill()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with random weights: enough wherever what it does is of no matter."""
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "random.pt")


def pick_and_place(path: Path, time_limit_s: float) -> Path:
    """Write the task with another time limit."""
    task = yaml.safe_load((share_dir() / "config/tasks/pick_and_place.yaml").read_text())
    task["time_limit_s"] = time_limit_s
    path.write_text(yaml.safe_dump(task))
    return path


@pytest.fixture
def long_task(tmp_path: Path) -> Path:
    """pick_and_place with a time limit that no test waits for."""
    return pick_and_place(tmp_path / "long_task.yaml", 60.0)
