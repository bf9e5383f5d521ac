"""`xrollout pyramid` as it is typed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xrollout_ros.learning.shards.manifest import read_manifest
from xrollout_ros.ui.cli import cli

from .pyramid_data import attempt, demonstrate, help_out


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def data(bags: Any) -> Path:
    for number in range(3):
        demonstrate(bags, (0.02 * number, 0.65))
    attempt(bags, "failure")
    demonstrate(bags, stretch=20)
    folder: Path = bags.data
    return folder


def test_build_show_why_and_train(bags: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build = ["pyramid", "build", "--raw-data", data, "--output", "./pyramid", "--levels", 4]
    result = run(*build, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "5 bags read, 0 known" in result.stdout
    assert "level 3 trains nothing: no successful recovery" in result.stdout
    assert "level 4 left out 1: gate no_gap" in result.stdout
    assert "xrollout train --data pyramid/level4" in result.stdout
    page = (tmp_path / "pyramid" / "report.html").read_text()
    assert "Level 4: expert synthesis" in page
    assert not re.search(r'(src|href)="', page)

    recovery = help_out(bags)
    assert (
        run("tag", recovery.episode_id, "--data", data, "--set", "pyramid_level=2", "--reason", "slow").exit_code == 0
    )
    again = json.loads(run(*build, "--json").stdout)
    assert (again["bags_read"], again["bags_known"]) == (1, 5)
    shown = run("pyramid", "show", "pyramid")
    assert "expert synthesis" in shown.stdout
    assert json.loads(run("pyramid", "show", "--json").stdout) == again
    told = run("pyramid", "why", recovery.episode_id[-8:]).stdout
    assert "it reached level 2" in told
    assert re.search(r"level 4: not in: human:\w+ said pyramid_level 2: slow", told)
    assert "+ rule expert_recovery: recovered yes" in told
    (line,) = [json.loads(run("pyramid", "why", recovery.episode_id, "--json").stdout)]
    assert line["level"] == 2

    torch = pytest.importorskip("torch")
    assert torch
    trained = run("train", "--data", "./pyramid/level4", "--epochs", 1, "--output", "checkpoint.pt")
    assert trained.exit_code == 0, trained.output
    assert "3 episodes of pick_and_place" in trained.stdout
    version = read_manifest(Path("pyramid/level4")).dataset_version
    assert json.loads(Path("checkpoint.pt.json").read_text())["meta"]["dataset_version"] == version
    walked = run("lineage", "checkpoint.pt", "--data", data)
    assert version[:8] in walked.stdout, walked.output


def test_a_recipe_of_ones_own(data: Path, tmp_path: Path) -> None:
    shipped = run("pyramid", "recipe").stdout
    path = tmp_path / "recipe.yaml"
    path.write_text(shipped.replace("name: default", "name: mine"))
    output = tmp_path / "pyramid"
    arguments = ["pyramid", "build", "--raw-data", data, "--output", output, "--recipe", path, "--workers", 1]
    assert run(*arguments).exit_code == 0
    before = read_manifest(output / "level4")
    assert before.recipe["name"] == "mine"
    path.write_text("name: lax\nlevels: {4: {filter: successes}}\n")
    assert "0 bags read, 5 known" in run(*arguments).stdout
    assert len(read_manifest(output / "level4").episodes) == len(before.episodes) + 1
    assert "level3, level4: of an earlier build" in run(*arguments, "--levels", 2).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--levels", "5"], 2, "5 is not in the range"),
        (["--image-size", "big"], 2, "Give WIDTHxHEIGHT in pixels"),
        (["--recipe", "nix.yaml"], 2, "nix.yaml cannot be read"),
        (["--task", "juggling"], 2, "unknown task 'juggling'"),
        (["--task", "push"], 5, "There are pick_and_place: 5 episodes"),
        (["--raw-data", "nix"], 5, "the data folder nix is not there"),
        (["--output", "/proc/nix/pyramid"], 5, "cannot be made"),
    ],
)
def test_what_is_wrong_is_said(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("pyramid", "build", "--raw-data", data, "--output", "pyramid", "--workers", 1, *arguments)
    assert (result.exit_code, words in result.stderr) == (code, True), result.output
    assert not Path("pyramid").exists()


def test_where_there_is_no_pyramid(data: Path, tmp_path: Path) -> None:
    for arguments in (["show", data], ["why", "01K", "--pyramid", data]):
        result = run("pyramid", *arguments)
        assert result.exit_code == 5
        assert "is no pyramid" in result.stderr
        assert "xrollout pyramid build" in result.stderr
    run("pyramid", "build", "--raw-data", data, "--output", tmp_path / "p", "--workers", 1)
    assert "no episode of the pyramid" in run("pyramid", "why", "NIX", "--pyramid", tmp_path / "p").stderr
    assert "fits 5 episodes" in run("pyramid", "why", "01", "--pyramid", tmp_path / "p").stderr
