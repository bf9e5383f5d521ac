"""Reports of deployments: from bags to figures, from figures to a page, and that neither harms a run."""

from __future__ import annotations

import itertools
import json
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xrollout_ros.core.episode import (
    RUN,
    EpisodeKind,
    FailureJudgement,
    Outcome,
    SafetyRecord,
    TopicCount,
)
from xrollout_ros.core.errors import DataError, GraphError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Severity
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.episodes.records import read_records
from xrollout_ros.episodes.runs import bags_of_run, newest_run
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.ui import run_report
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.deployment import DeploymentReport, Story, Training
from xrollout_ros.ui.looked import spread
from xrollout_ros.ui.report import FACTS, PAGE, in_turn, make_report, read_report, write_report
from xrollout_ros.ui.run_report import folder_of, leaving_report, report_run
from xrollout_ros.ui.summary import Chosen

from .attempt_bags import CLOCK, HELP, TASK, write_bag
from .pages import Page


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def judge(data: Path, episode_id: str, mode: str = "never_reached", **fields: Any) -> None:
    known = {"stage": "reach", "moment_s": 0.12, "severity": 0.3, "confidence": 0.9, "evidence": "<b>& far</b>"}
    author = f"rule:{mode}"
    found = FailureJudgement(episode_id=episode_id, mode=mode, author=author, **{**known, **fields})
    journal.append(data / JOURNAL, author, episode_id, journal.Judged(judgement=found), CLOCK)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of three successes (two from nominal starts, one helped), two tagged failures and an abort; before it one
    of another run, and beside it a clip.
    """
    folder = tmp_path_factory.mktemp("rollouts")
    write_bag(folder, 0, Outcome.FAILURE, parameters={RUN: new_id()})
    name = new_id()
    parameters = {RUN: name, "drive": "real_time", "control_rate_hz": 80.0}
    of: dict[str, Any] = {"parameters": parameters, "checkpoint_hash": "ab" * 32}
    write_bag(folder, 1, Outcome.SUCCESS, start="nominal", **of)
    write_bag(folder, 2, Outcome.SUCCESS, start="nominal", site="lab 3", level="L2", **of)
    write_bag(folder, 3, Outcome.SUCCESS, interventions=(HELP,), **of)
    judge(folder, write_bag(folder, 4, Outcome.FAILURE, **of).episode_id)
    struck = SafetyRecord(at_s=0.1, check="force", severity=Severity.HOLD, value=float("inf"), limit=40.0, began=True)
    over = struck.model_copy(update={"at_s": 0.2, "began": False})
    topics = {"/sawyer/hand": TopicCount(received=19, lost=1)}
    last = write_bag(folder, 5, Outcome.FAILURE, safety_events=[struck, over], topics=topics, **of)
    judge(folder, last.episode_id, "dropped", severity=0.8)
    judge(folder, write_bag(folder, 6, Outcome.ABORT, **of).episode_id, "operator_abort")
    write_bag(folder, 7, Outcome.UNKNOWN, EpisodeKind.CLIP, **of)
    return folder, name


def written(data: Path, name: str, folder: Path, story: Story | None = None) -> tuple[DeploymentReport, Page]:
    """A run's report as it is on the disk."""
    made = report_run(data, name, story=story)
    path = write_report(folder, made)
    page = Page(path)
    page.check()
    report = read_report(folder)
    assert report.model_dump_json() == made.report.model_dump_json(), "JSON goes there and back"
    return report, page


Found = tuple[DeploymentReport, Page]


