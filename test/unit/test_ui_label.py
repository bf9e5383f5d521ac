"""`xrollout label`: what it says in the terminal and as JSON, and how it says that it was stopped."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import parse
from xrollout_ros.episodes.layers import Layers
from xrollout_ros.mining.review.api import Reviews
from xrollout_ros.mining.success import training
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.review_loop import Session
from xrollout_ros.ui.viewers.opened import Opened, find_bag, open_at

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
    stop = json.loads(run("label", *data, "--json", code=5).stdout)["error"]
    assert stop["state"] == "no_classifier"
    assert "label train" in stop["remedy"]
    stop = run("label", "train", *data, code=5)
    assert "too_few: pick_and_place on metaworld_sawyer has 0 successes and 0 failures" in stop.stderr
    assert "xrollout review" in stop.stderr
    marked(bags, 42)
    told = run("label", "train", *data, "--confidence", "0.7").stdout
    assert "learned from 21 failure, 21 success by person" in told
    assert "unsure from 0.3 to 0.7" in told
    dry = json.loads(run("label", *data, "--dry-run", "--json").stdout)
    assert (dry["state"], dry["batch"]) == ("dry_run", "")
    told = run("label", *data).stdout
    assert "gathering" in told
    assert f"labelled {dry['success']} success and {dry['failure']} failure; unsure of {dry['unsure']}" in told
    (status,) = json.loads(run("review", "status", *data, "--json").stdout)["auto_labels"]
    assert (status["state"], status["labels"]) == ("gathering", dry["success"] + dry["failure"])
    assert status["classifier"] == dry["classifier"]
    assert "nobody has checked a label yet" in run("review", "status", *data).stdout
    waits = [each for each in json.loads(run("review", "list", *data, "--json").stdout) if "check" in each["why"][0]]
    assert len(waits) == dry["human_sample"] > 1
    assert {each["outcome"] for each in waits} == {""}
    said = ("review", "say", waits[0]["episode_id"], "--outcome", "success", "--json", "--reviewer", "ann")
    decided = json.loads(run(*said, *data).stdout)
    assert decided["label"]["outcome"] in ("success", "failure")
    sealed_until_decided(bags.data, waits[1]["episode_id"])
    batch = told.rsplit("xrollout untag --undo ", 1)[1].split()[0]
    assert len(batch) == 26
    assert "of 18 episodes" in run("label", "undo", *data).stdout
    assert run("query", *data, "--where", "outcome_source=model", "--episodes", "--json").stdout.strip() == "[]"


class Keys:
    """Somebody types."""

    def __init__(self, typed: str) -> None:
        self._typed = iter(typed)

    def key(self) -> str:
        return next(self._typed)

    def line(self, prompt: str) -> str | None:
        return None

    def forget(self) -> None:
        pass


def sealed_until_decided(data: Path, episode_id: str) -> None:
    """Neither the screen nor the viewer tells the label before the decision; the screen does after it."""
    opened: list[Opened] = []

    class Opener:
        def open(self, episode_id: str, at_s: float | None = None, without_layers: Sequence[str] = ()) -> str:
            layers = Layers(without=tuple(without_layers))
            opened.append(open_at(find_bag(episode_id, data), at_s=at_s, before_s=1, after_s=1, layers=layers))
            return "shown"

    screen = Console(file=io.StringIO(), width=200)
    with Catalog(data) as catalog:
        catalog.update()
        conditions = [parse(f"episode_id={episode_id}")]
        assert Session(Reviews(catalog, "ann"), conditions, screen, Keys("osq"), Opener()).run() == 1
    assert isinstance(screen.file, io.StringIO)
    before, after = screen.file.getvalue().split("✓")
    assert "what a success classifier says, until you have decided" in before
    assert not any(word in before for word in ("probability", "auto-labeled", "said by model"))
    assert "the success classifier had said" in after
    assert opened[0].effective is not None
    assert (opened[0].effective.outcome, opened[0].effective.source) == (Outcome.UNKNOWN, OutcomeSource.TIME_LIMIT)


def test_an_option_before_its_command_is_refused(bags: Any) -> None:
    bags.data.mkdir()
    assert "xrollout label train --dry-run" in run("label", "--dry-run", "train", code=2).stderr


def test_numbers_that_are_not_allowed_are_told(bags: Any) -> None:
    bags.data.mkdir()
    told = run("label", "train", "--confidence", "1.5", "--data", bags.data, code=5).stderr
    assert "Give the least probability" in told
