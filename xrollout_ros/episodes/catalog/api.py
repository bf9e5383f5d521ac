"""A data folder's catalog: kept up to date, asked, and written to through the journal."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from xrollout_ros.core.clock import Clock, SystemClock
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog import grouping, query
from xrollout_ros.episodes.catalog.asking import Analytics
from xrollout_ros.episodes.catalog.columns import PUBLIC, plain
from xrollout_ros.episodes.catalog.filters import Condition, Dialect, Sql, conjunction, parse
from xrollout_ros.episodes.catalog.live import FILE, Reading, SqliteStore
from xrollout_ros.episodes.catalog.query import Group, Question
from xrollout_ros.episodes.catalog.snapshots import Snapshots
from xrollout_ros.episodes.layers import ALL_LAYERS, Layers
from xrollout_ros.episodes.paths import JOURNAL

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from xrollout_ros.episodes.catalog.index import Progress, Report
    from xrollout_ros.episodes.journal import Said
    from xrollout_ros.episodes.journal_entry import JournalEntry, Value

FOLDER = ".catalog"
"""In the data folder."""
_PATIENCE = 2_000
"""Times of 1,000 SQLite instructions until DuckDB is asked instead: some tens of ms."""
_PATIENCE_FOR_ALL = 100 * _PATIENCE


class Catalog:
    """The catalog of one data folder; a context manager, used by one thread.

    It is an index: bags and journal hold everything, and whatever is not up to date is brought up to date before it is
    asked. Where the disk cannot be written it is asked as it is.
    """

    def __init__(self, data: Path | str, clock: Clock | None = None) -> None:
        """Open the catalog of a data folder, or begin it.

        Raises:
            DataError: the folder is not there, or its catalog cannot be opened or was made by a newer version.
        """
        self.data = Path(data)
        if not self.data.is_dir():
            raise DataError(
                f"the data folder {self.data} is not there",
                "Give the folder that was recorded to (`--data`, XROLLOUT_DATA), or record first.",
            )
        self.folder = self.data / FOLDER
        self.read_only = not os.access(self.folder if self.folder.is_dir() else self.data, os.W_OK | os.X_OK)
        if self.read_only and not (self.folder / FILE).is_file():
            raise DataError(
                f"{self.data} has no catalog, and none can be made: the disk cannot be written",
                "Make it writable, or copy the data folder to where it is.",
            )
        begun = not (self.folder / FILE).is_file()
        self._clock = clock or SystemClock()
        self._updated: Report | None = None
        self._store = self._opened(begun)
        with self._store.read() as reading:
            self.fresh = not reading.rows("SELECT 1 FROM state WHERE name = 'caught_up'")
            """Whether it has never seen the whole data folder."""
        self._analytics = Analytics(self._store, Snapshots(self.folder), read_only=self.read_only)

    def _opened(self, begun: bool) -> SqliteStore:
        try:
            return SqliteStore(self.folder / FILE, read_only=self.read_only)
        except DataError as error:
            # A full disk, say: SQLite has to make files beside it even to read, unless it knows that nobody writes.
            refused = isinstance(error.__cause__, sqlite3.OperationalError) and "locked" not in str(error.__cause__)
            if begun or self.read_only or not refused:
                raise
            self.read_only = True
            return SqliteStore(self.folder / FILE, read_only=True)

    def __enter__(self) -> Catalog:  # noqa: PYI034 (Python 3.10 has no typing.Self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close its files."""
        self._store.close()

    # --- keeping it -------------------------------------------------------------------------------------------------

    def update(self, *, every: bool = False, workers: int = 0, progress: Progress | None = None) -> Report:
        """Bring it in line with bags and journal.

        Args:
            every: look at every bag and the whole journal; else at what was changed or added, which is quick.
            workers: processes that read bags; 0: as many as fit.
            progress: told how many bags of how many are read.

        Raises:
            DataError: the disk refuses, or cannot be written at all.
        """
        from xrollout_ros.episodes.catalog.index import bring_up_to_date

        if self.read_only:
            raise DataError(f"the catalog {self.folder} cannot be written", "Free space, or mend its rights.")
        self._updated = bring_up_to_date(
            self._store, self.data, self._clock, every=every, workers=workers, progress=progress
        )
        return self._updated

    def known(self) -> Report:
        """What it held when it was brought up to date, else what it holds; with what could not be read."""
        from xrollout_ros.episodes.catalog.index import report

        if self._updated is not None:
            return self._updated
        with self._store.read() as reading:
            return report(reading)

    def disagreements(self) -> list[str]:
        """Where it and the disk disagree, in words; changes nothing.

        Raises:
            DataError: journal or catalog cannot be read.
        """
        from xrollout_ros.episodes.catalog.checking import disagreements

        return disagreements(self._store, self.data, self._clock)

    def register(self, bag: Path) -> str:
        """Put a bag that was just closed into it, or take one out that is gone.

        Returns:
            What is wrong with the bag; empty: nothing.

        Raises:
            DataError: the disk refuses.
        """
        from xrollout_ros.episodes.catalog import bags

        path = os.path.relpath(bag.absolute(), self.data.absolute())
        if path.startswith(os.pardir):
            return f"it lies outside of {self.data}"
        gone = not bag.is_dir()
        found = None if gone else bags.look(self.data, path)
        with self._store.write() as writing:
            if found is None:
                bags.remove_paths(writing, self.data, [path])
                return ""
            return bags.put_bag(writing, self.data, found)

    def say(self, said: Sequence[Said]) -> list[JournalEntry]:
        """Add to the journal, all or nothing, and apply it here. The journal is what counts: where only the second
        fails, the next question makes up for it.

        Raises:
            DataError: the journal cannot be written, and nothing was said; or it was said, and the catalog is behind.
            SpecError: an episode id is no ULID.
        """
        from xrollout_ros.episodes import journal
        from xrollout_ros.episodes.catalog import bags

        entries = journal.append_all(self.data / JOURNAL, said, self._clock)
        if not self.read_only:
            try:
                bags.follow_journal(self._store, self.data / JOURNAL)
            except DataError as error:
                raise DataError(
                    f"all was said and is in the journal, but not yet in the catalog: {error.what}",
                    "Do not say it again: the next question catches up.",
                ) from error
        return entries

    def follow_journal(self) -> int:
        """Apply what others have said since; how many entries are new.

        Raises:
            DataError: journal or catalog cannot be used, or the catalog cannot be written.
        """
        from xrollout_ros.episodes.catalog import bags

        return bags.follow_journal(self._store, self.data / JOURNAL)

    def reading(self) -> AbstractContextManager[Reading]:
        """A consistent view of the live store, for questions about single episodes."""
        return self._store.read()

    # --- finding what is meant --------------------------------------------------------------------------------------

    def find(self, id_or_part: str) -> str:
        """The one episode whose id is, begins or ends with this.

        Raises:
            DataError: there is none, or several.
        """
        from xrollout_ros.episodes.catalog import finding

        with self._store.read() as reading:
            return finding.episode_id(reading, id_or_part)

    def ids(self, where: Sequence[Condition]) -> list[str]:
        """Ids of the episodes for which all conditions hold, oldest first."""
        test = conjunction(where, Dialect.SQLITE)
        with self._store.read() as reading:
            sql = f"SELECT episode_id FROM episodes WHERE {test.text} ORDER BY started_at, episode_id"
            return [name for (name,) in reading.rows(sql, test.values)]

    def count(self, where: Sequence[Condition]) -> int:
        """How many episodes there are for which all conditions hold."""
        test = conjunction(where, Dialect.SQLITE)
        with self._store.read() as reading:
            ((found,),) = reading.rows(f"SELECT count(*) FROM episodes WHERE {test.text}", test.values)
            return int(found)

    def entries(self, name: str) -> list[JournalEntry]:
        """The entry of the journal with this id, or all that were said in one go with it.

        Raises:
            DataError: there is none.
        """
        from xrollout_ros.episodes.catalog import finding

        with self._store.read() as reading:
            return finding.entries(reading, name)

    def check_type(self, name: str, value: Value, episodes: Sequence[str]) -> None:
        """Refuse a value of another type than the property has elsewhere.

        Raises:
            DataError: it has one.
        """
        from xrollout_ros.episodes.catalog import finding

        with self._store.read() as reading:
            finding.check_type(reading, name, value, episodes)

    def said_of(self, episodes: Sequence[str]) -> list[tuple[str, list[str], dict[str, Any]]]:
        """Tags and properties of episodes as they hold now."""
        from xrollout_ros.episodes.catalog import finding

        with self._store.read() as reading:
            return [finding.said_of(reading, each) for each in episodes]

    # --- asking it --------------------------------------------------------------------------------------------------

    def groups(self, question: Question) -> list[Group]:
        """Groups of attempts, the worst rate first.

        Raises:
            DataError: the catalog cannot be read.
        """
        found = None
        if question.counted:
            with self._store.read() as reading:
                found = grouping.counted(reading, question)
        if found is None:
            with self._analytics.asking(question.layers) as connection:
                found = grouping.analyzed(connection, question)
        return sorted(found, key=lambda each: (each.rate is None, each.rate, -each.attempts, str(each.group)))

    def episodes(
        self,
        where: Iterable[Condition | str] = (),
        *,
        limit: int | None = None,
        oldest: bool = False,
        layers: Layers = ALL_LAYERS,
    ) -> pa.Table:
        """Single episodes with all public columns, the newest first.

        Args:
            where: conditions that all hold, e.g. ``"outcome=failure"``; see :mod:`.filters`.
            limit: not more than so many.
            oldest: the oldest first.
            layers: those that count.

        Raises:
            DataError: a condition cannot be read, or the catalog cannot be.
        """
        conditions = [parse(each) if isinstance(each, str) else each for each in where]
        if layers.all and limit is not None and (rows := self._newest(conditions, limit, oldest)) is not None:
            from xrollout_ros.episodes.catalog.answers import listed

            return listed(rows)
        return self._table(query.listing_sql(conditions, Dialect.DUCKDB, limit, oldest=oldest), layers)

    def listing(
        self,
        where: Iterable[Condition | str] = (),
        *,
        limit: int | None = None,
        oldest: bool = False,
        layers: Layers = ALL_LAYERS,
    ) -> list[dict[str, Any]]:
        """As :meth:`episodes`, by column name, as Python's own values and without Arrow: for lists that people read."""
        conditions = [parse(each) if isinstance(each, str) else each for each in where]
        rows = self._newest(conditions, limit, oldest) if layers.all else None
        if rows is None:
            sql = query.listing_sql(conditions, Dialect.DUCKDB, limit, oldest=oldest)
            with self._analytics.asking(layers) as connection:
                rows = connection.execute(*sql).fetchall()
            return [dict(zip(PUBLIC, row, strict=True)) for row in rows]
        return [{name: plain(name, value) for name, value in zip(PUBLIC, row, strict=True)} for row in rows]

    def _newest(self, conditions: Sequence[Condition], limit: int | None, oldest: bool) -> list[tuple[Any, ...]] | None:
        """From the live store, whose indexes lead there; None: they do not, in a reasonable time."""
        with self._store.patience(_PATIENCE if limit is not None else _PATIENCE_FOR_ALL), self._store.read() as reading:
            try:
                return reading.rows(*query.listing_sql(conditions, Dialect.SQLITE, limit, oldest=oldest))
            except sqlite3.OperationalError as error:
                if "interrupted" in str(error):
                    return None
                raise

    def sql(self, text: str, layers: Layers = ALL_LAYERS) -> pa.Table:
        """The answer of one SELECT over the views ``episodes`` and ``annotations``, in DuckDB's SQL.

        Raises:
            DataError: it is no single SELECT, is wrong, or reaches for something else than the views.
        """
        from xrollout_ros.episodes.catalog.analytics import check_select

        return self._table(Sql(check_select(text), []), layers, annotations=True)

    def connect(self, layers: Layers = ALL_LAYERS, *, annotations: bool = True) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection to ``episodes`` and ``annotations`` as they are now, which reaches nothing else.

        Raises:
            DataError: the catalog cannot be read.
        """
        return self._analytics.connect(layers, annotations=annotations)

    def _table(self, sql: Sql, layers: Layers, *, annotations: bool = False) -> pa.Table:
        with self._analytics.asking(layers, annotations=annotations) as connection:
            return connection.sql(sql.text, params=sql.values).to_arrow_table()
