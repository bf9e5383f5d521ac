"""The live store: SQLite, safe among processes; every write is durable when it returns, and has a change number."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from xrollout_ros.core.clock import SystemClock, nanoseconds
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog import schema
from xrollout_ros.episodes.catalog.columns import ANNOTATIONS, EPISODES, names

FILE = "catalog.sqlite"
TIMEOUT_S = 30.0
CHECKPOINT_PAGES = 8_000
"""Written beside the file until they are moved into it, which one writer in hundreds then waits for (SQLite's own 1,000
pages make it one in a hundred)."""
TABLES = {"episodes": names(EPISODES), "annotations": names(ANNOTATIONS)}
KEYS = {"episodes": "episode_id", "annotations": "entry_id"}
_RETRY_S = (0.0003, 0.0015)
Row = Mapping[str, Any]


class Newer(NamedTuple):
    """What a table holds that its snapshots do not."""

    rows: list[tuple[Any, ...]]
    """Of all columns, in their order."""
    gone: list[int]
    """Row numbers that were deleted."""


class Seen(NamedTuple):
    """A bag as it was when it was put into the catalog."""

    path: str
    episode_id: str
    """Empty: it could not be read."""
    bytes: int
    mtime_ns: int
    problem: str = ""


class Reading(Protocol):
    """One consistent view of a store."""

    @property
    def change(self) -> int:
        """The change number of the last write."""
        ...

    def newer(self, table: str, change: int, gone_since: int, most: int) -> Newer | None:
        """What is newer than ``change``, and what was deleted after ``gone_since``; None: more than ``most`` rows."""
        ...

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Answer of a statement that reads."""
        ...


class Writing(Protocol):
    """One write, all or nothing. Its change number is larger than that of every write that was committed before it."""

    def put(self, table: str, row: Row) -> None:
        """Insert a row, or replace the one with its key."""
        ...

    def remove(self, table: str, keys: Iterable[str]) -> int:
        """Delete rows; how many there were."""
        ...

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Answer of a statement that reads."""
        ...

    def run(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run a statement on the tables that have no change number."""
        ...

    def remember(self, name: str, value: Any) -> None:
        """Set one of the store's own notes."""
        ...


class LiveStore(Protocol):
    """What a catalog needs of its live store. A store whose numbers are not in the order of its commits (a sequence of
    PostgreSQL, say) must hold a lock from taking one to the commit.
    """

    def read(self) -> Any:
        """Context manager of a :class:`Reading`."""
        ...

    def write(self) -> Any:
        """Context manager of a :class:`Writing`."""
        ...


class SqliteStore:
    """A catalog's tables in one SQLite file, in WAL mode. One connection, used by one thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open a store, make it if it is not there, migrate it if it is old.

        Raises:
            DataError: it cannot be opened, or was made by a newer version.
        """
        self.path, self.read_only = path, read_only
        with self._guarded():
            self._connection = self._open_to_read() if read_only else self._open()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            schema.check_version(schema.version_of(connection), self.path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            schema.migrate(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        where = f"{self.path.absolute().as_uri()}?mode=ro"
        log = self.path.with_name(f"{FILE}-wal")
        if not log.exists() or not log.stat().st_size:
            where += "&immutable=1"  # else SQLite would have to make files beside it
        connection = sqlite3.connect(where, uri=True, timeout=TIMEOUT_S, isolation_level=None, check_same_thread=False)
        found = schema.version_of(connection)
        if found != schema.VERSION:
            connection.close()
            schema.check_version(found, self.path)
            raise DataError(
                f"the catalog {self.path} has version {found}, and cannot be brought to {schema.VERSION}: the disk "
                "cannot be written",
                "Make it writable, or copy the data folder's .catalog and the journal elsewhere.",
            )
        return connection

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def read(self) -> Iterator[Reading]:
        """A consistent view, while the context lasts.

        Raises:
            DataError: the store cannot be read.
        """
        with self._guarded():
            self._connection.execute("BEGIN")
            try:
                yield _Reading(self._connection)
            finally:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[Writing]:
        """One write; durable when the context ends, undone when it raises.

        Raises:
            DataError: the store cannot be written: locked for 30 s, a full or read-only disk, or damaged.
        """
        with self._guarded():
            self._begin()
            try:
                writing = _Writing(self._connection)
                yield writing
                writing.finish()
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite has rolled back by itself where the disk was full
                    self._connection.execute("ROLLBACK")
                raise

    def _begin(self) -> None:
        """Wait for the others' writes.

        SQLite by itself sleeps up to 100 ms where a write takes 3; this asks again soon, so that nobody waits long.
        """
        clock = SystemClock()
        deadline_ns = clock.steady_ns() + nanoseconds(TIMEOUT_S)
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error) or clock.steady_ns() > deadline_ns:
                        raise
                time.sleep(random.uniform(*_RETRY_S))
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {TIMEOUT_S * 1000:.0f}")

    @contextmanager
    def patience(self, thousands: int) -> Iterator[None]:
        """Interrupt a statement after so many thousands of SQLite's instructions."""
        left = [thousands]

        def tick() -> int:
            left[0] -= 1
            return int(left[0] < 0)

        self._connection.set_progress_handler(tick, 1000)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None, 0)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            remedy = "Free space or mend its rights; bags and journal have all, and `xrollout index` catches up."
            if "locked" in str(error):
                remedy = f"Another process has been writing for {TIMEOUT_S:g} s; try again, or end it."
            raise DataError(f"the catalog {self.path} cannot be used ({error})", remedy) from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise DataError(
                f"the catalog {self.path} cannot be used ({error})",
                "If it is damaged, make it anew from bags and journal with `xrollout index --anew`.",
            ) from error


class _Reading:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def change(self) -> int:
        return _change(self._connection)

    def newer(self, table: str, change: int, gone_since: int, most: int) -> Newer | None:
        columns = ", ".join(TABLES[table])
        found = self.rows(f"SELECT {columns} FROM {table} WHERE change > ? LIMIT ?", (change, most + 1))
        gone = self.rows("SELECT row FROM tombstones WHERE tbl = ? AND change > ?", (table, gone_since))
        if len(found) > most:
            return None
        return Newer(found, [row for (row,) in gone])

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()


class _Writing(_Reading):
    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._next = _change(connection) + 1
        self._changed = False

    def put(self, table: str, row: Row) -> None:
        self._changed = True
        key = KEYS[table]
        columns = [name for name in TABLES[table] if name not in ("row", "change")]
        update = ", ".join(f"{name} = excluded.{name}" for name in (*columns, "change") if name != key)
        # One statement that updates keeps the row number, by which snapshots know it.
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}, change) VALUES ({', '.join('?' * (len(columns) + 1))}) "
            f"ON CONFLICT ({key}) DO UPDATE SET {update}",
            [*(row[name] for name in columns), self._next],
        )

    def remove(self, table: str, keys: Iterable[str]) -> int:
        removed = 0
        for key in keys:
            for (row,) in self.rows(f"SELECT row FROM {table} WHERE {KEYS[table]} = ?", (key,)):
                self._connection.execute(f"DELETE FROM {table} WHERE row = ?", (row,))
                self._connection.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)", (table, row, self._next))
                self._changed, removed = True, removed + 1
        return removed

    def run(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        self._connection.executemany(sql, values)

    def remember(self, name: str, value: Any) -> None:
        self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def finish(self) -> None:
        if self._changed:
            self.remember("change", self._next)


def _change(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT value FROM state WHERE name = 'change'").fetchone()
    return int(found[0]) if found else 0