@pytest.fixture(scope="module")
def found(deployed: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Its report."""
    folder = tmp_path_factory.mktemp("report")
    made = written(*deployed, folder)
    assert {path.name for path in folder.iterdir()} == {PAGE, FACTS}
    return made


def test_a_report_counts_its_run_and_nothing_else(deployed: tuple[Path, str], found: Found) -> None:
    name, (report, page) = deployed[1], found
    assert (report.run, report.rate.successes, report.rate.attempts, report.rate.helped) == (name, 2, 6, 1)
    assert report.outcomes == {"success": 3, "failure": 2, "abort": 1, "unknown": 0}
    assert [(each.name, each.rate.successes, each.rate.attempts) for each in report.by_start] == [
        ("nominal", 2, 2),
        ("wide", 0, 4),
    ]
    assert [(each.name, each.rate.attempts) for each in report.by_environment] == [("L0", 5), ("L2, lab 3", 1)]
    assert [each.number for each in report.attempts] == [1, 2, 3, 4, 5, 6]
    assert [each.number for each in report.unsuccessful] == [4, 5, 6]
    assert report.clips == 1
    assert report.settings["drive"] == "real_time" and RUN not in report.settings
    (policy,) = report.policies
    assert (policy.name, policy.checkpoint_hash) == ("01J00000000000000000000000", "ab" * 32)
    # Figures of the page are those of the JSON.
    for group in report.by_start:
        assert f"{group.rate.successes} of {group.rate.attempts} succeeded" in page.text
        assert str(group.rate) in page.text
    assert "2 of 2 succeeded" in page.text and "0 of 4 succeeded autonomously" in page.text
    for attempt in report.attempts:
        assert attempt.open.startswith(f"xrollout episodes open {attempt.episode_id} --data ")
        assert f"xrollout episodes open {attempt.episode_id}" in page.text
        assert attempt.episode_id in page.ids
    assert "success, helped" in page.text
    assert "1 were saved" in page.text


def test_failures_are_ranked_by_what_they_cost(found: Found) -> None:
    report, page = found
    assert [each.mode for each in report.failures] == ["dropped", "never_reached", "operator_abort"]
    first = report.failures[0]
    assert first.score == pytest.approx(first.low * 0.8)
    assert first.episodes == (report.attempts[4].episode_id,)
    assert page.text.index("dropped") < page.text.index("never reached")
    assert "&lt;b&gt;&amp; far&lt;/b&gt;" in page.html and "<b>&" not in page.html


def test_help_safety_losses_and_times_are_told(found: Found) -> None:
    report, page = found
    (helped,) = report.help
    assert (helped.operator, helped.takeovers, helped.episodes) == ("joy", 1, (report.attempts[2].episode_id,))
    assert helped.seconds == pytest.approx(0.1)
    (struck,) = report.safety
    assert (struck.check, struck.severity, struck.times, struck.first.value) == ("force", "hold", 1, float("inf"))
    (loss,) = report.losses
    assert (loss.topic, loss.lost, loss.episodes) == ("/sawyer/hand", 1, (report.attempts[4].episode_id,))
    assert report.latency is not None
    assert (report.latency.episodes, report.latency.commands) == (6, 120)
    for words in ("joy", "force", "inf at 0.10 s, limit 40", "/sawyer/hand", "120 commands"):
        assert words in page.text, words


def test_pictures_are_of_starts_paths_and_moments(found: Found) -> None:
    report, page = found
    assert report.axes == tuple(f"{name}_position {axis}, m" for name in ("object", "goal") for axis in "xyz")
    starts = [each.start_values for each in report.attempts]
    assert starts[3] == pytest.approx((0.04, 0.65, 0.02, 0.1, 0.8, 0.2))
    assert report.looked_into == 6
    titles = ("Where the attempts started: object position", "In the order made", "How the hand moved, from above")
    for title in titles:
        assert title in page.text
    # Starts, course, two of the hand, times, and a moment of each failure.
    assert page.tags.count("svg") == 5 + 3
    assert "2 succeeded, 1 with an operator&#39;s help, 3 did not" in page.html
    assert "Attempt 5: dropped in reach" in page.text


def test_a_training_and_a_command_are_part_of_the_story(deployed: tuple[Path, str], tmp_path: Path) -> None:
    training = Training(
        checkpoint=tmp_path / "c.pt", checkpoint_hash="ab" * 32, policy="flow", episodes=2, rows=1234,
        losses=(1.0, 0.5, None), duration_s=12.0, left_out={"bad": 1},
    )  # fmt: skip
    story = Story(command="xrollout demo --seed 3", training=training, took_s={"record": 1.0})
    report, page = written(*deployed, tmp_path / "report", story)
    assert report.story == story
    for words in ("xrollout demo --seed 3", "How the policy learned", "1234 observations", "1: bad", "record 1.0 s"):
        assert words in page.text, words


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN])
def test_a_run_may_be_all_of_one_outcome(tmp_path: Path, outcome: Outcome) -> None:
    name = new_id()
    for number in range(3):
        write_bag(tmp_path, number, outcome, parameters={RUN: name})
    report, page = written(tmp_path, name, tmp_path / "report")
    known = outcome is not Outcome.UNKNOWN
    assert (report.rate.attempts, report.rate.unknown) == ((3, 0) if known else (0, 3))
    assert ("No attempt with a known outcome" in page.text) is not known
    assert bool(report.failures) is (outcome is Outcome.FAILURE)
    # The rules find out why, as the tagger would have.
    assert all(each.mode == "never_reached" for each in report.failures)


def test_demonstrations_are_what_is_rated_where_there_is_no_policy(tmp_path: Path) -> None:
    name = new_id()
    for number in range(2):
        write_bag(tmp_path, number, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION, (HELP,), parameters={RUN: name})
    report, page = written(tmp_path, name, tmp_path / "report")
    assert (report.made, report.rate.successes, report.help, report.policies) == ("demonstrations", 2, (), ())
    assert report.demonstrations == ()
    assert "Demonstrations of task" in page.text


def test_demonstrations_beside_attempts_count_in_nothing(tmp_path: Path) -> None:
    name = new_id()
    write_bag(tmp_path, 0, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION, parameters={RUN: name})
    write_bag(tmp_path, 1, Outcome.FAILURE, parameters={RUN: name})
    report, page = written(tmp_path, name, tmp_path / "report")
    assert (report.rate.successes, report.rate.attempts, len(report.demonstrations)) == (0, 1, 1)
    assert report.demonstrations[0].start_values is not None
    assert "1 demonstrations beside them" in page.text


def test_a_bag_that_cannot_be_read_is_told_where_it_may_be_of_the_run(tmp_path: Path) -> None:
    early, name, own, after, late = (f"01K{number}{'0' * 22}" for number in range(1, 6))
    for number, of in enumerate((name, after)):
        write_bag(tmp_path, number, Outcome.SUCCESS, parameters={RUN: of})
    for episode in (early, own, late):
        folder = tmp_path / "2026-01-02" / f"030400_pick_and_place_{episode}"
        folder.mkdir(parents=True)
        (folder / "torn_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    report, page = written(tmp_path, name, tmp_path / "report")
    assert [each.path.name[-26:] for each in report.not_read] == [own]
    assert report.rate.attempts == 1
    assert "1 bag cannot be read; if these were attempts, no figure here counts them" in page.text
    assert bags_of_run(tmp_path, after).unreadable[0].path.name.endswith(late)


def test_a_bag_that_is_damaged_inside_is_counted_and_its_pictures_are_left_out(tmp_path: Path) -> None:
    name = new_id()
    for number in range(3):
        write_bag(tmp_path, number, Outcome.FAILURE, parameters={RUN: name})
    data = sorted(tmp_path.glob("*/*/*.mcap"))[1]
    content = bytearray(data.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    data.write_bytes(bytes(content))
    report, _ = written(tmp_path, name, tmp_path / "report")
    assert report.rate.attempts == 3
    assert report.looked_into == 2
    assert any("could not be looked into" in note for note in report.notes)


def test_thousands_of_attempts_take_some_seconds(tmp_path: Path) -> None:
    for number in range(4):
        write_bag(tmp_path, number, Outcome.SUCCESS if number % 2 else Outcome.FAILURE)
    some = read_records(tmp_path).records
    many = [
        replace(record, meta=record.meta.model_copy(update={"episode_id": new_id()}))
        for record in (some[number % 4] for number in range(3000))
    ]
    begin_s = time.process_time()
    made = make_report(Chosen(tmp_path, TASK, "metaworld_sawyer", many))
    path = write_report(tmp_path / "report", made)
    assert time.process_time() - begin_s < 12, "it takes some 5 s"
    page = Page(path)
    page.check()
    assert made.report.rate.attempts == 3000
    assert made.report.looked_into < 3000
    assert any("spread evenly over them" in note for note in made.report.notes)
    assert "1500 that succeeded" in page.text
    assert len(page.ids) > 3000, "each attempt is named all the same"


def test_several_tasks_are_no_deployment(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    (record,) = read_records(tmp_path).records
    other = replace(record, meta=record.meta.model_copy(update={"task": "push"}))
    with pytest.raises(DataError, match="several tasks: pick_and_place, push"):
        Chosen(tmp_path, TASK, "metaworld_sawyer", [record, other])


# --- runs -----------------------------------------------------------------------------------------------------------


def graph(data: Path) -> GraphDescription:
    return describe("record", {"task": "pick_and_place", "episodes": "2", "data": str(data)})


def leave(description: GraphDescription, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What is printed at the end of a graph that did nothing more."""
    with leaving_report(description, "xrollout up record"):
        pass
    return capsys.readouterr()


def test_a_graph_that_ends_leaves_its_report_beside_the_bags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for number in range(2):
        description = graph(tmp_path)
        write_bag(tmp_path, number, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION, parameters={RUN: description.run})
        out, err = leave(description, capsys)
        assert "demonstrated from wide starts: 1/1 = 100%" in out and err == ""
        paths.append(Path(out.rsplit("report: ", 1)[1].strip()))
    assert paths[0] != paths[1], "no run's report lies in another's place"
    for path in paths:
        assert path.parent.parent == tmp_path / run_report.FOLDER
        assert read_report(path.parent).rate.attempts == 1
        assert read_report(path.parent).story.command == "xrollout up record"
    assert description.processes[-1].parameters[RUN] == description.run


def test_a_graph_that_made_nothing_leaves_a_report_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = graph(tmp_path)
    out, _ = leave(description, capsys)
    assert out.startswith("nothing was recorded\n")
    page = Page(folder_of(tmp_path, description.run) / PAGE)
    page.check()
    assert "Nothing was recorded" in page.text and TASK.instruction in page.text


def test_an_interrupted_run_leaves_one_and_a_failed_one_without_attempts_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, left in ((KeyboardInterrupt(), True), (GraphError("busy", "Wait."), False)):
        description = graph(tmp_path)
        with pytest.raises(type(error)), leaving_report(description, "xrollout up record"):
            raise error
        assert (folder_of(tmp_path, description.run) / PAGE).is_file() is left
    description = graph(tmp_path)
    write_bag(tmp_path, 1, Outcome.ABORT, EpisodeKind.DEMONSTRATION, parameters={RUN: description.run})
    with pytest.raises(GraphError), leaving_report(description, "xrollout up record"):
        raise GraphError("recorder died 4 times", "Look.")
    assert (folder_of(tmp_path, description.run) / PAGE).is_file()


@pytest.mark.parametrize(
    "error", [RuntimeError("no pictures today"), DataError("full", "Free it."), KeyboardInterrupt()]
)
def test_a_report_that_fails_does_not_fail_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def refuse(*_: object) -> Path:
        raise error

    monkeypatch.setattr(run_report, "write_report", refuse)
    description = graph(tmp_path)
    _, err = leave(description, capsys)
    assert "warning: no report: " in err
    assert (str(error) or "interrupted") in err
    assert f"xrollout report {description.run} --data {tmp_path}" in err


def test_the_command_makes_it_at_any_later_time(deployed: tuple[Path, str], tmp_path: Path) -> None:
    data, name = deployed
    assert newest_run(data) == name
    told = run("report", "--data", data, "--output", tmp_path / "a")
    assert told.exit_code == 0, told.output
    assert "success from nominal starts: 2/2 = 100%" in told.output
    assert "costs most: dropped, 1 of 6 attempts" in told.output
    assert f"report: {tmp_path / 'a' / PAGE}" in told.output
    by_name = run("report", name, "--data", data, "--output", tmp_path / "b", "--json")
    assert by_name.exit_code == 0, by_name.output
    json.loads(by_name.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    report = DeploymentReport.model_validate_json(by_name.stdout)
    assert report == read_report(tmp_path / "b")
    assert report.attempts == read_report(tmp_path / "a").attempts


def test_filters_choose_episodes_of_any_runs(deployed: tuple[Path, str], tmp_path: Path) -> None:
    data, name = deployed
    told = run("report", "--start", "wide", "--data", data, "--output", tmp_path, "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["rate"]["attempts"] == 5
    for arguments, words in (
        (("--start", "wide"), "give --output FOLDER"),
        ((name, "--start", "wide", "--output", tmp_path), "leave out RUN"),
        (("--start", "narrow", "--output", tmp_path), "no episode of"),
        (("01J0",), "run '01J0' is not a ULID"),
    ):
        refused = run("report", *arguments, "--data", data)
        assert refused.exit_code in (2, 5) and words in refused.stderr, refused.stderr


def test_a_folder_without_runs_says_how_to_choose(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    refused = run("report", "--data", tmp_path)
    assert refused.exit_code == 5 and "names the run that made it" in refused.stderr


def test_the_demo_ends_with_commands_that_answer(
    deployed: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from xrollout_ros.ui.demo import next_commands

    monkeypatch.chdir(tmp_path)
    report = report_run(*deployed).report
    for command, why in next_commands(report, report.unsuccessful[0]):
        name, *arguments = shlex.split(command)
        assert name == "xrollout"
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, f"{why}: {command}\n{result.output}"
    assert json.loads((tmp_path / "failures.json").read_text())["asked"]["min_attempts"] == 10


# --- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 100])
def test_a_spread_takes_each_once_and_its_beginning_lies_evenly(count: int) -> None:
    order = list(spread(count))
    assert sorted(order) == list(range(count))
    if count == 100:
        begin = sorted(order[:10])
        assert max(after - before for before, after in itertools.pairwise(begin)) <= 17


def test_failures_are_shown_mode_by_mode() -> None:
    assert in_turn([["a", "b", "c"], ["d"]], 3) == ["a", "d", "b"]
    assert in_turn([], 3) == []
