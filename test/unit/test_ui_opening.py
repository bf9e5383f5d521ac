"""`xrollout episodes open`: the commands, the Foxglove server as a client sees it, the shipped layouts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.bag_reader import decode
from xrollout_ros.episodes.journal import Judged, Said
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.episodes.player import Player
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.opening import how_to_open
from xrollout_ros.ui.viewers import layouts
from xrollout_ros.ui.viewers.annotated import OPENED_TOPIC, AnnotatedBag
from xrollout_ros.ui.viewers.foxglove import FoxgloveServer
from xrollout_ros.ui.viewers.opened import Opened, open_at

from .conftest import Bags
from .foxglove_client import ENDED, PAUSED, PLAYING, FoxgloveClient
from .judgements import dropped

STEPS = 80
MOMENT_S = 0.5
MODE_TOPIC, COMMAND_TOPIC = "/xrollout/supervisor/state", "/xrollout/command"


@pytest.fixture
def bag(bags: Bags) -> Path:
    """A failed attempt of 1 s, from second 5 on, that a rule has judged; the mode is told once, at its beginning."""
    meta = bags.meta(outcome="failure", outcome_source="time_limit")
    with bags.open(meta=meta) as writer:
        bags.messages.install("xrollout/msg/SupervisorState")
        bags.add(writer, MODE_TOPIC, "xrollout/msg/SupervisorState")
        writer.write(MODE_TOPIC, bags.messages.cdr("xrollout/msg/SupervisorState", mode=1), 5 * NS)
        for step in range(STEPS):
            stamp_ns = 5 * NS + step * bags.robot.control_period_ns
            bags.observe(writer, np.zeros(bags.robot.state_dim), stamp_ns, stamp_ns)
            action = np.full(len(bags.robot.actions), step / STEPS)
            bags.command(writer, meta, action, stamp_ns, stamp_ns, step=step)
        summary = writer.close(meta)
    said = dropped(meta.episode_id, MOMENT_S)
    bags.data.mkdir(exist_ok=True)
    judged = Said("rule:dropped", meta.episode_id, Judged(judgement=said))
    journal.append_all(bags.data / JOURNAL, [judged], SystemClock())
    return summary.path


def _run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["episodes", "open", *map(str, words)])


# --- served to Foxglove ---


@pytest.fixture
def served(bag: Path) -> Iterator[FoxgloveServer]:
    """The bag, 0.25 s around the moment again and again."""
    opened = open_at(bag, at_s=None, before_s=0.25, after_s=0.25)
    annotated = AnnotatedBag(opened.bag, opened.moment, opened.effective)
    player = Player(annotated, opened.span, speed=1.0, loop=True, clock=SystemClock())
    server = FoxgloveServer(player, annotated.topics, (annotated.start_ns, annotated.end_ns), "test", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def client(served: FoxgloveServer) -> Iterator[FoxgloveClient]:
    client = FoxgloveClient(served.port)
    client.until(lambda got: {MODE_TOPIC, COMMAND_TOPIC, OPENED_TOPIC} <= set(got.channels), "the topics")
    yield client
    client.close()


def _command_at(client: FoxgloveClient, data: bytes) -> Any:
    channel = client.received.channels[COMMAND_TOPIC]
    assert (channel["encoding"], channel["schemaEncoding"]) == ("cdr", "ros2msg")
    from mcap.records import Schema

    schema = Schema(id=1, name=channel["schemaName"], encoding="ros2msg", data=channel["schema"].encode())
    return decode(schema, data)


def test_a_client_sees_the_moment_with_what_was_said_before_it(client: FoxgloveClient) -> None:
    info = client.received.info
    assert {"playbackControl", "time"} <= set(info["capabilities"])
    assert (info["dataStartTime"]["sec"], info["dataEndTime"]["sec"]) == (5, 5)
    client.subscribe(MODE_TOPIC, COMMAND_TOPIC, OPENED_TOPIC)
    moment_ns = 5 * NS + round(MOMENT_S * NS)
    opened = client.until(lambda got: [data for at, data in got.of(OPENED_TOPIC) if at == moment_ns], "the moment")
    said = json.loads(opened[0])
    assert (said["failure"], said["stage"], said["evidence"]) == ("dropped", "transport", "it fell")
    # The mode was told once, before what is played: it is there all the same.
    assert client.until(lambda got: got.of(MODE_TOPIC), "the mode")[0][0] == 5 * NS
    commands = client.until(
        lambda got: [(at, data) for at, data in got.of(COMMAND_TOPIC) if at >= moment_ns], "the command at the moment"
    )
    at_ns, data = commands[0]
    assert at_ns == moment_ns
    assert _command_at(client, data).step == round(MOMENT_S / 0.0125)
    first_ns = client.received.of(COMMAND_TOPIC)[0][0]
    assert abs(5 * NS + NS // 4 - first_ns) <= 12_500_000 * 5
    client.until(
        lambda got: any(moment_ns <= time_ns <= moment_ns + NS // 4 for time_ns in got.times), "the clock at the moment"
    )


def test_the_span_comes_again_until_the_client_takes_the_controls(client: FoxgloveClient) -> None:
    client.subscribe(COMMAND_TOPIC)
    client.until(lambda got: len([state for state in got.states if state[3]]) >= 3, "played three times")
    assert max(at for at, _ in client.received.of(COMMAND_TOPIC)) <= 5 * NS + round(0.75 * NS)
    client.control(play=False, seek_ns=5 * NS + NS // 10, request="there")
    client.until(lambda got: any(state[4] == "there" for state in got.states), "the answer")
    answer = next(state for state in client.received.states if state[4] == "there")
    assert answer[:4] == (PAUSED, 5 * NS + NS // 10, 1.0, True)
    held_ns, last_ns = 5 * NS + 7 * 12_500_000, 5 * NS + (STEPS - 1) * 12_500_000
    client.until(lambda got: got.of(COMMAND_TOPIC)[-1][0] == held_ns, "the command that held there")
    client.control(play=True, speed=4.0, request="go")
    client.until(lambda got: got.states[-1][0] == ENDED, "the end of the bag")
    client.until(lambda got: got.of(COMMAND_TOPIC)[-1][0] == last_ns, "the last command")
    client.control(play=True, seek_ns=0, request="again")
    client.until(lambda got: any(state[:1] == (PLAYING,) and state[4] == "again" for state in got.states), "again")


def test_a_client_that_comes_late_is_told_what_was_said_last(served: FoxgloveServer, client: FoxgloveClient) -> None:
    client.subscribe(COMMAND_TOPIC)
    client.control(play=False, seek_ns=5 * NS + NS // 2, request="stay")
    client.until(lambda got: any(state[4] == "stay" for state in got.states), "the answer")
    late = FoxgloveClient(served.port)
    late.until(lambda got: MODE_TOPIC in got.channels, "the topics")
    late.subscribe(MODE_TOPIC)
    late.until(lambda got: got.of(MODE_TOPIC), "the mode")
    late.until(lambda got: got.states and got.times, "where it is")
    assert late.received.states[-1][:2] == (PAUSED, 5 * NS + NS // 2)
    late.close()


# --- the command ---


def _program(path: Path, body: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_app_is_opened_and_the_bag_served_until_a_signal(bag: Path, tmp_path: Path, number: signal.Signals) -> None:
    asked, log = tmp_path / "asked", tmp_path / "log"
    _program(tmp_path / "bin" / "xdg-mime", "echo foxglove.desktop")
    _program(tmp_path / "bin" / "xdg-open", f'echo "$1" > {asked}.part; mv {asked}.part {asked}')
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "DISPLAY": ":0",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-c", "from xrollout_ros.ui.cli import main; main()"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "episodes", "open", str(bag), "--port", "0"], env=environment, stdout=out, stderr=out
        )
    try:
        deadline_s = time.monotonic() + 30
        while not asked.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.01)
        link = asked.read_text().strip()
        assert link.startswith("foxglove://open?ds=foxglove-websocket&ds.url=ws://127.0.0.1:")
        client = FoxgloveClient(int(link.rpartition(":")[2]))
        client.until(lambda got: COMMAND_TOPIC in got.channels, "the topics")
        client.subscribe(COMMAND_TOPIC)
        client.until(lambda got: got.of(COMMAND_TOPIC), "a command")
        client.close()
        process.send_signal(number)
        assert process.wait(10) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    told = log.read_text()
    assert "moment: 0.50 s, dropped in transport: it fell" in told
    assert "https://app.foxglove.dev" in told
    assert str(tmp_path / "cache" / "xrollout" / "foxglove" / "xrollout_metaworld_sawyer.json") in told
    assert "Traceback" not in told


def test_a_taken_port_is_named(bag: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = _run(bag, "--port", port)
    assert result.exit_code == 5
    assert f"port {port} of 127.0.0.1" in result.output
    assert "--port" in result.output


def test_what_cannot_be_opened_says_why(bag: Path, bags: Bags, tmp_path: Path) -> None:
    episode_id = bag.name.rpartition("_")[2]
    for words, code, told in (
        ([tmp_path / "none"], 4, "there is no bag"),
        (["01NOSUCH", "--data", bags.data], 5, "no episode"),
        ([bag, "--at", "77"], 5, "the moment 77 s lies outside"),
        ([bag, "--at", "nan"], 5, "--at is nan"),
        ([bag, "--before", "inf"], 5, "--before is inf"),
        ([bag, "--in", "emacs"], 2, "foxglove"),
        ([bag, "--speed", "0"], 2, "--speed"),
        ([bag, "--port", "70000"], 2, "--port"),
    ):
        result = _run(*words)
        assert (result.exit_code, told in result.output) == (code, True), result.output
    (bag / "metadata.yaml").rename(tmp_path / "metadata.yaml")
    result = _run(episode_id, "--data", bags.data)
    assert result.exit_code == 4
    assert "torn" in result.output
    assert f"xrollout episodes repair {episode_id}" in result.output
    bag.rename(tmp_path / "gone")
    result = _run(episode_id[:14], "--data", bags.data)
    assert result.exit_code == 5
    assert "is not in" in result.output
    assert "its journal speaks of it" in result.output


def test_rviz_that_is_not_there_is_an_error_with_a_way_out(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = _run(bag, "--in", "rviz")
    assert result.exit_code == 6
    assert "rviz2 is not on the PATH" in result.output
    assert "--in foxglove" in result.output


def test_the_ways_to_open_a_bag_are_commands(bag: Path) -> None:
    ways = dict(how_to_open(bag))
    assert ways["Foxglove"] == f"xrollout episodes open {bag} --in foxglove"
    assert "episodes open" in ways["RViz"]


def test_a_cache_that_cannot_be_written_leaves_the_shipped_layout(bag: Path, tmp_path: Path) -> None:
    opened: Opened = open_at(bag, at_s=None, before_s=1, after_s=1)
    path, why = layouts.fitted(opened.bag, tmp_path / "cache")
    assert why == ""
    assert json.loads(path.read_text())["configById"]["Plot!command"]["paths"][0]["label"] == "dx"
    (tmp_path / "file").write_text("")
    path, why = layouts.fitted(opened.bag, tmp_path / "file" / "cache")
    assert path == layouts.shipped()
    assert "cannot be written" in why


# --- Rerun, an extra ---


def test_rerun_that_is_not_there_is_an_error_with_a_way_out(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    monkeypatch.delitem(sys.modules, "xrollout_ros.ui.viewers.rerun_recording", raising=False)
    result = _run(bag, "--in", "rerun", "--save", tmp_path / "attempt.rrd")
    assert result.exit_code == 5
    assert "pip install 'xrollout[rerun]'" in result.output
    assert not (tmp_path / "attempt.rrd").exists()
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    result = _run(bag, "--in", "rerun")
    assert result.exit_code == 5
    assert "--save FILE.rrd" in result.output
    assert _run(bag, "--save", tmp_path / "attempt.rrd").exit_code == 2


def test_a_recording_for_rerun_holds_the_attempt_and_its_blueprint(bag: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is an extra")
    path = tmp_path / "attempt.rrd"
    result = _run(bag, "--in", "rerun", "--save", path)
    assert result.exit_code == 0, result.output
    printed = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", str(path)], capture_output=True, text=True, check=True
    ).stdout
    for held in (
        "/attempt/states/failure",
        "/attempt/states/mode",
        "/attempt/command/dx",
        "/attempt/log/opened",
        "TimePanelBlueprint:time_selection",
        "/scene/object",
    ):
        assert held in printed, held
