"""Commands and reports over a data folder of real bags, written by the project's own writer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeKind, FailureJudgement, Outcome, OutcomeSource
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.catalog.api import FOLDER
from xrollout_ros.episodes.catalog.live import FILE
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.mining.tagging import tag_episode, tag_missing
from xrollout_ros.ui.cli import cli

from .attempt_bags import HELP, write_bag

CLOCK = SystemClock()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demonstrations, three successes (two from nominal starts), one tagged failure and one abort."""
    folder = tmp_path_factory.mktemp("rollouts")
    for number in range(2):
        write_bag(folder, number, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION)
    for number in range(2, 5):
        write_bag(folder, number, Outcome.SUCCESS, start="nominal" if number < 4 else "wide")
    failed = write_bag(folder, 5, Outcome.FAILURE)
    judgement = FailureJudgement(
        episode_id=failed.episode_id,
        mode="never_reached",
        stage="reach",
        moment_s=0.24,
        severity=0.3,
        confidence=0.9,
        evidence="closest approach 0.100 m <b>& more</b>",
        author="rule:never_reached",
    )
    journal.append(folder / JOURNAL, judgement.author, failed.episode_id, journal.Judged(judgement=judgement), CLOCK)
    write_bag(folder, 6, Outcome.ABORT)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def run_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_shows_every_episode_and_the_rate(data: Path) -> None:
    result = run("episodes", "list", "--data", data)
    assert result.exit_code == 0
    assert len(re.findall(r"^….{10} ", result.stdout, re.MULTILINE)) == 7
    assert "never_reached" in result.stdout
    assert "7 episodes; success 3/5 = 60%" in result.stdout
    assert "2 of 2 demonstrations succeeded" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((), 7),
        (("--outcome", "success"), 5),
        (("--outcome", "abort"), 1),
        (("--kind", "demonstration"), 2),
        (("--kind", "evaluation", "--outcome", "success"), 3),
        (("--task", "pick_and_place"), 7),
        (("--task", "push"), 0),
        (("--limit", 3), 3),
    ],
)
def test_list_chooses(data: Path, options: tuple[object, ...], count: int) -> None:
    assert len(run_json("episodes", "list", "--data", data, *options)["episodes"]) == count


