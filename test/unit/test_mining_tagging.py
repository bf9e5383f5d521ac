"""Tagging data folders: the journal, plug-ins, two at once, bags that are gone or foreign."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.errors import BagError, DataError, SpecError
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.journal import Judged, Retracted, Reviewed, Tagged
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining import tagging
from xrollout_ros.mining.labellers import GROUP, Label, Named, load_labellers
from xrollout_ros.mining.tagging import tag_episode, why_recovery
from xrollout_ros.ui.cli import cli

from .test_mining_rules import dropped, never_reached, recovery, under_way

CLOCK = SystemClock()


class Says:
    """A labeller that says what it is given."""

    def __init__(self, *labels: Any) -> None:
        self.labels = labels

    def label(self, episode: EpisodeData) -> list[Any]:
        return list(self.labels)


def entries(bags: Any) -> tuple[journal.JournalEntry, ...]:
    return journal.read(bags.data / "journal.jsonl").entries


def held(bags: Any, episode: EpisodeData) -> list[str]:
    return [each.mode for each in journal.effective(episode.meta, entries(bags)).judgements]


def test_a_tag_is_kept_once_and_the_bag_unchanged(bags: Any) -> None:
    episode = dropped(bags)
    before = {path: path.read_bytes() for path in episode.path.iterdir()}
    first = tag_episode(bags.data, episode.meta.episode_id, CLOCK)
    again = tag_episode(bags.data, episode.meta.episode_id, CLOCK)
    assert (first.changed, again.changed) == (True, False)
    assert first.judgements == again.judgements
    assert held(bags, episode) == ["dropped", "timeout"]
    assert len(entries(bags)) == 2, "the same judgement again is nothing new"
    assert {path: path.read_bytes() for path in episode.path.iterdir()} == before
    with pytest.raises(DataError, match="no episode"):
        tag_episode(bags.data, "01M7X39E2BNZKTYXNYD0KCAPAD", CLOCK)


def test_what_no_longer_holds_is_taken_back_and_order_counts(bags: Any) -> None:
    episode = dropped(bags)
    found = tag_episode(bags.data, episode.meta.episode_id, CLOCK)
    assert episode.task is not None
    rules = {"handling": {"carried_m": 5.0}}
    strict = episode.task.model_copy(update={"tagging": episode.task.tagging.model_copy(update={"rules": rules})})
    dry = tag_episode(bags.data, episode.meta.episode_id, CLOCK, task=strict, dry=True)
    assert [each.mode for each in dry.judgements] == ["grasp_failure", "timeout"]
    assert held(bags, episode) == ["dropped", "timeout"]
    tag_episode(bags.data, episode.meta.episode_id, CLOCK, task=strict)
    assert held(bags, episode) == ["grasp_failure", "timeout"]
    tag_episode(bags.data, episode.meta.episode_id, CLOCK)
    assert journal.effective(episode.meta, entries(bags)).judgements == found.judgements
    assert any(isinstance(entry.what, Retracted) for entry in entries(bags))


def test_people_keep_the_last_word(bags: Any) -> None:
    episode = never_reached(bags)
    path, name = bags.data / "journal.jsonl", episode.meta.episode_id
    judgement = tag_episode(bags.data, name, CLOCK).judgements[0]
    said = judgement.model_copy(update={"mode": "blocked", "author": "human:ann"})
    journal.append(path, "human:ann", name, Judged(judgement=said), CLOCK)
    tag_episode(bags.data, name, CLOCK)
    assert held(bags, episode)[0] == "blocked"
    journal.append(path, "human:ann", name, Reviewed(outcome=Outcome.SUCCESS, source=OutcomeSource.HUMAN), CLOCK)
    assert tag_episode(bags.data, name, CLOCK).judgements == (), "a success has no reason to fail"
    assert held(bags, episode) == []


def test_a_recovery_in_a_success_becomes_a_tag(bags: Any) -> None:
    episode = recovery(bags, outcome="success", outcome_source="robot")
    found = tag_episode(bags.data, episode.meta.episode_id, CLOCK)
    assert found.failures == ()
    assert "successful-recovery" in journal.effective(episode.meta, entries(bags)).tags
    assert not tag_episode(bags.data, episode.meta.episode_id, CLOCK).changed


def test_what_an_operator_typed_cannot_break_the_journal(bags: Any) -> None:
    end = {"outcome": "abort", "outcome_source": "system", "outcome_reason": "gone\n{\x1b[31m../../etc"}
    episode = never_reached(bags, **end)
    tag_episode(bags.data, episode.meta.episode_id, CLOCK)
    (judgement,) = journal.effective(episode.meta, entries(bags)).judgements
    assert judgement.evidence == "said by system: gone {  [31m../../etc".replace("  ", " ")
    assert journal.read(bags.data / "journal.jsonl").problems == ()


def _tag(data: Path, name: str, turns: int) -> None:
    for _ in range(turns):
        tag_episode(data, name, CLOCK)


def test_two_at_once_say_it_once(bags: Any) -> None:
    episode = dropped(bags)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_tag, args=(bags.data, episode.meta.episode_id, 3)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [entry.author for entry in entries(bags)] == ["rule:dropped", "rule:timeout"]


def test_a_bag_that_goes_while_it_is_tagged(bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, other = dropped(bags), never_reached(bags)

    def find(data: Path, name: str) -> Any:
        entry = find_episode(data, name)
        shutil.rmtree(entry.path)
        return entry

    find_episode = tagging.find_episode
    monkeypatch.setattr(tagging, "find_episode", find)
    with pytest.raises(BagError, match="there is no bag"):
        tag_episode(bags.data, gone.meta.episode_id, CLOCK)
    monkeypatch.undo()
    assert entries(bags) == ()
    assert tag_episode(bags.data, other.meta.episode_id, CLOCK).changed


def test_a_full_disk_leaves_the_journal_as_it_was(bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    episode = dropped(bags)
    tag_episode(bags.data, never_reached(bags).meta.episode_id, CLOCK)
    before = (bags.data / "journal.jsonl").read_bytes()

    def full(handle: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(DataError, match="nothing was added"):
        tag_episode(bags.data, episode.meta.episode_id, CLOCK)
    monkeypatch.undo()
    assert (bags.data / "journal.jsonl").read_bytes() == before


def test_the_installed_task_says_how_an_older_bag_is_judged(bags: Any) -> None:
    bags.task = bags.task.model_copy(update={"reach": None})
    episode = never_reached(bags)
    assert episode.task is not None
    assert episode.task.reach is None
    assert tag_episode(bags.data, episode.meta.episode_id, CLOCK).judgements[0].mode == "never_reached"


LABEL = Label("wobbly_table", 0.2, 0.5, 0.7, "the table moved 3 cm at 0.2 s", "grasp")


def test_another_labeller_has_its_own_word(bags: Any) -> None:
    episode = under_way(bags)
    seer = Named("seer", Says(LABEL))
    found = tag_episode(bags.data, episode.meta.episode_id, CLOCK, labellers=[seer])
    assert [(each.mode, each.author) for each in found.judgements] == [
        ("timeout", "rule:timeout"),
        ("wobbly_table", "model:seer"),
    ]
    tag_episode(bags.data, episode.meta.episode_id, CLOCK)
    assert held(bags, episode) == ["timeout", "wobbly_table"], "who was not asked is not taken back"
    silent = Named("seer", Says())
    tag_episode(bags.data, episode.meta.episode_id, CLOCK, labellers=[silent])
    assert held(bags, episode) == ["timeout"]


@pytest.mark.parametrize(
    "label",
    [
        replace(LABEL, mode="../../etc/passwd"),
        replace(LABEL, mode="Dropped\n"),
        replace(LABEL, evidence="red \x1b[31m"),
        replace(LABEL, evidence="x" * 3000),
        replace(LABEL, moment_s=float("nan")),
        replace(LABEL, severity=7.0),
        replace(LABEL, stage="a\0b"),
        "dropped",
    ],
)
def test_what_may_not_be_said_is_refused_as_a_whole(bags: Any, label: Any) -> None:
    episode = under_way(bags)
    bad = Named("seer", Says(LABEL, label))
    found = tag_episode(bags.data, episode.meta.episode_id, CLOCK, labellers=[bad])
    assert "labeller 'seer'" in found.problems[0]
    assert held(bags, episode) == ["timeout"], "the rules' word is kept, the labeller's not even by half"


def test_a_labeller_that_fails_costs_no_other_tag(bags: Any) -> None:
    class Fails:
        def label(self, episode: EpisodeData) -> list[Label]:
            raise RuntimeError("no GPU")

    episode = under_way(bags)
    tag_episode(bags.data, episode.meta.episode_id, CLOCK, labellers=[Named("seer", Says(LABEL))])
    found = tag_episode(bags.data, episode.meta.episode_id, CLOCK, labellers=[Named("seer", Fails())])
    assert "RuntimeError: no GPU" in found.problems[0]
    assert held(bags, episode) == ["timeout", "wobbly_table"], "what it said before stays"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with a labeller, installed as pip leaves it."""
    site = tmp_path / "site"
    info = site / "xr_seer-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: xr-seer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nseer = xr_seer:Seer\nplain = xr_seer:Plain\n")
    (site / "xr_seer.py").write_text(
        "from xrollout_ros.mining.labellers import Label\n"
        "class Seer:\n"
        "    def label(self, episode):\n"
        "        rows = len(episode)\n"
        "        return [Label('wobbly_table', 0.1, 0.5, 0.7, f'{rows} rows were seen')]\n"
        "class Plain:\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield "seer"
    sys.modules.pop("xr_seer", None)


def test_an_installed_labeller_is_found_by_its_entry_point(bags: Any, installed: str) -> None:
    episode = under_way(bags)
    arguments = ["episodes", "judge", episode.meta.episode_id, "--labeller", installed, "--data", str(bags.data)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert f"wobbly_table at 0.10 s: {len(episode)} rows were seen" in result.stdout
    with pytest.raises(SpecError, match="no labeller"):
        load_labellers(["plain"])
    with pytest.raises(SpecError, match="no plug-in 'oracle'"):
        load_labellers(["oracle"])
    with pytest.raises(SpecError, match="is not a name"):
        load_labellers(["../seer"])


def test_the_command_goes_on_past_what_it_cannot_read(bags: Any) -> None:
    good, torn = dropped(bags), never_reached(bags)
    file = next(torn.path.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-200])
    foreign = bags.data / "foreign"
    foreign.mkdir()
    (foreign / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 9}\n")
    result = CliRunner().invoke(cli, ["episodes", "judge", "--all", "--json", "--data", str(bags.data)])
    assert result.exit_code == BagError.exit_code
    answer = json.loads(result.stdout)
    assert [each["episode_id"] for each in answer["tagged"]] == [good.meta.episode_id]
    assert answer["tagged"][0]["judgements"][0]["mode"] == "dropped"
    assert [each["episode_id"] for each in answer["not_tagged"]] == [torn.meta.episode_id]
    assert held(bags, good) == ["dropped", "timeout"]
    result = CliRunner().invoke(cli, ["episodes", "judge", str(foreign), "--data", str(bags.data)])
    assert result.exit_code == BagError.exit_code
    assert "foreign" in result.stderr


def test_the_command_says_what_does_not_apply(bags: Any) -> None:
    episode = dropped(bags)
    path = str(episode.path)
    result = CliRunner().invoke(cli, ["episodes", "judge", path, "--dry-run", "--data", str(bags.data)])
    assert result.exit_code == 0, result.output
    assert "dropped in transport at" in result.stdout
    assert "1 would change" in result.stdout
    assert "rule collision does not apply: the task names no force" in result.stdout
    assert entries(bags) == ()


def test_nothing_is_written_where_nobody_may(bags: Any) -> None:
    episode = dropped(bags)
    (bags.data / tagging.LOCK).mkdir()
    with pytest.raises(DataError, match="nothing was tagged"):
        tag_episode(bags.data, episode.meta.episode_id, CLOCK)


SPAN = {"operator": "joy", "begin_s": 0.1, "end_s": 0.2}


@pytest.mark.parametrize(
    ("meta", "sources", "why"),
    [
        ({"policy_id": "p"}, {0, 3}, ""),
        ({"policy_id": "p", "interventions": [SPAN]}, {0, 1}, "joy drove"),
        ({"policy_id": "p"}, {0, 1}, "an operator drove"),  # a repaired bag knows its commands alone
        ({"policy_id": "p", "interventions": [SPAN]}, {0, 2}, "joy drove, a recovery sent 21 commands"),
        ({"policy_id": "p", "kind": "clip"}, {1, 2}, ""),
        ({"interventions": [SPAN]}, {1}, ""),  # a demonstration
    ],
)
def test_an_attempt_shows_a_recovery_where_somebody_else_than_its_policy_drove(
    bags: Any, meta: dict[str, Any], sources: set[int], why: str
) -> None:
    episode = never_reached(bags, **meta)
    source = np.array([sorted(sources)[row % len(sources)] for row in range(len(episode))], dtype=np.uint8)
    assert why_recovery(replace(episode, source=source)) == why.replace("21", str((source == 2).sum()))


def test_the_tag_of_a_recovery_is_put_on_once_and_left_alone_when_taken_off(bags: Any) -> None:
    episode = never_reached(bags, policy_id="p", interventions=[SPAN])
    path, name = bags.data / "journal.jsonl", episode.meta.episode_id
    tag_episode(bags.data, name, CLOCK)
    assert "failure-recovery" in journal.effective(episode.meta, entries(bags)).tags
    journal.append(path, "human:ann", name, Tagged(tag="failure-recovery", on=False), CLOCK)
    tag_episode(bags.data, name, CLOCK)
    assert "failure-recovery" not in journal.effective(episode.meta, entries(bags)).tags
