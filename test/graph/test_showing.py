"""A bag in RViz and Foxglove's layout, with a real bag of the graph and a real subscriber."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rosgraph_msgs.msg import Clock
from visualization_msgs.msg import MarkerArray

from xrollout_ros.core.clock import NS
from xrollout_ros.episodes.raw_bag import RawBag, open_raw
from xrollout_ros.graph.qos import EVENT
from xrollout_ros.ui.viewers import layouts
from xrollout_ros.ui.viewers.annotated import OPENED

from ..checkpoints import make_checkpoint
from ..message_paths import paths_of, resolve
from .conftest import COMMAND, Graph, wait_for

pytestmark = pytest.mark.graph
NOT_ALWAYS = {"/rosout", "/diagnostics", "/robot_description"}
"""Topics of the layout on which nothing may be said during a short attempt."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("policy") / "policy.pt")


@pytest.fixture
def bag(start_graph: Callable[..., Graph], policy: Path) -> RawBag:
    graph = start_graph("deploy", model=policy, episodes=1)
    assert graph.wait(90) == 0, graph.output()
    return open_raw(graph.entries()[0].path)


@pytest.fixture
def viewer(tmp_path: Path, ros_domain: dict[str, str]) -> dict[str, str]:
    """An environment in which `rviz2` is a program that writes down how it was called, and stays."""
    program = tmp_path / "bin" / "rviz2"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'cp "$2" {tmp_path}/config\n'
        f'echo "$@" > {tmp_path}/words\n'
        f"echo $$ $ROS_DOMAIN_ID $ROS_AUTOMATIC_DISCOVERY_RANGE > {tmp_path}/called.part\n"
        f"mv {tmp_path}/called.part {tmp_path}/called\n"
        "exec sleep 600\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {**ros_domain, "DISPLAY": ":99", "PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.fixture
def listening() -> Iterator[Callable[[int], tuple[list[Any], list[Any], Any]]]:
    """Subscribes to scene and clock in a domain: gives what comes, and a node."""
    undo: list[Callable[[], Any]] = []

    def listen(domain: int) -> tuple[list[Any], list[Any], Any]:
        context = Context()
        rclpy.init(context=context, domain_id=domain)
        node = rclpy.create_node("somebody", context=context)
        undo.extend([lambda: rclpy.try_shutdown(context=context), node.destroy_node])
        scenes: list[Any] = []
        clocks: list[Any] = []
        node.create_subscription(MarkerArray, "/xrollout/scene", scenes.append, EVENT)
        node.create_subscription(Clock, "/clock", clocks.append, EVENT)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)

        def turn() -> tuple[list[Any], list[Any]]:
            executor.spin_once(timeout_sec=0.05)
            return scenes, clocks

        return scenes, clocks, (turn, node)

    yield listen
    for step in reversed(undo):
        step()


def test_rviz_is_shown_the_bag_in_a_domain_of_its_own(
    bag: RawBag, viewer: dict[str, str], tmp_path: Path, listening: Any
) -> None:
    log = tmp_path / "open.log"
    words = [*COMMAND, "episodes", "open", str(bag.path), "--in", "rviz", "--before", "1", "--after", "1"]
    with log.open("w") as out:
        process = subprocess.Popen(words, env=viewer, stdout=out, stderr=subprocess.STDOUT)
    try:
        called = tmp_path / "called"
        wait_for(lambda: called.exists() or process.poll() is not None, 30, "RViz is started")
        assert called.exists(), log.read_text()
        pid, domain, reach = called.read_text().split()
        assert domain not in ("0", viewer["ROS_DOMAIN_ID"])
        assert reach == "LOCALHOST"
        given = (tmp_path / "words").read_text()
        assert "use_sim_time:=true" in given
        assert "/xrollout/scene" in (tmp_path / "config").read_text()
        scenes, clocks, (turn, node) = listening(int(domain))
        wait_for(lambda: turn() and len(scenes) > 20 and len(clocks) > 20, 30, "the scene is played")
        # As recorded, not as of now, and again and again.
        recorded = {message.log_time_ns for message in bag.messages(topics=["/xrollout/scene"])}
        stamp = scenes[0].markers[0].header.stamp
        assert stamp.sec * NS + stamp.nanosec in recorded
        assert bag.start_ns <= clocks[0].clock.sec * NS + clocks[0].clock.nanosec <= bag.end_ns
        # Nothing that a robot would obey is published.
        topics = {name for name, _ in node.get_topic_names_and_types()}
        assert bag.episode is not None
        assert not topics & {"/xrollout/command", "/xrollout/request", bag.episode.robot.command.topic}
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0, log.read_text()
        assert not Path(f"/proc/{pid}").exists()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_closing_rviz_ends_the_command(bag: RawBag, viewer: dict[str, str], tmp_path: Path) -> None:
    words = [*COMMAND, "episodes", "open", str(bag.path), "--in", "rviz"]
    process = subprocess.Popen(words, env=viewer, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        called = tmp_path / "called"
        wait_for(called.exists, 30, "RViz is started")
        os.kill(int(called.read_text().split()[0]), signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_without_a_display_or_where_rviz_fails_it_says_so(bag: RawBag, viewer: dict[str, str], tmp_path: Path) -> None:
    words = [*COMMAND, "episodes", "open", str(bag.path), "--in", "rviz"]
    blind = {name: value for name, value in viewer.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(words, env=blind, capture_output=True, text=True, timeout=60)
    assert done.returncode == 6
    assert "needs a display" in done.stderr
    (tmp_path / "bin" / "rviz2").write_text("#!/bin/sh\nexit 3\n")
    done = subprocess.run(words, env=viewer, capture_output=True, text=True, timeout=60)
    assert done.returncode == 6
    assert "exit status 3" in done.stderr


def test_the_layout_fits_what_the_graph_records(bag: RawBag, tmp_path: Path) -> None:
    recorded = {topic.name: topic for topic in (*bag.topics, OPENED)}
    path, why = layouts.fitted(bag, tmp_path / "cache")
    assert why == ""
    layout = json.loads(path.read_text())
    for paths in paths_of(layout).values():
        for each in paths:
            if each not in NOT_ALWAYS and not each.startswith("/xrollout/supervisor/event"):
                resolve(each, recorded)
    scores = [each for each in layout["configById"]["Plot!scores"]["paths"] if "threshold" not in each["label"]]
    assert [each["label"] for each in scores] == ["policy_loss", "chunk_consistency"]
    assert [each["value"].rpartition("score_values")[2] for each in scores] == ["[0]", "[1]"]
    assert "/xrollout/scene" in recorded