@pytest.mark.parametrize(
    "options", [(), ("--outcome", "failure"), ("--kind", "demonstration"), ("--tag", "evaluation"), ("--limit", 2),
                ("--task", "pick_and_place", "--outcome", "success", "--limit", 9)],
)  # fmt: skip
def test_the_catalog_lists_what_the_bags_say(tmp_path: Path, options: tuple[object, ...]) -> None:
    for number, outcome in enumerate((Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN, Outcome.ABORT)):
        write_bag(tmp_path, number, outcome)
    helped = write_bag(tmp_path, 5, Outcome.SUCCESS, interventions=(HELP,))
    write_bag(tmp_path, 6, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION)
    tag_missing(tmp_path, SystemClock())
    said = journal.Reviewed(outcome=Outcome.FAILURE, source=OutcomeSource.HUMAN, reason="it fell")
    journal.append(tmp_path / JOURNAL, "human:ann", helped.episode_id, said, CLOCK)
    torn = tmp_path / "2026-01-02" / "torn"
    torn.mkdir()
    (torn / "torn_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    (tmp_path / JOURNAL).open("a").write("no entry\n")
    by_bags = run("episodes", "list", "--data", tmp_path, *options).stdout
    as_json = run_json("episodes", "list", "--data", tmp_path, *options)
    assert not (tmp_path / FOLDER).exists()
    assert run("index", "--data", tmp_path).exit_code == 0
    assert run("episodes", "list", "--data", tmp_path, *options).stdout == by_bags
    assert run_json("episodes", "list", "--data", tmp_path, *options) == as_json


def test_a_damaged_catalog_is_told_and_the_bags_are_listed(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_bytes(b"no database" * 1000)
    result = run("episodes", "list", "--data", tmp_path)
    assert result.exit_code == 0 and "1 episode; success 1/1" in result.stdout
    assert "xrollout index --anew" in result.stderr


def test_list_limit_keeps_the_newest(data: Path) -> None:
    (newest,) = run_json("episodes", "list", "--data", data, "--limit", 1)["episodes"]
    assert newest["outcome"] == "abort"
    assert newest["seed"] == 106


def test_list_says_what_it_could_not_read(data: Path, tmp_path: Path) -> None:
    torn = tmp_path / "2026-01-02" / "torn"
    torn.mkdir(parents=True)
    (torn / "torn_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    assert f"not read: {torn}" in run("episodes", "list", "--data", tmp_path).stdout
    listed = run_json("episodes", "list", "--data", tmp_path)
    assert [entry["path"] for entry in listed["unreadable"]] == [str(torn)]
    assert listed["episodes"] == []


def test_a_reviewer_overrides_the_bag(tmp_path: Path) -> None:
    meta = write_bag(tmp_path, 1, Outcome.SUCCESS)
    said = journal.Reviewed(outcome=Outcome.FAILURE, source=OutcomeSource.HUMAN, reason="it fell")
    journal.append(tmp_path / JOURNAL, "human:ann", meta.episode_id, said, CLOCK)
    (listed,) = run_json("episodes", "list", "--data", tmp_path)["episodes"]
    assert (listed["outcome"], listed["outcome_source"]) == ("failure", "human")
    shown = run("episodes", "show", meta.episode_id, "--data", tmp_path).stdout
    assert "failure, said by human: it fell" in shown
    assert "the bag itself says success by robot" in shown


def test_a_helped_success_is_no_success_of_the_policy_anywhere(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    helped = write_bag(tmp_path, 2, Outcome.SUCCESS, interventions=(HELP,))
    listed = run("episodes", "list", "--data", tmp_path).stdout
    assert "2 episodes; success 1/2 = 50% autonomous" in listed
    assert "1 helped by an operator" in " ".join(listed.split())
    assert "success, helped" in listed
    shown = run("episodes", "show", helped.episode_id, "--data", tmp_path).stdout
    assert "counts in no success of the policy" in shown and "joy from 0.10 s to 0.20 s" in shown


def test_a_near_miss_is_shown_wherever_its_success_is(tmp_path: Path) -> None:
    near = write_bag(tmp_path, 1, Outcome.SUCCESS)
    write_bag(tmp_path, 2, Outcome.SUCCESS)
    said = journal.Tagged(tag="near-miss", reason="success came <late>")
    journal.append(tmp_path / JOURNAL, "rule:near_miss", near.episode_id, said, CLOCK)
    assert run("episodes", "list", "--data", tmp_path).stdout.count("near-miss") == 1
    shown = run("episodes", "show", near.episode_id, "--data", tmp_path).stdout
    assert "near-miss (rule:near_miss: success came <late>)" in " ".join(shown.split())


def test_an_attempt_that_was_helped_is_tagged_and_only_somebody_s_word_takes_it_off(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    write_bag(tmp_path, 2, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION, interventions=(HELP,))
    helped = write_bag(tmp_path, 3, Outcome.SUCCESS, interventions=(HELP,))
    tag_missing(tmp_path, SystemClock())
    before = (tmp_path / JOURNAL).read_bytes()
    tag_missing(tmp_path, SystemClock())
    assert (tmp_path / JOURNAL).read_bytes() == before, "once is enough"

    def tagged() -> list[str]:
        found = run_json("episodes", "list", "--data", tmp_path, "--tag", "failure-recovery")["episodes"]
        return [episode["episode_id"] for episode in found]

    assert tagged() == [helped.episode_id]
    assert run("episodes", "list", "--data", tmp_path).stdout.count("failure-recovery") == 1
    shown = run("episodes", "show", helped.episode_id, "--data", tmp_path).stdout
    assert "failure-recovery (rule:failure-recovery: joy drove)" in shown
    changed = run("untag", helped.episode_id, "failure-recovery", "--data", tmp_path)
    assert changed.stdout.strip() == f"{helped.episode_id}: evaluation"
    tag_episode(tmp_path, helped.episode_id, CLOCK)
    assert tagged() == []
    assert run("tag", helped.episode_id, "failure-recovery", "mine", "--data", tmp_path).exit_code == 0
    assert tagged() == [helped.episode_id]
    assert (tmp_path / JOURNAL).read_bytes().startswith(before)
    refused = run("tag", helped.episode_id, "Not Allowed", "--data", tmp_path)
    assert refused.exit_code == 5 and "'Not Allowed' is not allowed" in refused.stderr


def test_show_by_id_suffix_and_path_agree(data: Path) -> None:
    failed = run_json("episodes", "list", "--data", data, "--outcome", "failure")["episodes"][0]
    by_id = run_json("episodes", "show", failed["episode_id"], "--data", data)
    assert by_id == run_json("episodes", "show", failed["episode_id"][-8:].lower(), "--data", data)
    by_path = run_json("episodes", "show", failed["path"])
    assert by_path == by_id
    assert by_id["arrays"] == {"state": [20, 14], "action": [20, 4], "stamp_s": [20], "source": [20]}
    assert by_id["sources"] == {"policy": 20}
    assert by_id["judgements"][0]["mode"] == "never_reached"
    assert by_id["topics"]["/xrollout/command"] == {"received": 20, "lost": 0}


def test_show_tells_what_matters_and_how_to_open(data: Path) -> None:
    failed = run_json("episodes", "list", "--data", data, "--outcome", "failure")["episodes"][0]
    page = run("episodes", "show", failed["path"]).stdout
    for shown in (
        "failure, said by time_limit",
        "never_reached in reach at 0.24 s: closest approach 0.100 m",
        "state (20, 14), action (20, 4)",
        "20 by policy",
        "/scene/object",
        "Foxglove",
        "--in rviz",
        "read_episode(",
    ):
        assert shown in page


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("episodes", "list", "--data", "nowhere"), 5, "nowhere is not there"),
        (("episodes", "list", "--task", "pikc"), 2, "unknown task 'pikc'"),
        (("episodes", "show", "01ZZZZ", "--data", "{data}"), 5, "no episode"),
        (("episodes", "show", "0", "--data", "{data}"), 5, "fits 7 episodes"),
        (("episodes", "show", "no/such/bag"), 4, "no/such/bag"),
    ],
)
def test_errors_name_the_thing_and_the_remedy(data: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    result = run(*(argument.format(data=data) for argument in arguments))
    assert result.exit_code == status
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert "\n  → " in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_what_the_graph_left_untagged_is_tagged_once(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.FAILURE)
    write_bag(tmp_path, 2, Outcome.SUCCESS)
    assert tag_missing(tmp_path, SystemClock()) == 1
    assert tag_missing(tmp_path, SystemClock()) == 0
    (failed,) = run_json("episodes", "list", "--data", tmp_path, "--outcome", "failure")["episodes"]
    assert [judgement["mode"] for judgement in failed["judgements"]][:1] == ["never_reached"]
