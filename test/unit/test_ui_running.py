"""Running a graph from the command line: refusals before anything starts, and progress from closed bags."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome, OutcomeSource, Strategy, TopicCount
from xrollout_ros.core.errors import BagError, GraphError
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.paths import episode_dir
from xrollout_ros.graph import starter
from xrollout_ros.graph.arguments import argument_names
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.runtime.monitor_model import MonitorModel
from xrollout_ros.ui import running
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.closed_bags import ClosedBags
from xrollout_ros.ui.commands.up import GRAPHS
from xrollout_ros.ui.monitor import watch
from xrollout_ros.ui.running import run_graph


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, list(arguments))
    if isinstance(result.exception, ModuleNotFoundError) and result.exception.name == "torch":
        pytest.skip("PyTorch is not installed")
    return result


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["up", "deploy"], 2, "no model was given"),
        (["up", "deploy", "model=x.pt"], 2, "did you mean 'model:=x.pt'"),
        (["up", "deploy", "modle:=x.pt"], 2, "unknown argument modle"),
        (["up", "deploy", "model:=nowhere.pt"], 3, "nowhere.pt"),
        (["up", "record", "task:=pikc"], 2, "unknown task 'pikc'"),
        (["up", "record", "task:=push", "robot:=r2d2"], 2, "unknown robot 'r2d2'"),
        (["up", "record", "task:=push", "start:=upside_down"], 2, "upside_down"),
        (["up", "record", "task:=push", "seed:=one"], 2, "'one'"),
        (["record", "--task", "pikc"], 2, "unknown task 'pikc'"),
        (["record", "--task", "push", "--start", "upside_down"], 2, "upside_down"),
        (["train", "--data", "nowhere"], 5, "nowhere is not there"),
        (["train", "--policy", "oracle"], 2, "oracle"),
        (["train", "--task", "pikc"], 2, "unknown task 'pikc'"),
        (["train", "--base-model", "nowhere.pt", "--data", "."], 3, "nowhere.pt"),
        (["demo", "--output", "."], 5, "not an empty folder"),
    ],
)
def test_refusals_start_nothing(
    arguments: list[str], status: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()

    def start(description: GraphDescription, on_line: starter.Line = starter.print_line) -> int:
        raise AssertionError("a graph was started")

    monkeypatch.setattr(starter, "run", start)
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert words in result.stderr
    assert "\n  → " in result.stderr
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


def test_no_bags_is_said(tmp_path: Path) -> None:
    result = run("train", "--data", str(tmp_path), "--output", str(tmp_path / "c.pt"))
    assert result.exit_code == 5
    assert "no episode to train from" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("graph", GRAPHS)
def test_show_args_lists_every_argument(graph: str) -> None:
    result = run("up", graph, "--show-args")
    assert result.exit_code == 0
    named = [line.partition(":=")[0] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert named == argument_names(graph)  # type: ignore[arg-type]


def test_without_ros_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("up", "record", "task:=push")
    assert result.exit_code == 6
    assert "ROS 2 is not installed" in result.stderr
    assert "make setup" in result.stderr


def close_bag(
    data: Path,
    number: int,
    outcome: Outcome,
    commands: int,
    *,
    kind: EpisodeKind = EpisodeKind.ATTEMPT,
    seed: int | None = None,
    operator: str = "",
) -> None:
    """What a closed bag shows from outside: its ``metadata.yaml``."""
    meta = EpisodeMeta(
        episode_id=new_id(),
        kind=kind,
        seed=seed,
        operator=operator,
        task="push",
        robot="metaworld_sawyer",
        start="nominal",
        strategy=Strategy.EPISODIC,
        software_version="0",
        started_at=f"2026-01-02T03:04:{number:02d}+00:00",
        duration_s=1.0,
        outcome=outcome,
        outcome_source=OutcomeSource.ROBOT,
        topics={"/xrollout/command": TopicCount(received=commands)},
    )
    folder = episode_dir(data, meta)
    folder.mkdir(parents=True)
    rosbag2.write_metadata(folder, {"custom_data": rosbag2.describe(meta)})


def test_closed_bags_counts_only_what_is_new_and_whole(tmp_path: Path) -> None:
    close_bag(tmp_path, 1, Outcome.FAILURE, 10)
    bags = ClosedBags(tmp_path)
    assert bags.look() == []
    (tmp_path / "2026-01-02" / "being_written").mkdir()
    close_bag(tmp_path, 2, Outcome.SUCCESS, 30)
    assert [meta.outcome for meta in bags.look()] == [Outcome.SUCCESS]
    assert bags.look() == []
    close_bag(tmp_path, 3, Outcome.ABORT, 5)
    bags.look()
    assert (len(bags.metas), bags.tally.successes, bags.commands) == (2, 1, 35)


def test_a_damaged_bag_is_no_silent_progress(tmp_path: Path) -> None:
    bags = ClosedBags(tmp_path)
    folder = tmp_path / "2026-01-02" / "bag"
    folder.mkdir(parents=True)
    (folder / rosbag2.METADATA_FILE).write_text("nonsense: [")
    with pytest.raises(BagError, match="bag"):
        bags.look()


Script = Callable[[GraphDescription, starter.Line], int]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], str]:
    """Runs ``run_graph`` with processes that do as the script says; gives what was printed."""
    monkeypatch.setattr(running, "require_ros", lambda: None)

    def go(script: Script) -> str:
        monkeypatch.setattr(starter, "run", script)
        stream = io.StringIO()
        description = describe("record", {"task": "push", "episodes": "2", "data": str(tmp_path)})
        try:
            run_graph(description, Console(file=stream, width=200))
        finally:
            go.printed = stream.getvalue()  # type: ignore[attr-defined]
        return stream.getvalue()

    return go


def two_attempts(description: GraphDescription, on_line: starter.Line) -> int:
    on_line("manager", "[INFO] [1.5] [xrollout.manager]: sim_robot is active")
    on_line("tagger", "[WARN] [1.6] [xrollout.tagger]: slow [disk]")
    for number, outcome in enumerate((Outcome.SUCCESS, Outcome.FAILURE)):
        close_bag(description.data, number, outcome, 100)
        on_line("manager", f"[INFO] [2.{number}] [xrollout.manager]: attempt {number + 1}")
    return 0


def test_progress_is_shown_line_by_line_without_a_terminal(scripted: Callable[[Script], str]) -> None:
    printed = scripted(two_attempts).splitlines()
    assert printed[0] == "sim_robot is active"
    assert printed[1] == "tagger: slow [disk]"
    assert printed[2].startswith("attempt 1/2: success in 1.0 s · 1/1 succeeded · ")
    assert printed[3].startswith("attempt 2/2: failure in 1.0 s · 1/2 succeeded · ")
    assert printed[3].endswith(" steps/s")


def test_a_failed_graph_says_what_it_said_last_and_where_the_rest_is(scripted: Callable[[Script], str]) -> None:
    def fail(description: GraphDescription, on_line: starter.Line) -> int:
        on_line("manager", "[FATAL] [1.5] [xrollout.manager]: the robot could not be reset")
        return 6

    with pytest.raises(GraphError, match="status 6; the last it said: manager: the robot could not be reset") as caught:
        scripted(fail)
    assert "log" in caught.value.remedy


def demonstrations(description: GraphDescription, *numbers: int) -> None:
    """Closed bags that the graph would count when it resumes."""
    told = description.processes[-1].parameters
    for number in numbers:
        close_bag(
            description.data, number, Outcome.SUCCESS, 10, kind=EpisodeKind.DEMONSTRATION, seed=number,
            operator=str(told["operator"]),
        )  # fmt: skip


def test_record_resumes_what_is_there_and_starts_nothing_when_all_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "require_ros", lambda: None)
    started: list[GraphDescription] = []

    def interrupted(description: GraphDescription, on_line: starter.Line) -> int:
        demonstrations(description, 0, 1)
        return 130

    def rest(description: GraphDescription, on_line: starter.Line) -> int:
        started.append(description)
        demonstrations(description, 2)
        on_line("manager", "[INFO] [2.0] [xrollout.manager]: attempt 3")
        return 0

    arguments = ("record", "--task", "push", "--episodes", "3", "--data", str(tmp_path))
    monkeypatch.setattr(starter, "run", interrupted)
    assert run(*arguments).exit_code == 130
    monkeypatch.setattr(starter, "run", rest)
    done = run(*arguments, "--resume")
    assert done.exit_code == 0, done.output
    assert started[0].processes[-1].parameters["resume"] is True
    assert "resuming: 2 of 3 demonstrations are there" in done.stdout
    assert "attempt 3/3: success in 1.0 s · 3/3 succeeded" in done.stdout
    assert "recorded 3 demonstrations of push" in done.stdout
    again = run(*arguments, "--resume")
    assert again.exit_code == 0, again.output
    assert "resuming: 3 of 3 demonstrations are there" in again.stdout and len(started) == 1
    # Without it everything is recorded anew, and the other seeds are another run.
    assert "asked for were 3" in run(*arguments).stderr
    assert len(started) == 2


def test_a_missing_bag_is_an_error(scripted: Callable[[Script], str]) -> None:
    def one(description: GraphDescription, on_line: starter.Line) -> int:
        close_bag(description.data, 1, Outcome.SUCCESS, 1)
        return 0

    with pytest.raises(GraphError, match=r"1 bags were closed .* asked for were 2"):
        scripted(one)


def test_an_interrupted_graph_is_an_interrupt(scripted: Callable[[Script], str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        scripted(lambda description, on_line: 130)


def test_watching_prints_a_line_when_something_changes() -> None:
    models = [MonitorModel(waiting_s=1.0), MonitorModel(waiting_s=1.0), MonitorModel(waiting_s=2.0)]
    paused: list[float] = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            raise KeyboardInterrupt

    stream = io.StringIO()
    given = iter(models)
    watch(lambda: next(given), Console(file=stream, width=100), pause)
    assert stream.getvalue().splitlines() == ["waiting for /xrollout/… (1.0 s)", "waiting for /xrollout/… (2.0 s)"]


def test_watching_on_a_terminal_redraws_until_interrupted() -> None:
    stream = io.StringIO()
    drawn: list[float] = []

    def pause(seconds: float) -> None:
        drawn.append(seconds)
        if len(drawn) == 5:
            raise KeyboardInterrupt

    watch(MonitorModel, Console(file=stream, width=80, height=24, force_terminal=True), pause)
    assert drawn == [0.1] * 5
    assert "is a graph running?" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[?25h\x1b[?1049l")
