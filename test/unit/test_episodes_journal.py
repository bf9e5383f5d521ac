"""The journal loses nothing that was acknowledged, and overrides the bag."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import FailureJudgement, Outcome, OutcomeSource
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.journal import Judged, Reviewed

CLOCK = SystemClock()


def judged(episode_id: str, mode: str = "timeout", author: str = "rule:timeout") -> Judged:
    return Judged(
        judgement=FailureJudgement(
            episode_id=episode_id, mode=mode, moment_s=1, severity=0.5, confidence=1, evidence="seen", author=author
        )
    )


def add(path: Path, what: Judged | Reviewed, episode_id: str) -> journal.JournalEntry:
    author = what.judgement.author if isinstance(what, Judged) else "human:ann"
    return journal.append(path, author, episode_id, what, CLOCK)


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    path, episode_id = tmp_path / "new" / "journal.jsonl", new_id()
    assert journal.read(path) == journal.Journal()
    entries = [
        add(path, judged(episode_id), episode_id),
        add(path, Reviewed(outcome=Outcome.SUCCESS, source=OutcomeSource.HUMAN, reason="saw\nit"), episode_id),
    ]
    read = journal.read(path)
    assert read.entries == tuple(entries)
    assert read.problems == ()
    assert len({entry.id for entry in entries}) == 2


def test_what_is_no_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not a ULID"):
        add(tmp_path / "j", judged("x"), "x")
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize("kept", [1, 10, 100])
def test_a_torn_line_is_reported_and_hides_nobody(tmp_path: Path, kept: int) -> None:
    path, episode_id = tmp_path / "j", new_id()
    first = add(path, judged(episode_id), episode_id)
    with path.open("ab") as file:
        file.write(path.read_bytes()[:kept])
    read = journal.read(path)
    assert read.entries == (first,)
    assert read.problems == (f"{path} line 2: it is torn",)
    second = add(path, judged(episode_id, "other"), episode_id)
    read = journal.read(path)
    assert read.entries == (first, second)
    assert read.problems == (f"{path} line 2: it is torn",)


def test_unknown_lines_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_text('{"id": "1"}\n[]\n\xff\n')
    read = journal.read(path)
    assert read.entries == ()
    assert [problem.split(":")[0] for problem in read.problems] == [f"{path} line {number}" for number in (1, 2, 3)]


def test_a_refusing_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, episode_id = tmp_path / "j", new_id()
    add(path, judged(episode_id), episode_id)
    before = path.read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:20]))
    with pytest.raises(DataError, match="only a part of the line"):
        add(path, judged(episode_id), episode_id)
    assert path.read_bytes() == before
    with pytest.raises(DataError, match="cannot be read"):
        journal.read(tmp_path)


def test_processes_append_at_once(tmp_path: Path) -> None:
    path, episode_id = tmp_path / "j", new_id()
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from pathlib import Path\n"
        "from xrollout_ros.core.clock import SystemClock\n"
        "from xrollout_ros.core.episode import Outcome, OutcomeSource\n"
        "from xrollout_ros.episodes import journal\n"
        "for number in range(150):\n"
        "    what = journal.Reviewed(outcome=Outcome.FAILURE, source=OutcomeSource.HUMAN, reason=str(number) * 500)\n"
        "    journal.append(Path(sys.argv[1]), sys.argv[2], sys.argv[3], what, SystemClock())\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(path), author, episode_id]) for author in ("one", "two")
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    read = journal.read(path)
    assert read.problems == ()
    for author in ("one", "two"):
        mine = [entry.what for entry in read.entries if entry.author == author]
        assert [what.reason for what in mine if isinstance(what, Reviewed)] == [str(n) * 500 for n in range(150)]


class TestEffective:
    def test_the_bag_speaks_where_the_journal_is_silent(self, bags: Any, tmp_path: Path) -> None:
        meta = bags.meta(outcome="failure", outcome_source="time_limit", outcome_reason="slow")
        add(tmp_path / "j", judged(new_id()), other := new_id())
        assert other != meta.episode_id
        found = journal.effective(meta, journal.read(tmp_path / "j").entries)
        assert found == journal.Effective(Outcome.FAILURE, OutcomeSource.TIME_LIMIT, "slow")
        assert found.failure_mode == ""

    def test_the_latest_of_each_author_counts_and_people_come_first(self, bags: Any, tmp_path: Path) -> None:
        meta, path = bags.meta(outcome="failure"), tmp_path / "j"
        for mode, author in (
            ("timeout", "rule:timeout"),
            ("dropped", "human:ann"),
            ("never_reached", "rule:timeout"),
            ("slipped", "human:ann"),
        ):
            add(path, judged(meta.episode_id, mode, author), meta.episode_id)
        found = journal.effective(meta, journal.read(path).entries)
        assert [judgement.mode for judgement in found.judgements] == ["slipped", "never_reached"]
        assert found.failure_mode == "slipped"

    def test_a_review_overrides_the_outcome(self, bags: Any, tmp_path: Path) -> None:
        meta, path = bags.meta(outcome="failure", outcome_source="robot"), tmp_path / "j"
        add(path, judged(meta.episode_id), meta.episode_id)
        for outcome in (Outcome.ABORT, Outcome.SUCCESS):
            review = Reviewed(outcome=outcome, source=OutcomeSource.HUMAN, reason=f"it was {outcome.value}")
            add(path, review, meta.episode_id)
        found = journal.effective(meta, journal.read(path).entries)
        assert found == journal.Effective(Outcome.SUCCESS, OutcomeSource.HUMAN, "it was success")
        assert found.failure_mode == ""
