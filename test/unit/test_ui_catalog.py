"""`xrollout query`, `tag`, `untag`, `index`, and doctor's word on the catalog, over real bags."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.catalog.api import FOLDER
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.doctor import data as doctor_data
from xrollout_ros.ui.doctor.finding import Level, Subject
from xrollout_ros.ui.doctor.machine import ThisMachine

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def data(bags: Any) -> Path:
    """Twelve attempts from wide starts, three of them successes; ten from nominal ones, all successes; others."""
    for number in range(12):
        add(bags, start="wide", outcome="success" if number % 4 == 0 else "failure", seed=number)
    for number in range(10):
        add(bags, start="nominal", outcome="success", seed=number)
    add(bags, start="wide", outcome="success", kind="demonstration", policy_id="")
    add(bags, start="wide", outcome="unknown")
    folder: Path = bags.data
    return folder


def add(bags: Any, **values: Any) -> EpisodeMeta:
    meta: EpisodeMeta = bags.meta(**{"policy_id": "p1", "scene": "table", "tags": ["evaluation"], **values})
    folder = paths.episode_dir(bags.data, meta)
    bags.open(folder, meta).close(meta)
    return meta


def test_the_question_of_the_readme_is_answered_as_it_is_written(data: Path, tmp_path: Path) -> None:
    command = ["query", "--task", "pick_and_place", "--success-rate-lt", "0.5", "--min-attempts", "10"]
    command += ["--output", "failures.json"]
    env = {**os.environ, "XROLLOUT_DATA": str(data), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    subprocess.run([sys.executable, "-m", "xrollout_ros.ui.cli", *command], cwd=tmp_path, env=env, check=True)
    (group,) = json.loads((tmp_path / "failures.json").read_text())["groups"]
    assert group["group"] == {"task": "pick_and_place", "policy": "p1", "scene": "table", "start": "wide"}
    assert (group["attempts"], group["successes"], group["rate"], group["unknown"]) == (12, 3, 0.25, 1)
    assert 0 < group["low"] < 0.25 < group["high"] < 1
    assert len(group["episodes"]) == 12
    assert len(group["failed"]) == 9
    assert set(group["failed"]) < set(group["episodes"])


def test_every_format_says_the_same(data: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for name in ("a.json", "a.csv", "a.parquet", "a.txt"):
        assert run("query", "--data", data, "--by", "start,outcome", "--output", tmp_path / name).exit_code == 0
    groups = json.loads((tmp_path / "a.json").read_text())["groups"]
    with (tmp_path / "a.csv").open() as file:
        lines = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [group["group"]["start"] for group in groups] == [line["start"] for line in lines]
    assert [row["start"] for row in table] == [line["start"] for line in lines]
    assert [str(row["attempts"]) for row in table] == [line["attempts"] for line in lines]
    assert [" ".join(row["episodes"]) for row in table] == [line["episodes"] for line in lines]
    assert "wide" in (tmp_path / "a.txt").read_text()
    assert "25% " in run("query", "--data", data).stdout


def test_only_what_is_listed_in_a_terminal_is_cut(bags: Any, data: Path, tmp_path: Path) -> None:
    for number in range(77):
        add(bags, seed=number)
    asked = ("query", "--data", data, "--episodes")
    assert "100 episodes" in "".join(run(*asked).output)
    assert len(json.loads(run(*asked, "--json").stdout)) == 101
    assert run(*asked, "--output", tmp_path / "all.csv").exit_code == 0
    with (tmp_path / "all.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 101
    assert len(json.loads(run(*asked, "--json", "--limit", "7").stdout)) == 7


def test_filters_lists_pictures_and_sql(data: Path, tmp_path: Path) -> None:
    listed = run("query", "--data", data, "--episodes", "--outcome", "failure", "--limit", "4", "--json")
    assert [row["outcome"] for row in json.loads(listed.stdout)] == ["failure"] * 4
    both = run("query", "--data", data, "--where", "seed>=2", "--where", "seed<4", "--by", "none", "--json")
    assert json.loads(both.stdout)["groups"][0]["attempts"] == 4
    counted = run("query", "--data", data, "--sql", "SELECT count(*) AS n FROM episodes", "--json")
    assert json.loads(counted.stdout) == [{"n": 24}]
    assert run("query", "--data", data, "--by", "start", "--picture", tmp_path / "rates.png").exit_code == 0
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert "fits the filters" in run("query", "--data", data, "--task", "nix").stdout
    assert "no group is like that among 22 attempts" in run("query", "--data", data, "--min-attempts", "99").stdout
    assert "property.NAME" in run("query", "--columns").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--by", "polcy"), "did you mean policy"),
        (("--where", "seed=low"), "a whole number, with 'low'"),
        (("--success-rate-lt", "50"), "from 0 to 1"),
        (("--output", "answer.xlsx"), "names no format"),
        (("--output", "no/such/folder.json"), "cannot be written"),
        (("--format", "parquet"), "not for a terminal"),
        (("--sql", "DROP VIEW episodes"), "only one SELECT"),
        (("--sql", "SELECT 1", "--by", "task"), "Say it all in the SELECT"),
        (("--sql", "SELECT 1", "--limit", "3"), "--sql comes with --limit"),
        (("--episodes", "--success-rate-lt", "0.5"), "--episodes comes with --success-rate-lt"),
        (("--episodes", "--min-attempts", "1"), "--episodes comes with --min-attempts"),
        (("--since", "yesterday"), "which is no time"),
        (("--layer", "../up"), "is not allowed"),
        (("--data", "nowhere"), "nowhere is not there"),
    ],
)
def test_what_cannot_be_asked_is_told(data: Path, arguments: tuple[str, ...], words: str) -> None:
    result = run("query", "--data", data, *arguments)
    assert result.exit_code != 0
    assert words in result.stderr.replace("\n", " ")
    assert result.stdout == ""


class TestTagging:
    def test_tags_and_properties_are_said_undone_and_brought_back(self, data: Path) -> None:
        def tagged() -> int:
            return len(json.loads(run("query", "--data", data, "--tag", "slow", "--episodes", "--json").stdout))

        said = run(
            "tag", "--data", data, "--where", "outcome=failure", "slow", "--set", "friction=0.3", "--reason", "seen"
        )
        assert said.exit_code == 0, said.output
        assert tagged() == 9
        undo = said.stderr.split()[-1]
        undone = run("untag", "--data", data, "--undo", undo)
        assert undone.exit_code == 0
        assert tagged() == 0
        assert run("untag", "--data", data, "--undo", undone.stderr.split()[-1]).exit_code == 0
        assert tagged() == 9
        entries = journal.read(data / paths.JOURNAL).entries
        assert {entry.author.partition(":")[0] for entry in entries} == {"human"}
        grouped = run(
            "query", "--data", data, "--where", "property.friction<0.5", "--by", "property.friction", "--json"
        )
        assert json.loads(grouped.stdout)["groups"][0]["attempts"] == 9

    def test_episodes_of_other_programs_are_left_out_and_the_others_tagged(self, bags: Any, data: Path) -> None:
        folder, meta = data / "theirs", bags.meta(episode_id="take 1", outcome="failure")
        bags.open(folder, meta).close(meta)
        said = run("tag", "--data", data, "--where", "outcome=failure", "seen")
        assert said.exit_code == 0, said.output
        assert "1 episode left out" in said.stderr
        assert "wrote 9 entries" in said.stderr
        alone = run("tag", "--data", data, "--where", "id=take 1", "seen")
        assert alone.exit_code != 0
        assert "no ULIDs" in alone.stderr

    def test_no_folder_becomes_a_data_folder_because_a_bag_lies_there(self, data: Path, tmp_path: Path) -> None:
        place = tmp_path / "desk"
        bag = shutil.copytree(next(data.glob("2*/*")), place / "bag")
        result = run("tag", bag, "fine")
        assert result.exit_code != 0
        assert "lies in no data folder" in result.stderr
        assert [path.name for path in place.iterdir()] == ["bag"]
        assert run("tag", "--data", place, bag, "fine").exit_code == 0

    def test_a_layer_can_be_left_out(self, data: Path) -> None:
        run("tag", "--data", data, "--where", "start=wide", "hard", "--layer", "triage")

        def count(*more: str) -> int:
            return len(json.loads(run("query", "--data", data, "--tag", "hard", "--episodes", "--json", *more).stdout))

        assert (count(), count("--layer", "triage")) == (14, 14)
        assert (count("--without-layer", "triage"), count("--layer", "rules")) == (0, 0)

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("{id}", "../../etc"), "tag '../../etc' is not allowed"),
            (("{id}", "a\nb"), "is not allowed"),
            (("{id}", "tag\n"), "is not allowed"),
            (("{id}", "--set", "Bad Name=1"), "property 'Bad Name' is not allowed"),
            (("{id}", "--set", "friction"), "has no value"),
            (("{id}", "--set", "friction=[1]"), "no number, truth or text"),
            (("{id}", "--set", "friction=NaN"), "no finite number"),
            (("{id}", "--set", "friction=" + "1" * 5000), "more than 1000"),
            (("{id}", "--set", "note=a\x07b"), "control characters"),
            (("{id}", "--set", "friction=low"), "a number elsewhere"),
            (("{id}", "fine", "--layer", "no/layer"), "layer 'no/layer' is not allowed"),
            (("{id}",), "nothing is to be said"),
            ((), "no episode is named"),
            (("01ZZZZZZ", "fine"), "no episode has an id like"),
            (("01", "fine"), "fits several episodes"),
            (("--where", "outcome=abort", "fine"), "no episode fits"),
            (("no/bag/there", "fine"), "there is no bag no/bag/there"),
            (("{data}", "fine"), "cannot be read"),
            (("{id}", "fine", "--reason", "a\x1b[31mb"), "none of them a control character"),
            (("{id}", "fine", "--author", "a\nb"), "none of them a control character"),
        ],
    )
    def test_what_cannot_be_said_is_told_and_nothing_is(self, data: Path, words: tuple[str, ...], told: str) -> None:
        ids = [row["episode_id"] for row in json.loads(run("query", "--data", data, "--episodes", "--json").stdout)]
        assert run("tag", "--data", data, ids[1], "--set", "friction=0.3").exit_code == 0
        before = (data / paths.JOURNAL).read_bytes()
        result = run("tag", "--data", data, *(word.format(id=ids[0], data=data.parent) for word in words))
        assert result.exit_code != 0
        assert told in result.stderr
        assert (data / paths.JOURNAL).read_bytes() == before


def test_on_a_full_disk_questions_are_answered_and_nothing_is_half_said(data: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("no tmpfs may be mounted here")
    try:
        full = place / "data"
        shutil.copytree(data, full)
        asked = ("query", "--data", full, "--by", "start,failure", "--json")
        before = run(*asked)
        assert before.exit_code == 0
        filler = (place / "filler").open("wb", buffering=0)
        with pytest.raises(OSError, match="No space"), filler:
            while filler.write(b"x" * 4096):
                pass
        result = run(*asked)
        assert (result.exit_code, result.stdout) == (0, before.stdout)
        assert "cannot be written" in result.stderr
        said = run("tag", "--data", full, "--where", "start=wide", "seen", "--reason", "a word " * 100)
        assert said.exit_code != 0 and "nothing was added" in said.stderr
        assert not (full / paths.JOURNAL).exists() or not (full / paths.JOURNAL).read_bytes()
        (place / "filler").unlink()
        assert run("tag", "--data", full, "--where", "start=wide", "seen").exit_code == 0
        assert json.loads(run(*asked, "--tag", "seen").stdout)["groups"]
    finally:
        subprocess.run(["umount", place], check=True)


def test_index_tells_what_it_did_and_what_it_could_not_read(data: Path) -> None:
    (data / "torn").mkdir()
    (data / "torn" / "torn_0.mcap").write_bytes(b"x")
    told = run("index", "--data", data)
    assert told.exit_code == 0
    assert "24 episodes in the catalog" in told.stdout
    assert "not read: torn: torn" in told.stdout
    again = json.loads(run("index", "--data", data, "--anew", "--json").stdout)
    assert (again["episodes"], again["read"], len(again["unreadable"])) == (24, 25, 1)


def test_doctor_says_where_catalog_and_disk_disagree(data: Path) -> None:
    subject = Subject(ThisMachine(), data)
    assert [found.level for found in doctor_data.catalog(subject)] == [Level.SKIPPED]
    assert run("index", "--data", data).exit_code == 0
    assert [found.level for found in doctor_data.catalog(subject)] == [Level.OK]
    shutil.rmtree(next(data.glob("2*/*")))
    (found,) = doctor_data.catalog(subject)
    assert found.level is Level.WARNING
    assert "gone from the disk" in found.value
    assert "index" in found.remedy
    assert (data / FOLDER).is_dir()
