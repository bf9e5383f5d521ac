"""`--json`: one document on standard output, however a command ends, and nothing else there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.resources import load_yaml
from xrollout_ros.cycle.recipe import shipped_recipe as flywheel_recipe
from xrollout_ros.episodes import paths
from xrollout_ros.graph.arguments import ARGUMENTS
from xrollout_ros.learning.pyramid.recipe import shipped_recipe as pyramid_recipe
from xrollout_ros.mining.success.stops import Stop, StoppedError
from xrollout_ros.runtime.monitor_model import MonitorModel, NodeHealth
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.console import expect_json, output, print_json
from xrollout_ros.ui.lazy import RootGroup
from xrollout_ros.ui.monitor import print_lines
from xrollout_ros.ui.options import json_option


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(cli, [*map(str, arguments), "--json"], prog_name="xrollout")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


# --- errors -------------------------------------------------------------------------------------------------------


def ending(work: Callable[[], None], *arguments: str) -> Result:
    """The real outermost group with one command, which does this."""

    @click.command("work")
    @json_option
    def command(as_json: bool) -> None:
        work()

    class Group(RootGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            return command

        def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
            return args[0], command, args[1:]

    return CliRunner().invoke(Group("xrollout"), ["work", *arguments], prog_name="xrollout")


def fail(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_an_error_is_the_document_and_is_told_to_people_all_the_same() -> None:
    result = ending(fail(DataError("no such thing", "Make one.")), "--json")
    told = {"kind": "DataError", "what": "no such thing", "remedy": "Make one.", "exit_code": 5}
    assert json.loads(result.stdout) == {"error": told}
    assert result.stderr == "error: no such thing\n  → Make one.\n"
    assert result.exit_code == 5


def test_without_json_an_error_prints_nothing_on_standard_output() -> None:
    assert ending(fail(DataError("no such thing"))).stdout == ""


def test_an_error_that_knows_more_says_so() -> None:
    result = ending(fail(StoppedError(Stop.TOO_FEW, "three", "Get more.")), "--json")
    assert json.loads(result.stdout)["error"]["state"] == "too_few"


def test_after_a_document_an_error_goes_to_people_alone() -> None:
    def work() -> None:
        print_json({"found": 3})
        raise DataError("but no picture")

    result = ending(work, "--json")
    assert json.loads(result.stdout) == {"found": 3}
    assert (result.exit_code, result.stderr) == (5, "error: but no picture\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_is_told(error: BaseException) -> None:
    result = ending(fail(error), "--json")
    assert json.loads(result.stdout)["error"]["exit_code"] == result.exit_code == 130


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--nonsense", "--json"], "No such option"),
        (["epsiodes", "--json"], "did you mean 'episodes'"),
        (["--nonsense", "train", "--json"], "No such option"),
        (["teleop", "--json"], "No such option"),
        (["upload", "/nowhere", "here", "--json"], "does not exist"),
        (["label", "--dry-run", "train", "--json"], "stands before 'train'"),
    ],
)
def test_a_line_that_is_not_understood_is_told_too(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(cli, arguments, prog_name="xrollout")
    told = json.loads(result.stdout)["error"]
    assert words in told["what"]
    assert "--help` tells" in told["remedy"]
    assert told["kind"] == "UsageError"
    assert told["exit_code"] == result.exit_code == 2
    assert words in result.stderr


def test_what_is_said_besides_goes_to_standard_error() -> None:
    def work() -> None:
        output().print("looking")
        print_json([1])

    result = ending(work, "--json")
    assert (result.stdout, result.stderr) == ("[\n  1\n]\n", "looking\n")
    assert ending(lambda: output().print("looking")).stdout == "looking\n"


# --- commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def episode(bags: Any) -> str:
    meta = bags.meta(policy_id="p", outcome="failure")
    bags.open(paths.episode_dir(bags.data, meta), meta).close(meta)
    return str(meta.episode_id)


def test_what_was_said_of_an_episode_and_taken_back(episode: str, bags: Any) -> None:
    data = ("--data", bags.data)
    said = run("tag", episode, "slow", "--set", "friction=0.3", *data)
    assert said["entries"] == 2
    [held] = said["episodes"]
    assert held["episode_id"] == episode
    assert "slow" in held["tags"]
    assert held["properties"]["friction"] == 0.3
    assert run("untag", "--undo", said["undo"], *data)["entries"] == 2
    assert run("tag", episode, "fast", *data)["episodes"][0]["tags"].count("slow") == 0
    assert "fast" not in run("untag", episode, "fast", *data)["episodes"][0]["tags"]


def test_what_was_decided_and_taken_back(episode: str, bags: Any) -> None:
    data = ("--data", bags.data)
    assert run("review", "say", episode, "--outcome", "success", *data)["outcome"] == "success"
    undone = run("review", "undo", *data)
    assert undone == {"episode_id": episode, "outcome": "failure", "failure_mode": None}
    assert run("review", "undo", *data, code=5)["error"]["kind"] == "DataError"
    assert run("label", "undo", "--task", "pick_and_place", *data) == {"episodes": 0}


def test_an_upload(episode: str, bags: Any, tmp_path: Path) -> None:
    done = run("upload", bags.data, tmp_path / "there")
    assert (done["uploaded"], done["left"]) == (1, 0)
    assert [each["state"] for each in run("uploads", "--data", bags.data)["uploads"]] == ["done"]
    assert run("uploads", "retry", "--data", bags.data) == {"data": str(bags.data), "retried": 0}


def test_lists_of_what_there_is() -> None:
    shown = run("up", "record", "--show-args")
    assert [each["name"] for each in shown] == [each.name for each in ARGUMENTS["record"]]
    assert "failure_mode" in {each["column"] for each in run("query", "--columns")}
    for group, file in (("flywheel", flywheel_recipe()), ("pyramid", pyramid_recipe())):
        assert run(group, "recipe") == json.loads(json.dumps(load_yaml(file, "recipe")))


def test_an_answer_that_goes_to_a_file_is_the_same(episode: str, bags: Any, tmp_path: Path) -> None:
    shown = run("query", "--data", bags.data)
    file = tmp_path / "answer.json"
    done = CliRunner().invoke(cli, ["query", "--data", str(bags.data), "--output", str(file)])
    assert done.exit_code == 0, done.output
    assert json.loads(file.read_text()) == shown


# --- monitor ------------------------------------------------------------------------------------------------------


def test_the_monitor_prints_a_line_where_there_is_news(capsys: pytest.CaptureFixture[str]) -> None:
    node = NodeHealth("policy", "01", "active", 0.1, 5.0, 0.001)
    idle = MonitorModel(mode=Mode.IDLE, nodes=(node,), command_source=Source.POLICY)
    seen = [MonitorModel(waiting_s=1.0), MonitorModel(waiting_s=2.0), idle, replace(idle, mode_age_s=1.0)]
    seen.append(replace(idle, mode=Mode.HOLD))
    left = iter(seen)

    def look() -> MonitorModel:
        now = next(left, None)
        if now is None:
            raise KeyboardInterrupt
        return now

    with click.Context(click.Command("monitor")) as context:
        expect_json(context)
        print_lines(look, pause=lambda seconds: None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["heard"], line["mode"]) for line in lines] == [(False, None), (True, "IDLE"), (True, "HOLD")]
    assert lines[1]["nodes"][0]["name"] == "policy"
    assert lines[1]["command_source"] == "POLICY"


def test_the_monitor_prints_no_json_of_a_web_page() -> None:
    assert "--dashboard" in run("monitor", "--dashboard", code=2)["error"]["what"]
