"""The catalog says what bags and journal say, whatever happens to it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import (
    EpisodeKind,
    EpisodeMeta,
    FailureJudgement,
    Outcome,
    TopicCount,
    counts_in_rate,
)
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes import paths, store
from xrollout_ros.episodes.catalog import api as catalog_api
from xrollout_ros.episodes.catalog import asking, compaction, grouping, live, schema, snapshots, workers
from xrollout_ros.episodes.catalog.answers import frame, grouped
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.episodes.catalog.columns import RATED_KINDS
from xrollout_ros.episodes.catalog.filters import parse
from xrollout_ros.episodes.catalog.keeper import CatalogKeeper
from xrollout_ros.episodes.catalog.query import Question
from xrollout_ros.episodes.catalog.rows import started
from xrollout_ros.episodes.catalog.walk import RACY_NS
from xrollout_ros.episodes.journal import Judged, Said, Tagged

CLOCK = SystemClock()


def record(bags: Any, **values: Any) -> EpisodeMeta:
    meta: EpisodeMeta = bags.meta(**values)
    path = paths.episode_dir(bags.data, meta)
    bags.open(path, meta).close(meta)
    return meta


def folder_of(bags: Any, meta: EpisodeMeta) -> Path:
    return paths.episode_dir(bags.data, meta)


def everything(catalog: Catalog) -> list[tuple[Any, ...]]:
    """All that the live store says, without row and change numbers."""
    with catalog._store.read() as reading:
        found = []
        for table, columns in live.TABLES.items():
            names = ", ".join(name for name in columns if name not in ("row", "change"))
            found += reading.rows(f"SELECT {names} FROM {table} ORDER BY {live.KEYS[table]}")
        counted = reading.rows("SELECT * FROM rollup WHERE episodes != 0 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8")
        return found + counted


def failure(episode_id: str, mode: str, author: str) -> Judged:
    return Judged(
        judgement=FailureJudgement(
            episode_id=episode_id, mode=mode, moment_s=1, severity=0.5, confidence=0.5, evidence="e", author=author
        )
    )


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question makes snapshots, and none is answered by the live store alone."""
    for module in (asking, compaction):
        monkeypatch.setattr(module, "FRESH", 1)


