"""`xrollout mine` over real bags: table, plan, sheet, picture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xrollout_ros.core.resources import load_task
from xrollout_ros.mining.plan import read_plan
from xrollout_ros.ui.cli import cli

from .mining_data import add, demonstrate


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def data(bags: Any) -> Path:
    for number in range(10):
        add(bags, (0.01 * number, 0.65), minute=number)
    for number in range(6):
        add(bags, (-0.2, 0.6 + 0.02 * number), "dropped", minute=20 + number, goal=(0.1 * number, 0.8), seed=number)
    for number in range(4):
        demonstrate(bags, (0.02 * number, 0.65), minute=40 + number)
    folder: Path = bags.data
    return folder


def test_table_plan_sheet_and_picture(data: Path, tmp_path: Path) -> None:
    plan, sheet, picture = tmp_path / "plan.json", tmp_path / "sheet.html", tmp_path / "coverage.png"
    files = ["--output", plan, "--sheet", sheet, "--picture", picture]
    result = run("mine", "--data", data, "--demonstrations", 8, *files)
    assert result.exit_code == 0, result.output
    made = read_plan(plan)
    assert made.target.medoid in result.stdout
    assert "collect next: 6 demonstrations for dropped" in result.stdout
    assert "success: 10/16" in result.stdout
    assert "warning: " in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    page = sheet.read_text()
    assert page.count('class="box"') == 6
    for start in made.starts:
        assert start.episode_id in page
        assert f"{start.values[0].value:.3f}" in page or "The same in all" in page
    assert page.count("<svg") == 2
    assert "object_position x -0.200 m" in page
    # It loads nothing from elsewhere.
    assert not re.search(r'(src|href)="(?!#)', page.replace("xlink:href", "href"))


def test_the_same_as_json(data: Path) -> None:
    found = json.loads(run("mine", "--data", data, "--json").stdout)
    (group,) = found["groups"]
    assert (group["mode"], len(group["members"])) == ("dropped", 6)
    assert found["plan"]["format"] == "xrollout.collection_plan"
    assert found["trends"]["dropped"]["course"] == "one policy"
    assert sum(cell["attempts"] for cell in found["coverage"]["views"][0]["cells"]) == 16


def test_filters_and_errors(data: Path, tmp_path: Path) -> None:
    assert "16" in run("mine", "--data", data, "--task", "pick_and_place").stdout
    started = run("mine", "--data", data, "--since", "2026-01-31T12:20")
    assert "success: 0/6" in started.stdout
    for arguments, words in (
        (["--task", "push"], "There are attempts at pick_and_place"),
        (["--mode", "collision"], "These occur: dropped"),
        (["-w", "outcome=failure"], "by how they ended"),
        (["-w", "nix=1"], "no column"),
        (["--output", tmp_path], "is a directory"),
        (["--sheet", "/proc/nix/sheet.html"], "could not be written"),
        (["--since", "2026-01-31T12:20", "--picture", tmp_path / "a.png"], "too few for a map"),
        (["--picture", tmp_path / "a.nix"], "Name a .png"),
        (["--demonstrations", "0"], "0 is not in the range"),
    ):
        result = run("mine", "--data", data, *arguments)
        assert result.exit_code != 0, arguments
        assert words in result.stderr, (arguments, result.stderr)
    assert not [path for path in tmp_path.iterdir() if path != data]


def test_without_failures_it_says_so_and_writes_no_plan(bags: Any, tmp_path: Path) -> None:
    add(bags, (0.0, 0.65))
    result = run("mine", "--data", bags.data, "--output", tmp_path / "plan.json", "--sheet", tmp_path / "sheet.html")
    assert result.exit_code == 0
    assert "no attempt failed, so there is nothing to collect for" in result.stdout
    assert not [path for path in tmp_path.iterdir() if path != bags.data]


def test_a_file_says_how_to_describe_attempts(data: Path, tmp_path: Path) -> None:
    import yaml

    task = load_task("pick_and_place").model_dump(mode="json")
    del task["reach"], task["tagging"]
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(task))
    sheet = tmp_path / "sheet.html"
    result = run("mine", "--data", data, "--task", tmp_path / "task.yaml", "--sheet", sheet)
    assert result.exit_code == 0, result.output
    assert "nothing can be said of starts" in result.stdout
    assert "tagging.familiar" in result.stdout
    assert "<svg" not in sheet.read_text()
    refused = run("mine", "--data", data, "--task", tmp_path / "task.yaml", "--picture", tmp_path / "a.png")
    assert "there is no picture of the starts" in refused.stderr


def test_bags_that_cannot_be_read_are_named_the_first_ones(data: Path) -> None:
    run("mine", "--data", data)
    torn = sorted(data.rglob("*.mcap"))[:5]
    for file in torn:
        file.write_bytes(file.read_bytes()[:-20])
    result = run("mine", "--data", data)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("left out ") == 3
    assert "and 2 more; --json names them all" in result.stdout
    assert len(json.loads(run("mine", "--data", data, "--json").stdout)["unreadable"]) == 5
