"""What must hold of the catalog whatever is recorded, said, taken back, deleted or killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import FailureJudgement, Outcome, OutcomeSource
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.catalog import asking, compaction, live
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.episodes.catalog.columns import PUBLIC
from xrollout_ros.episodes.catalog.filters import Dialect, parse
from xrollout_ros.episodes.catalog.query import Question, listing_sql
from xrollout_ros.episodes.catalog.rows import judged, row_of, said_by
from xrollout_ros.episodes.journal import Judged, PropertySet, Retracted, Reviewed, Said, Tagged
from xrollout_ros.episodes.layers import Layers

CLOCK = SystemClock()
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""An example takes seconds: what fails is told as it is, not made smaller."""
SLOW = settings(
    max_examples=12, deadline=None, phases=_PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
QUICK = settings(
    max_examples=40, deadline=None, phases=_PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
AUTHORS = st.sampled_from(["human:ann", "human:bob", "rule:timeout", "model:clip", "script"])
LAYERS = st.sampled_from(["", "default", "triage", "rules"])
TAGS = st.sampled_from(["evaluation", "slow", "odd"])


def everything(catalog: Catalog) -> list[Any]:
    """All that the live store says, without row and change numbers."""
    found: list[Any] = []
    with catalog._store.read() as reading:
        for table, columns in live.TABLES.items():
            names = ", ".join(name for name in columns if name not in ("row", "change"))
            found += reading.rows(f"SELECT {names} FROM {table} ORDER BY {live.KEYS[table]}")
        found += reading.rows("SELECT * FROM rollup WHERE episodes != 0 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8")
    return found


@st.composite
def sayings(draw: st.DrawFn, episodes: list[str]) -> Any:
    """Something that can be said, or an index of an entry to be taken back."""
    episode_id, by = draw(st.sampled_from(episodes)), draw(AUTHORS)
    kind = draw(st.sampled_from(["tag", "tag", "property", "outcome", "failure", "retract"]))
    if kind == "retract":
        return draw(st.integers(0, 30))
    what: Any
    if kind == "tag":
        what = Tagged(tag=draw(TAGS), on=draw(st.booleans()), reason="r")
    elif kind == "property":
        values = st.one_of(
            st.none(), st.booleans(), st.integers(-3, 3), st.floats(-1, 1), st.sampled_from(["a", "ü'\""])
        )
        what = PropertySet(name=draw(st.sampled_from(["friction", "drive"])), value=draw(values))
    elif kind == "outcome":
        what = Reviewed(outcome=draw(st.sampled_from(Outcome)), source=draw(st.sampled_from(OutcomeSource)), reason=by)
    else:
        mode = draw(st.sampled_from(["dropped", "timeout"]))
        moment_s = draw(st.floats(0, 9))
        what = Judged(
            judgement=FailureJudgement(
                episode_id=episode_id, mode=mode, moment_s=moment_s, severity=0.5, confidence=1, evidence="", author=by
            )
        )  # fmt: skip
    return Said(by, episode_id, what, draw(LAYERS))


def say(catalog: Catalog, saying: Any, said: list[journal.JournalEntry]) -> None:
    if not isinstance(saying, int):
        said += catalog.say([saying])
    elif said:
        entry = said[saying % len(said)]
        said += catalog.say([Said("human:ann", entry.episode_id, Retracted(entry=entry.id, reason="wrong"))])


@pytest.fixture
def recorded(bags: Any) -> tuple[Path, list[str]]:
    """Four bags of all kinds of outcomes, parameters among them."""
    made = []
    ended = (("success", "robot"), ("failure", "human"), ("failure", "time_limit"), ("unknown", "none"))
    for outcome, source in ended:
        meta = bags.meta(
            outcome=outcome, outcome_source=source, tags=["evaluation"],
            parameters={"drive": "stepped", "n": {"x": 1}},
        )  # fmt: skip
        folder = paths.episode_dir(bags.data, meta)
        bags.open(folder, meta).close(meta)
        made.append(meta.episode_id)
    return bags.data, made


def fresh_copy(recorded: tuple[Path, list[str]]) -> Path:
    data = recorded[0].with_name(new_id())
    shutil.copytree(recorded[0], data)
    return data


def folders_of(folder: Path) -> list[Path]:
    return [folder, *(each for each in folder.rglob("*") if each.is_dir() and FOLDER not in each.parts)]


def age(folder: Path, before: dict[Path, int], number: int) -> None:
    """Let what was changed have been changed long ago, each time at another: the real clock is a coarse one."""
    for each in folders_of(folder):
        if each.stat().st_mtime_ns != before.get(each):
            os.utime(each, ns=(10**18 + number, 10**18 + number))


class TestTheJournal:
    @SLOW
    @given(st.data())
    def test_made_anew_it_is_what_it_was_kept_to_be(
        self, recorded: tuple[Path, list[str]], data: st.DataObject
    ) -> None:
        folder, episodes = fresh_copy(recorded), recorded[1]
        bags_there = sorted(folder.glob("*/*"))
        unknown = new_id()  # of a bag that is not there, or not yet
        with Catalog(folder) as catalog:
            said: list[journal.JournalEntry] = []
            if data.draw(st.booleans()):
                catalog.update()
            for saying in data.draw(st.lists(sayings([*episodes, unknown]), max_size=8)):
                say(catalog, saying, said)
            for bag in data.draw(st.lists(st.sampled_from(bags_there), max_size=2, unique=True)):
                shutil.rmtree(bag)
                catalog.register(bag)
            catalog.update()
            kept = everything(catalog)
            assert catalog.disagreements() == []
        shutil.rmtree(folder / FOLDER)
        with Catalog(folder) as catalog:
            catalog.update(every=True, workers=data.draw(st.sampled_from([0, 0, 0, 1])))
            assert everything(catalog) == kept
        shutil.rmtree(folder)

    @SLOW
    @given(st.data())
    def test_wherever_bags_are_moved_it_follows(self, recorded: tuple[Path, list[str]], data: st.DataObject) -> None:
        folder = fresh_copy(recorded)
        age(folder, {}, 0)
        with Catalog(folder) as catalog:
            catalog.update()
            for number in range(1, 1 + data.draw(st.integers(1, 3))):
                before = {each: each.stat().st_mtime_ns for each in folders_of(folder)}
                bags_there = sorted(each.parent for each in folder.rglob("metadata.yaml"))
                if not bags_there:
                    break
                bag = data.draw(st.sampled_from(bags_there))
                place = data.draw(st.sampled_from(["", "kept", "kept/deep", "2026-02-02", "gone"]))
                if place == "gone":
                    shutil.rmtree(data.draw(st.sampled_from([bag, bag.parent])) if bag.parent != folder else bag)
                else:
                    (folder / place).mkdir(parents=True, exist_ok=True)
                    bag.rename(folder / place / f"moved{number}")
                age(folder, before, number)
                catalog.update()
            kept = everything(catalog)
            assert catalog.disagreements() == []
        shutil.rmtree(folder / FOLDER)
        with Catalog(folder) as catalog:
            catalog.update(every=True)
            assert everything(catalog) == kept
        shutil.rmtree(folder)

    def test_a_kill_between_journal_and_catalog_loses_nothing(
        self, recorded: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data, (first, *_) = recorded
        with Catalog(data) as catalog, monkeypatch.context() as patch:
            catalog.update()

            def killed(*_: Any, **__: Any) -> None:
                raise KeyboardInterrupt

            patch.setattr("xrollout_ros.episodes.catalog.bags.follow_journal", killed)
            with pytest.raises(KeyboardInterrupt):
                catalog.say([Said("human:ann", first, Tagged(tag="seen"))])
        with Catalog(data) as catalog:
            assert any("not in the catalog" in line for line in catalog.disagreements())
            catalog.update()
            assert catalog.episodes(["tag=seen"])["episode_id"].to_pylist() == [first]

    def test_a_journal_that_somebody_edited_is_read_again(self, recorded: tuple[Path, list[str]]) -> None:
        data, (first, second, *_) = recorded
        with Catalog(data) as catalog:
            catalog.update()
            for name in (first, second):
                catalog.say([Said("human:ann", name, Tagged(tag="seen"))])
            lines = (data / paths.JOURNAL).read_text().splitlines(keepends=True)
            (data / paths.JOURNAL).write_text(lines[1])
            catalog.update()
            assert catalog.episodes(["tag=seen"])["episode_id"].to_pylist() == [second]

    def test_what_was_said_in_one_go_counts_as_a_whole_or_not_at_all(self, recorded: tuple[Path, list[str]]) -> None:
        data, episodes = recorded
        with Catalog(data) as catalog:
            catalog.update()
            entries = catalog.say([Said("human:ann", name, Tagged(tag="seen")) for name in episodes])
            assert len({entry.batch for entry in entries}) == 1
            assert len(catalog.episodes(["tag=seen"])) == 4
            assert catalog.entries(entries[0].batch) == entries
            lines = (data / paths.JOURNAL).read_bytes().splitlines(keepends=True)
            (data / paths.JOURNAL).write_bytes(b"".join(lines[:3]) + lines[3][:20])  # killed while writing
            report = catalog.update()
            assert len(catalog.episodes(["tag=seen"])) == 0
            assert any("nothing of it counts" in problem for problem in report.journal_problems)
            assert len(journal.read(data / paths.JOURNAL).entries) == 0
            catalog.say([Said("human:ann", episodes[0], Tagged(tag="seen"))])
            assert len(catalog.episodes(["tag=seen"])) == 1

    def test_two_processes_tag_at_once(self, recorded: tuple[Path, list[str]]) -> None:
        data, episodes = recorded
        script = (
            "import sys\n"
            "from xrollout_ros.episodes.catalog.api import Catalog\n"
            "from xrollout_ros.episodes.journal import Said, Tagged\n"
            "with Catalog(sys.argv[1]) as catalog:\n"
            "    for number in range(25):\n"
            "        catalog.say([Said('human:' + sys.argv[2], name, Tagged(tag=f'{sys.argv[2]}-{number}'))\n"
            "                     for name in sys.argv[3:]])\n"
        )
        root = str(Path(__file__).parents[2])
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}
        with Catalog(data) as catalog:
            catalog.update()
        run = [
            subprocess.Popen([sys.executable, "-c", script, str(data), name, *episodes], env=env) for name in ("a", "b")
        ]
        try:
            assert [process.wait(90) for process in run] == [0, 0]
        finally:
            for process in run:
                process.kill()
                process.wait()
        with Catalog(data) as catalog:
            assert catalog.disagreements() == []
            tags = catalog.episodes()["tags"].to_pylist()
            wanted = {"evaluation", *(f"{name}-{number}" for name in "ab" for number in range(25))}
            assert [set(each) for each in tags] == [wanted] * 4


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Snapshots as a large catalog has them, for a few rows."""
    monkeypatch.setattr(asking, "FRESH", 3)
    monkeypatch.setattr(compaction, "FRESH", 3)
    monkeypatch.setattr(compaction, "PARTS", 3)
    yield


class TestSnapshots:
    @settings(SLOW, max_examples=8)
    @given(st.data())
    def test_with_what_is_newer_they_are_what_the_live_store_has(
        self, bags: Any, small_parts: None, data: st.DataObject
    ) -> None:
        folder = bags.data / new_id()
        folder.mkdir(parents=True)
        alive: list[str] = []
        with Catalog(folder) as catalog:
            for _ in range(data.draw(st.integers(1, 6))):
                with catalog._store.write() as writing:
                    for _ in range(data.draw(st.integers(0, 6))):
                        alive.append(new_id())
                        _put(writing, bags, alive[-1], "failure")
                    for name in data.draw(st.lists(st.sampled_from(alive), max_size=3)) if alive else []:
                        _put(writing, bags, name, "success")
                    for name in data.draw(st.lists(st.sampled_from(alive), max_size=2, unique=True)) if alive else []:
                        writing.remove("episodes", [name])
                        alive.remove(name)
                listed = catalog.episodes(["duration_s>=0"])
                with catalog._store.read() as reading:
                    direct = reading.rows(*listing_sql([parse("duration_s>=0")], Dialect.SQLITE, None))
                assert listed["episode_id"].to_pylist() == [row[PUBLIC.index("episode_id")] for row in direct]
                assert listed["outcome"].to_pylist() == [row[PUBLIC.index("outcome")] for row in direct]
                slow = Question(by=("task", "policy"), where=(parse("duration_s>=0"),))
                assert catalog.groups(slow) == catalog.groups(Question(by=("task", "policy")))

    def test_parts_are_merged_and_old_files_go(self, bags: Any, small_parts: None) -> None:
        bags.data.mkdir()
        with Catalog(bags.data) as catalog:
            for count in range(1, 13):
                with catalog._store.write() as writing:
                    for _ in range(5):
                        _put(writing, bags, new_id(), "success")
                assert len(catalog.episodes()) == 5 * count
            assert len(list((bags.data / FOLDER).glob("episodes-*.parquet"))) <= 8

    def test_another_catalog_s_snapshots_are_not_used(self, bags: Any, small_parts: None) -> None:
        bags.data.mkdir()
        with Catalog(bags.data) as catalog:
            with catalog._store.write() as writing:
                for _ in range(9):
                    _put(writing, bags, new_id(), "success")
            assert len(catalog.episodes()) == 9
        for file in (bags.data / FOLDER).glob("catalog.sqlite*"):
            file.unlink()
        with Catalog(bags.data) as catalog:
            assert len(catalog.episodes()) == 0


def _put(writing: Any, bags: Any, name: str, outcome: str) -> None:
    meta = bags.meta(episode_id=name, outcome=outcome, policy_id=f"p{ord(name[-1]) % 3}")
    writing.put("episodes", row_of(meta, name, 1, 1, []))


class TestQuestions:
    @SLOW
    @given(st.data())
    def test_layers_left_out_in_sql_are_left_out_as_the_journal_s_reader_does(
        self, recorded: tuple[Path, list[str]], data: st.DataObject
    ) -> None:
        folder, episodes = fresh_copy(recorded), recorded[1]
        with Catalog(folder) as catalog:
            catalog.update()
            said: list[journal.JournalEntry] = []
            for saying in data.draw(st.lists(sayings(episodes), min_size=1, max_size=10)):
                say(catalog, saying, said)
            names = st.sets(st.sampled_from(["default", "triage", "rules", "review", "model:clip"]), max_size=3)
            only = data.draw(st.one_of(st.none(), names))
            layers = Layers(only, data.draw(names))
            with catalog._store.read() as reading:
                columns = live.TABLES["episodes"]
                rows = [
                    dict(zip(columns, row, strict=True))
                    for row in reading.rows(f"SELECT {', '.join(columns)} FROM episodes")
                ]
            wanted = {}
            for row in rows:
                of_it = [entry for entry in said if entry.episode_id == row["episode_id"]]
                wanted[row["episode_id"]] = judged(row, said_by(row), of_it, layers)
            for found in catalog.episodes(layers=layers).to_pylist():
                expected = wanted[found["episode_id"]]
                for name in expected:
                    if name in PUBLIC and name not in ("tags", "properties"):
                        assert found[name] == expected[name], name
                assert set(found["tags"]) == set(_json(expected["tags"]))
                assert _json(found["properties"]) == _json(expected["properties"])
        shutil.rmtree(folder)

    @QUICK
    @given(st.data())
    def test_both_engines_understand_a_filter_alike(
        self, recorded: tuple[Path, list[str]], data: st.DataObject
    ) -> None:
        folder, episodes = recorded
        with Catalog(folder) as catalog:
            if not (folder / paths.JOURNAL).exists():
                catalog.update()
                values: list[Any] = [3, 0.25, True, "3", "low", "a*b"]
                for name, value in zip(itertools_cycle(episodes, len(values)), values, strict=True):
                    catalog.say([Said("human:ann", name, PropertySet(name=f"p{type(value).__name__}", value=value))])
                catalog.say([Said("human:ann", episodes[0], PropertySet(name="p", value="3"))])
                catalog.say([Said("human:ann", episodes[1], PropertySet(name="p", value=3))])
                catalog.say([Said("human:ann", episodes[2], PropertySet(name="p", value=True))])
            name = data.draw(
                st.sampled_from(["outcome", "tag", "seed", "helped", "failure", "property.p", "property.pint"])
            )
            value = data.draw(
                st.sampled_from(["success", "failure,none", "evaluation", "3", "3.0", "true", "l*", "none", "7"])
            )
            sign = data.draw(st.sampled_from(["=", "!=", "<", ">=", "~", "!~"]))
            try:
                where = [parse(f"{name}{sign}{value}")]
            except DataError:
                return
            by_duckdb = sorted(catalog.episodes(where)["episode_id"].to_pylist())
            assert by_duckdb == sorted(catalog.ids(where)), where


def itertools_cycle(items: list[str], count: int) -> list[str]:
    return [items[number % len(items)] for number in range(count)]


def _json(text: str) -> Any:
    import json

    return json.loads(text)


def test_a_killed_writer_loses_nothing_that_it_had_told(bags: Any, tmp_path: Path) -> None:
    bags.data.mkdir()
    rows = tmp_path / "row.json"
    import json

    rows.write_text(json.dumps(row_of(bags.meta(), "x", 1, 1, [])))
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from xrollout_ros.core.ids import new_id\n"
        "from xrollout_ros.episodes.catalog.live import SqliteStore\n"
        "store, row = SqliteStore(Path(sys.argv[1])), json.loads(Path(sys.argv[2]).read_text())\n"
        "while True:\n"
        "    name = new_id()\n"
        "    with store.write() as writing:\n"
        "        writing.put('episodes', {**row, 'episode_id': name, 'path': name})\n"
        "    print(name, flush=True)\n"
    )
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}
    file = bags.data / FOLDER / live.FILE
    told: set[str] = set()
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(file), str(rows)], stdout=subprocess.PIPE, text=True, env=env
        )
        assert process.stdout is not None
        told.update(process.stdout.readline().strip() for _ in range(20))
        process.send_signal(signal.SIGKILL)
        told.update(line.strip() for line in process.stdout if line.endswith("\n"))
        process.wait()
    with Catalog(bags.data) as catalog:
        there = catalog.ids([])
        assert told <= set(there)
        with catalog._store.read() as reading:
            assert reading.rows("PRAGMA integrity_check") == [("ok",)]
            assert reading.rows("SELECT sum(episodes) FROM rollup") == [(len(there),)]
