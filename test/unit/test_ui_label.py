"""`xrollout label`: what it says in the terminal and as JSON, and how it says that it was stopped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from xrollout_ros.mining.success import training
from xrollout_ros.ui.cli import cli

from .success_data import attempt, marked


def run(*words: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(cli, [*map(str, words)])
    assert result.exit_code == code, result.output
    return result


def test_it_goes_from_verified_episodes_to_a_checked_sample(bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training.train.__kwdefaults__, "trees", 20)
    data = ("--data", bags.data)
    for number in range(20):
        attempt(bags, 200 + number, number % 3 != 0)
    stop = json.loads(run("label", *data, "--json", code=5).stdout)
    assert stop["state"] == "no_classifier"
    assert "label train" in stop["next_step"]
    stop = run("label", "train", *data, code=5)
    assert "too_few: pick_and_place on metaworld_sawyer has 0 successes and 0 failures" in stop.stderr
    assert "xrollout review" in stop.stderr
    marked(bags, 42)
    told = run("label", "train", *data, "--confidence", "0.7").stdout
    assert "learned from 21 failure, 21 success by person" in told
    assert "unsure from 0.3 to 0.7" in told
    found = json.loads(run("label", "train", *data, "--confidence", "0.7", "--json").stdout)
    assert found["quality"]["auc"] > 0.9
    assert found["sources"] == {"person": {"failure": 21, "success": 21}}
    assert sum(each["episodes"] for each in found["reliability"]) == 42
    dry = json.loads(run("label", *data, "--dry-run", "--json").stdout)
    assert (dry["state"], dry["batch"]) == ("dry_run", "")
    told = run("label", *data).stdout
    assert "gathering" in told
    assert f"labelled {dry['success']} success and {dry['failure']} failure; unsure of {dry['unsure']}" in told
    (status,) = json.loads(run("review", "status", *data, "--json").stdout)["auto_labels"]
    assert (status["state"], status["labels"]) == ("gathering", dry["success"] + dry["failure"])
    assert status["classifier"] == found["classifier"]
    assert "nobody has checked a label yet" in run("review", "status", *data).stdout
    waits = [each for each in json.loads(run("review", "list", *data, "--json").stdout) if "check" in each["why"][0]]
    assert len(waits) == dry["human_sample"] > 0
    assert {each["outcome"] for each in waits} == {""}
    said = ("review", "say", waits[0]["episode_id"], "--outcome", "success", "--json", "--reviewer", "ann")
    decided = json.loads(run(*said, *data).stdout)
    assert decided["label"]["outcome"] in ("success", "failure")
    batch = told.rsplit("xrollout untag --undo ", 1)[1].split()[0]
    assert len(batch) == 26
    assert "of 19 episodes" in run("label", "undo", *data).stdout
    assert run("query", *data, "--where", "outcome_source=model", "--episodes", "--json").stdout.strip() == "[]"


def test_an_option_before_its_command_is_refused(bags: Any) -> None:
    bags.data.mkdir()
    assert "xrollout label train --dry-run" in run("label", "--dry-run", "train", code=2).stderr


def test_numbers_that_are_not_allowed_are_told(bags: Any) -> None:
    bags.data.mkdir()
    told = run("label", "train", "--confidence", "1.5", "--data", bags.data, code=5).stderr
    assert "Give the least probability" in told