class TestRegistering:
    def test_bags_are_registered_counted_and_found(self, bags: Any) -> None:
        kept = [record(bags, outcome="success", policy_id="p", tags=["evaluation"]) for _ in range(2)]
        failed = record(bags, outcome="failure", policy_id="p", parameters={"friction": 0.3})
        record(bags, outcome="success", kind="demonstration")
        record(bags, outcome="success", kind="clip")
        record(bags, outcome="unknown", policy_id="p")
        span = {"operator": "joy", "begin_s": 0.0, "end_s": 1.0}
        helped = record(bags, outcome="success", policy_id="p", interventions=[span])
        with Catalog(bags.data) as catalog:
            report = catalog.update()
            assert (report.read, report.episodes, report.problems) == (7, 7, ())
            (group,) = catalog.groups(Question())
            assert group.group == {"task": "pick_and_place", "policy": "p", "scene": "", "start": "nominal"}
            assert (group.attempts, group.successes, group.helped, group.unknown) == (4, 2, 1, 1)
            assert set(group.episodes) == {meta.episode_id for meta in (*kept, failed, helped)}
            assert set(group.failed) == {failed.episode_id, helped.episode_id}
            assert catalog.episodes(["property.friction<0.5"])["episode_id"].to_pylist() == [failed.episode_id]
            assert catalog.update().read == 0

    def test_an_answer_becomes_a_data_frame_where_pandas_is_installed(
        self, bags: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        meta = record(bags, kind="evaluation", outcome="failure")
        with Catalog(bags.data) as catalog:
            catalog.update()
            answer = catalog.episodes()
            question = Question()
            groups = grouped(catalog.groups(question), question)
        pytest.importorskip("pandas")
        assert frame(answer)["episode_id"].tolist() == [meta.episode_id]
        assert frame(groups)["attempts"].tolist() == [1]
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(DataError, match="pip install pandas"):
            frame(answer)

    def test_groups_of_many_episodes_are_the_same(self, bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(6):
            outcome = ("success", "failure", "unknown")[number % 3]
            record(bags, kind="evaluation", outcome=outcome, start=("wide", "nominal")[number % 2], policy_id="p")
        with Catalog(bags.data) as catalog:
            catalog.update()
            few = catalog.groups(Question())
            monkeypatch.setattr(grouping, "MANY", 0)
            assert catalog.groups(Question()) == few
            assert sum(len(group.episodes) for group in few) == 4

    def test_registering_at_close_is_what_indexing_finds(self, bags: Any, tmp_path: Path) -> None:
        bags.data.mkdir()
        with Catalog(bags.data) as catalog:
            for outcome in ("success", "failure", "abort"):
                assert catalog.register(folder_of(bags, record(bags, outcome=outcome))) == ""
            at_close = everything(catalog)
        shutil.rmtree(bags.data / FOLDER)
        with Catalog(bags.data) as catalog:
            catalog.update()
            assert everything(catalog) == at_close

    def test_what_is_torn_foreign_double_or_gone_is_told(self, bags: Any) -> None:
        one, two = record(bags), record(bags)
        shutil.copytree(folder_of(bags, one), bags.data / "copy")
        (bags.data / "foreign").mkdir()
        (bags.data / "foreign" / "metadata.yaml").write_text("rosbag2_bagfile_information: {}\n")
        (bags.data / "torn").mkdir()
        (bags.data / "torn" / "torn_0.mcap").write_bytes(b"x")
        with Catalog(bags.data) as catalog:
            report = catalog.update()
            assert report.episodes == 2
            problems = dict(report.problems)
            assert "torn" in problems.pop("torn")
            assert "foreign" in problems.pop("foreign")
            ((_, double),) = problems.items()
            assert "the same episode as" in double
            shutil.rmtree(folder_of(bags, two))
            assert any("is gone" in line for line in catalog.disagreements())
            report = catalog.update()
            assert (report.removed, report.episodes) == (1, 1)
            assert catalog.disagreements() == []

    def test_what_was_registered_at_close_is_not_read_again_and_missed_with_its_folder(self, bags: Any) -> None:
        metas = [record(bags, seed=number) for number in range(3)]
        with Catalog(bags.data) as catalog:
            for meta in metas:
                assert catalog.register(folder_of(bags, meta)) == ""
        with Catalog(bags.data) as catalog:
            assert catalog.update().read == 0
        other = Catalog(bags.data)
        other.register(folder_of(bags, record(bags, started_at="2026-03-04T00:00:00+00:00")))
        shutil.rmtree(bags.data / "2026-03-04")
        report = other.update()
        assert (report.removed, report.episodes) == (1, 3)
        other.close()

    def test_a_bag_that_comes_back_or_is_renamed_is_noticed(self, bags: Any, tmp_path: Path) -> None:
        meta = record(bags)
        place = folder_of(bags, meta)
        with Catalog(bags.data) as catalog:
            for _ in range(3):
                assert catalog.update().episodes == 1
                place.rename(tmp_path / "away")
                assert catalog.update().episodes == 0
                (tmp_path / "away").rename(place)
            place.rename(place.with_name("other"))
            assert catalog.update().episodes == 1
            assert catalog.episodes()["path"].to_pylist() == [f"{place.parent.name}/other"]

    def test_a_settled_folder_is_not_listed_again(self, bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        record(bags)
        old = CLOCK.wall_ns() - 10 * RACY_NS
        for folder in (bags.data, *bags.data.iterdir()):
            os.utime(folder, ns=(old, old))
        with Catalog(bags.data) as catalog:
            catalog.update()
            os.utime(bags.data, ns=(old, old))  # making the catalog's folder has touched it
            catalog.update()
            monkeypatch.setattr("xrollout_ros.episodes.catalog.walk.os.scandir", None)
            assert catalog.update().episodes == 1

    def test_workers_find_what_one_process_finds(self, bags: Any) -> None:
        for number in range(6):
            record(bags, seed=number)
        (bags.data / "torn").mkdir()
        (bags.data / "torn" / "torn_0.mcap").write_bytes(b"x")
        with Catalog(bags.data) as catalog:
            catalog.update()
            alone = everything(catalog)
        shutil.rmtree(bags.data / FOLDER)
        with Catalog(bags.data) as catalog:
            seen: list[tuple[int, int]] = []
            report = catalog.update(every=True, workers=2, progress=lambda done, total: seen.append((done, total)))
            assert len(report.problems) == 1
            assert seen[-1] == (7, 7)
            assert everything(catalog) == alone


class TestBadInput:
    def test_no_data_folder_and_a_read_only_one(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is not there"):
            Catalog(tmp_path / "nowhere")

    def test_on_a_disk_that_cannot_be_written_it_is_asked_as_it_is(
        self, bags: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        meta = record(bags, outcome="failure", policy_id="p")
        monkeypatch.setattr(catalog_api.os, "access", lambda place, how: False)
        with pytest.raises(DataError, match="none can be made"):
            Catalog(bags.data)
        monkeypatch.undo()
        with Catalog(bags.data) as catalog:
            catalog.update()
        monkeypatch.setattr(catalog_api.os, "access", lambda place, how: False)
        before = sorted((bags.data / FOLDER).iterdir())
        with Catalog(bags.data) as catalog:
            assert catalog.groups(Question())[0].failed == (meta.episode_id,)
            assert len(catalog.episodes(["duration_s>=0"])) == 1
            with pytest.raises(DataError, match="cannot be written"):
                catalog.update()
            with pytest.raises(DataError, match="cannot be used"):
                catalog.register(folder_of(bags, meta))
        assert sorted((bags.data / FOLDER).iterdir()) == before

    def test_a_newer_catalog_is_refused_and_untouched(self, bags: Any) -> None:
        bags.data.mkdir()
        Catalog(bags.data).close()
        file = bags.data / FOLDER / live.FILE
        with sqlite3.connect(file) as connection:
            connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        connection.close()
        with pytest.raises(DataError, match="made by a newer XRollout"):
            Catalog(bags.data)
        with sqlite3.connect(file) as connection:
            assert schema.version_of(connection) == schema.VERSION + 1
        connection.close()

    def test_a_damaged_catalog_says_how_to_make_it_anew(self, bags: Any) -> None:
        record(bags)
        (bags.data / FOLDER).mkdir()
        (bags.data / FOLDER / live.FILE).write_bytes(b"no database, but long enough to look like one" * 100)
        with pytest.raises(DataError, match="index --anew"):
            Catalog(bags.data)

    def test_a_locked_catalog_is_told_and_nothing_is_half_applied(
        self, bags: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        meta = record(bags)
        monkeypatch.setattr(live, "TIMEOUT_S", 0.05)
        with Catalog(bags.data) as catalog:
            catalog.update()
            blocker = sqlite3.connect(bags.data / FOLDER / live.FILE, isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")
            with pytest.raises(DataError, match="locked"):
                catalog.say([Said("human:ann", meta.episode_id, Tagged(tag="seen"))])
            blocker.execute("ROLLBACK")
            blocker.close()
            catalog.update()  # the journal had it
            assert catalog.episodes()["tags"].to_pylist() == [["seen"]]

    def test_a_full_disk_leaves_the_catalog_as_it_was(self, bags: Any) -> None:
        record(bags)
        with Catalog(bags.data) as catalog:
            catalog.update()
            before = everything(catalog)
            ((pages,),) = catalog._store._connection.execute("PRAGMA page_count").fetchall()
            catalog._store._connection.execute(f"PRAGMA max_page_count = {pages}")
            for number in range(40):
                record(bags, parameters={"long": "x" * 4000, "n": number})
            with pytest.raises(DataError, match="full"):
                catalog.update()
            assert everything(catalog) == before
            catalog._store._connection.execute("PRAGMA max_page_count = 100000")
            assert catalog.update().episodes == 41

    def test_sql_reads_and_reaches_nothing_else(
        self, bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small_parts(monkeypatch)
        record(bags)
        record(bags)
        (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
        with Catalog(bags.data) as catalog:
            catalog.update()
            assert catalog.sql("SELECT count(*) AS n FROM episodes")["n"].to_pylist() == [2]
            (part,) = (bags.data / FOLDER).glob("episodes-*.parquet")
            before = part.read_bytes()
            for text in (
                "DELETE FROM episodes",
                "DROP VIEW episodes",
                f"COPY episodes TO '{tmp_path / 'out.csv'}'",
                f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')",
                f"SELECT * FROM '{tmp_path / 'secret.csv'}'",
                f"SELECT * FROM read_text('{bags.data / FOLDER / live.FILE}')",
                f"ATTACH '{tmp_path / 'other.db'}'",
                "SET enable_external_access = true",
                "INSTALL httpfs",
                "SELECT 1; SELECT 2",
                "SELECT * FROM nix",
                "selct",
                "",
                "EXPLAIN SELECT 1",
                f"EXPLAIN ANALYZE COPY (SELECT 1 AS row) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)",
            ):
                with pytest.raises(DataError):
                    catalog.sql(text)
            assert part.read_bytes() == before
            assert len(catalog.episodes()) == 2
        assert [path.name for path in tmp_path.iterdir()] == ["data", "secret.csv"] or not (
            tmp_path / "out.csv"
        ).exists()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "task",
            "nix=1",
            "duration_s=long",
            "tag<x",
            "helped=maybe",
            "duration_s~1*",
            "property.x<y",
            "property.=1",
            "seed=1e30",
            "seed<99999999999999999999",
            "started_at>=yesterday",
            "started_at<2026-13-01",
        ],
    )
    def test_filters_that_cannot_be_are_refused(self, text: str) -> None:
        with pytest.raises(DataError):
            parse(text)

    def test_a_damaged_snapshot_or_manifest_is_made_anew(self, bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        small_parts(monkeypatch)
        for _ in range(3):
            record(bags)
        with Catalog(bags.data) as catalog:
            catalog.update()
            assert len(catalog.episodes()) == 3
            for damage in (b"", b"PAR1" + b"x" * 100):
                for part in (bags.data / FOLDER).glob("*.parquet"):
                    part.write_bytes(damage)
                assert len(catalog.episodes()) == 3
                assert len(catalog.episodes()) == 3
            for text in ("[]", "7", '{"catalog": 1}', "\xff", ""):
                (bags.data / FOLDER / snapshots.MANIFEST).write_text(text, encoding="latin-1")
                assert len(catalog.episodes()) == 3

    def test_a_disk_too_full_for_snapshots_answers_from_the_live_store(
        self, bags: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        small_parts(monkeypatch)
        for _ in range(3):
            record(bags)
        with Catalog(bags.data) as catalog:
            catalog.update()
            monkeypatch.setattr("xrollout_ros.episodes.catalog.snapshots.os.replace", full)
            assert len(catalog.episodes()) == 3


class TestFoldersOfOthers:
    def test_links_and_names_that_are_no_text_are_passed_over(self, bags: Any) -> None:
        meta = record(bags)
        (bags.data / "loop").symlink_to(".")
        (bags.data / "latest").symlink_to(folder_of(bags, meta).parent.name)
        (bags.data / "nowhere").symlink_to("nowhere")
        Path(os.fsdecode(os.fsencode(bags.data) + b"/\xff\xfe")).mkdir()
        with Catalog(bags.data) as catalog:
            for every in (False, True):
                report = catalog.update(every=every)
                assert (report.episodes, report.problems) == (1, ())

    def test_what_cannot_be_listed_is_told_and_stops_nothing(self, bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        meta = record(bags)
        (bags.data / "private").mkdir()
        scandir = os.scandir

        def refused(path: Any) -> Any:
            if Path(path).name == "private":
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr("xrollout_ros.episodes.catalog.walk.os.scandir", refused)
        with Catalog(bags.data) as catalog:
            assert catalog.fresh
            report = catalog.update()
            assert catalog.update(every=True).episodes == report.episodes == 1
            assert [path for path, _ in report.problems] == ["private"]
            assert catalog.ids([]) == [meta.episode_id]
        monkeypatch.undo()
        with Catalog(bags.data) as catalog:
            assert not catalog.fresh
            assert catalog.update(every=True).problems == ()

    def test_begun_is_not_caught_up(self, bags: Any) -> None:
        record(bags)
        Catalog(bags.data).close()
        with Catalog(bags.data) as catalog:
            assert catalog.fresh
            catalog.update()
        with Catalog(bags.data) as catalog:
            assert not catalog.fresh

    def test_a_copy_takes_the_place_of_the_original_that_is_deleted(self, bags: Any) -> None:
        meta = record(bags)
        for name in ("copy", "another"):
            shutil.copytree(folder_of(bags, meta), bags.data / name)
        with Catalog(bags.data) as catalog:
            report = catalog.update()
            assert (report.episodes, len(report.problems)) == (1, 2)
            (kept,) = catalog.episodes()["path"].to_pylist()
            shutil.rmtree(bags.data / kept)
            report = catalog.update()
            assert (report.episodes, len(report.problems)) == (1, 1)
            (second,) = catalog.episodes()["path"].to_pylist()
            shutil.rmtree(bags.data / second)
            report = catalog.update()
            assert (report.episodes, report.problems) == (1, ())
            assert catalog.disagreements() == []

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"topics": {"/a": {"received": 19 * 10**18}}}, "too large"),
            ({"duration_s": float("nan")}, "no finite number"),
            ({"task": "pick\x1b[31m"}, "control characters"),
        ],
    )
    def test_a_bag_with_what_no_catalog_holds_is_told(
        self, bags: Any, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], told: str
    ) -> None:
        record(bags)
        strange = record(bags)
        entry_of = store.entry_of

        def changed(folder: Path) -> Any:
            entry = entry_of(folder)
            if entry.meta is None or entry.meta.episode_id != strange.episode_id:
                return entry
            given = {**values}
            if "topics" in given:
                given["topics"] = {"/a": TopicCount(received=19 * 10**18)}
            return dataclasses.replace(entry, meta=entry.meta.model_copy(update=given))

        monkeypatch.setattr(store, "entry_of", changed)
        with Catalog(bags.data) as catalog:
            report = catalog.update()
            assert report.episodes == 1
            assert told in dict(report.problems).popitem()[1]

    def test_times_are_utc_where_they_name_no_zone_and_kept_where_utc_has_none(self) -> None:
        assert started("2026-01-31T10:00:00") == "2026-01-31T10:00:00.000+00:00"
        assert started("2026-01-31T10:00:00+02:00") == "2026-01-31T08:00:00.000+00:00"
        assert started("2026-01-31T10:00:00.5Z") == "2026-01-31T10:00:00.500+00:00"
        assert started("0001-01-01T00:00:00+14:00") == "0001-01-01T00:00:00+14:00"
        assert started("long ago") == "long ago"


class TestQuestions:
    def test_none_is_what_has_no_value(self, bags: Any) -> None:
        failed = record(bags, outcome="failure", policy_id="p")
        others = [record(bags, outcome="success", policy_id=name) for name in ("p", "")]
        with Catalog(bags.data) as catalog:
            catalog.update()
            catalog.say([Said("rule:x", failed.episode_id, failure(failed.episode_id, "dropped", "rule:x"))])

            def ids(text: str) -> set[str]:
                return set(catalog.episodes([text])["episode_id"].to_pylist())

            assert ids("failure=none") == {meta.episode_id for meta in others}
            assert ids("failure!=none") == {failed.episode_id}
            assert ids("failure=none,dropped") == {failed.episode_id, *(meta.episode_id for meta in others)}
            assert ids("policy=none") == {others[1].episode_id}

    def test_rates_at_the_boundary_are_neither_less_nor_more(self, bags: Any) -> None:
        for number in range(25):
            record(bags, outcome="success" if number < 7 else "failure", policy_id="p")
        with Catalog(bags.data) as catalog:
            catalog.update()
            for where in ((), (parse("seed!=77"),)):  # the live store's answer, and DuckDB's
                assert catalog.groups(Question(where, rate_lt=0.28)) == []
                assert catalog.groups(Question(where, rate_gt=0.28)) == []
                assert len(catalog.groups(Question(where, rate_lt=0.29, rate_gt=0.27))) == 1

    def test_since_and_until_are_times(self, bags: Any) -> None:
        meta = record(bags, started_at="2026-03-04T10:00:00+00:00")
        with Catalog(bags.data) as catalog:
            catalog.update()
            for text, fits in (
                ("started_at>=2026-03-04", True),
                ("started_at<2026-03-04", False),
                ("started_at>=2026-03-04T11:30:00+02:00", True),
                ("started_at>=2026-03-04T10:00:00Z", True),
                ("started_at>2026-03-04T10:00", False),
                ("started_at<=2026-03-04T10:00:00", True),
            ):
                assert (catalog.ids([parse(text)]) == [meta.episode_id]) is fits, text

    def test_unknown_are_those_that_would_count(self, bags: Any) -> None:
        for kind in EpisodeKind:
            assert (kind.value in RATED_KINDS) is counts_in_rate(kind, Outcome.SUCCESS)
            record(bags, kind=kind.value, outcome="unknown", policy_id="p")
        with Catalog(bags.data) as catalog:
            catalog.update()
            for where in ((), (parse("seed!=77"),)):
                groups = catalog.groups(Question(where, min_attempts=0))
                assert [group.unknown for group in groups] == [2]

    def test_a_group_whose_bags_are_gone_is_gone(self, bags: Any) -> None:
        record(bags, policy_id="kept")
        gone = record(bags, policy_id="gone")
        with Catalog(bags.data) as catalog:
            catalog.update()
            assert len(catalog.groups(Question(min_attempts=0))) == 2
            shutil.rmtree(folder_of(bags, gone))
            catalog.update()
            assert [group.group["policy"] for group in catalog.groups(Question(min_attempts=0))] == ["kept"]


class TestOtherProcesses:
    @pytest.mark.timeout(30)
    @pytest.mark.parametrize(
        "command",
        [
            ["/no/such/command"],
            [sys.executable, "-c", "for _ in iter(input, None): print('no JSON', flush=True)"],
            [sys.executable, "-c", "for _ in iter(input, None): print(7, flush=True)"],
            [sys.executable, "-c", "pass"],
        ],
    )
    def test_one_that_gives_no_answer_is_told_of_each_request(self, command: list[str]) -> None:
        assert sorted(workers.served(command, ["a", "b", "c"], 2)) == [("a", None), ("b", None), ("c", None)]

    def test_the_keeper_lives_on_after_any_error(self, bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        bags.data.mkdir()
        first, second = folder_of(bags, record(bags)), folder_of(bags, record(bags))
        register = Catalog.register

        def broken(self: Catalog, bag: Path) -> str:
            if bag == first:
                raise RuntimeError("of a kind nobody thought of")
            return register(self, bag)

        monkeypatch.setattr(Catalog, "register", broken)
        said: list[str] = []
        keeper = CatalogKeeper.__new__(CatalogKeeper)
        keeper._data, keeper._say = bags.data, said.append
        assert keeper._register([first, second]) == [second]
        assert keeper._register([second]) == []
        assert "of a kind nobody thought of" in said[0]
        with Catalog(bags.data) as catalog:
            assert len(catalog.ids([])) == 1
            assert "outside" in catalog.register(bags.data.parent / "elsewhere")


class TestMigrations:
    def test_an_old_store_is_brought_to_the_present_with_all_it_holds(
        self, bags: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record(bags)
        with Catalog(bags.data) as catalog:
            catalog.update()
            before = everything(catalog)
        more = (*schema.MIGRATIONS, ("CREATE TABLE of_tomorrow (x)", "INSERT INTO of_tomorrow VALUES (7)"))
        monkeypatch.setattr(schema, "MIGRATIONS", more)
        monkeypatch.setattr(schema, "VERSION", len(more))
        with Catalog(bags.data) as catalog:
            assert everything(catalog) == before
            with catalog._store.read() as reading:
                assert reading.rows("SELECT x FROM of_tomorrow") == [(7,)]

    def test_a_migration_that_fails_changes_nothing(self, bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        bags.data.mkdir()
        Catalog(bags.data).close()
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE half (x)", "no SQL")))
        monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
        with pytest.raises(DataError):
            Catalog(bags.data)
        connection = sqlite3.connect(bags.data / FOLDER / live.FILE)
        assert schema.version_of(connection) == schema.VERSION - 1
        assert not connection.execute("SELECT * FROM sqlite_master WHERE name = 'half'").fetchall()
        connection.close()
