"""The launch files with the real ``launch_ros``, and the graph asked with the real ``ros2`` command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed")
if shutil.which("ros2") is None:
    pytest.skip("the ros2 command is not installed", allow_module_level=True)

from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.episodes.bag_reader import verify
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.graph.arguments import argument_names
from xrollout_ros.graph.monitor import observe

from ..checkpoints import make_checkpoint
from ..graph.conftest import wait_for

pytestmark = [pytest.mark.ros2cli, pytest.mark.timeout(180)]
ASK = ["--no-daemon", "--spin-time", "5"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "checkpoint.pt")


class Launched:
    def __init__(self, process: subprocess.Popen[str], log: Path, data: Path) -> None:
        self.process, self.log, self.data = process, log, data

    def end(self, number: signal.Signals, timeout_s: float) -> int:
        os.killpg(self.process.pid, number)  # as Ctrl-C in a terminal: launch and all its processes at once
        return self.process.wait(timeout_s)


@pytest.fixture
def launch(ros_domain: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    started: list[Launched] = []

    def start(file: str, **arguments: object) -> Launched:
        log, data = tmp_path / f"launch{len(started)}.log", tmp_path / "data"
        words = [f"{name}:={value}" for name, value in {"data": data, **arguments}.items()]
        with log.open("w") as out:
            process = subprocess.Popen(
                ["ros2", "launch", "xrollout", file, *words],
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                env=ros_domain,
                start_new_session=True,
            )
        started.append(Launched(process, log, data))
        return started[-1]

    yield start
    for launched in started:
        if launched.process.poll() is None:
            os.killpg(launched.process.pid, signal.SIGKILL)


def ros2(*words: str, timeout_s: float = 60) -> str:
    done = subprocess.run(["ros2", *words], capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until_active(observer: object, count: int) -> None:
    wait_for(
        lambda: sum(node.lifecycle == "active" for node in observer.model().nodes) == count,  # type: ignore[attr-defined]
        60,
        f"{count} nodes are active",
    )


@pytest.mark.parametrize("graph", ["deploy", "record"])
def test_launch_takes_the_same_arguments_as_xrollout_up(graph: str, ros_domain: dict[str, str]) -> None:
    shown = ros2("launch", "xrollout", f"{graph}.launch.py", "--show-args")
    for name in argument_names(graph):  # type: ignore[arg-type]
        assert f"'{name}'" in shown


def test_deploy_runs_its_attempts_and_ends(launch: Callable[..., Launched], checkpoint: Path) -> None:
    launched = launch("deploy.launch.py", model=checkpoint, episodes=2)
    assert launched.process.wait(120) == 0, launched.log.read_text()
    entries = find_episodes(launched.data)
    assert len(entries) == 2
    for entry in entries:
        verify(entry.path)
    assert "process has died" not in launched.log.read_text()


def test_ros2_sees_the_graph(launch: Callable[..., Launched], checkpoint: Path) -> None:
    with observe() as observer:
        launch("deploy.launch.py", model=checkpoint, episodes=0)
        wait_until_active(observer, 5)
        assert ros2("lifecycle", "get", *ASK, "/xrollout/policy").startswith("active")
        nodes = ros2("node", "list", *ASK).split()
        assert {f"/xrollout/{name}" for name in ("policy", "supervisor", "recorder", "tagger", "manager")} <= set(nodes)
        echoed = ros2("topic", "echo", *ASK, "--once", "/xrollout/heartbeat")
        assert "incarnation:" in echoed
        state = ros2(
            "topic", "echo", *ASK, "--once", "--qos-durability", "transient_local", "--qos-reliability", "reliable",
            "/xrollout/supervisor/state",
        )  # fmt: skip
        assert "action_names:" in state
        answer = ros2("service", "call", "/xrollout/emergency_stop", "std_srvs/srv/Trigger")
        assert "success=True" in answer
        assert ros2("pkg", "executables", "xrollout").count("xrollout ") >= 8


def test_ctrl_c_closes_the_bag(launch: Callable[..., Launched], checkpoint: Path) -> None:
    with observe() as observer:
        launched = launch("deploy.launch.py", model=checkpoint, episodes=1000)
        wait_for(
            lambda: (m := observer.model()).command_rate_hz > 5 and m.recorder and m.recorder.recording, 60, "runs"
        )
        launched.end(signal.SIGINT, 15)
    entries = sorted(find_episodes(launched.data), key=lambda entry: entry.path.name)
    assert not [entry.problem for entry in entries if entry.problem]
    last = entries[-1].meta
    assert last is not None
    assert (last.outcome, last.outcome_source) == (Outcome.ABORT, OutcomeSource.SYSTEM)


def test_a_killed_node_is_brought_back(launch: Callable[..., Launched], checkpoint: Path) -> None:
    with observe() as observer:
        launched = launch("deploy.launch.py", model=checkpoint, episodes=0)
        wait_until_active(observer, 5)
        [first] = [node.incarnation for node in observer.model().nodes if node.name == "tagger"]
        found = subprocess.run(
            ["pgrep", "-g", str(launched.process.pid), "-f", "lib/xrollout/tagger"], capture_output=True, text=True
        )
        for pid in found.stdout.split():
            os.kill(int(pid), signal.SIGKILL)

        def back() -> bool:
            [tagger] = [node for node in observer.model().nodes if node.name == "tagger"]
            return tagger.incarnation != first and tagger.lifecycle == "active"

        wait_for(back, 30, "tagger is back")


def test_a_wrong_argument_starts_nothing_and_says_why(launch: Callable[..., Launched], tmp_path: Path) -> None:
    launched = launch("deploy.launch.py", model=tmp_path / "nowhere.pt")
    assert launched.process.wait(60) != 0
    assert "nowhere.pt" in launched.log.read_text()
    assert "process started" not in launched.log.read_text()
