"""Which closed bags wait to be uploaded, are on their way, or are there: durable, so that a kill loses nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from xrollout_ros.core.clock import Clock, nanoseconds, seconds
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes import rosbag2

FILE = ".uploads.sqlite"
"""In the data folder."""
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 300.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS uploads (
    bag TEXT NOT NULL, url TEXT NOT NULL, state TEXT NOT NULL, bytes INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, next_ns INTEGER NOT NULL DEFAULT 0, changed_ns INTEGER NOT NULL,
    error TEXT NOT NULL DEFAULT '', PRIMARY KEY (bag, url))
"""


class State(str, Enum):
    """Where a bag is."""

    QUEUED = "queued"
    DONE = "done"
    GONE = "gone"
    """It was moved or deleted here before it was uploaded."""


@dataclass(frozen=True)
class Upload:
    """One bag and one place."""

    bag: str
    """Path below the data folder."""
    url: str
    state: State
    bytes: int
    tries: int
    """That failed."""
    next_ns: int
    """Not before this wall-clock time."""
    error: str
    """Why it failed last."""


class UploadQueue:
    """Safe among processes: the uploader works on it, a command looks at it."""

    def __init__(self, data: Path, clock: Clock) -> None:
        """Open the queue of a data folder, or begin it.

        Raises:
            DataError: it cannot be opened or written.
        """
        self.data = data
        self._clock = clock
        self._path = data / FILE
        try:
            data.mkdir(parents=True, exist_ok=True)
            with self._connect() as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> DataError:
        return DataError(f"the upload queue {self._path} cannot be used ({error})", "Free space or mend its rights.")

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=30.0)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            with connection:
                yield connection
        finally:
            connection.close()

    def look(self, url: str, settled_s: float = 0.0) -> int:
        """Queue the closed bags that are not in the queue yet.

        Args:
            url: where they go.
            settled_s: leave those alone that were closed within this time: one may still be discarded.

        Returns:
            How many are new.

        Raises:
            DataError: the queue cannot be written.
        """
        now_ns = self._clock.wall_ns()
        with self._guarded() as connection:
            known = {row[0] for row in connection.execute("SELECT bag FROM uploads WHERE url = ?", (url,))}
            fresh = []
            for metadata in sorted(self.data.glob(f"*/*/{rosbag2.METADATA_FILE}")):
                folder = metadata.parent
                name = str(folder.relative_to(self.data))
                if name in known or name.startswith(".") or folder.name.startswith("."):
                    continue
                try:
                    closed_ns = metadata.stat().st_mtime_ns
                    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
                except FileNotFoundError:
                    continue  # discarded in this moment
                if now_ns - closed_ns >= nanoseconds(settled_s):
                    fresh.append((name, url, State.QUEUED.value, size, now_ns))
            connection.executemany(
                "INSERT OR IGNORE INTO uploads (bag, url, state, bytes, changed_ns) VALUES (?, ?, ?, ?, ?)", fresh
            )
        return len(fresh)

    def due(self, url: str) -> Upload | None:
        """The next one whose time has come, those that never failed first; none: none has."""
        with self._guarded() as connection:
            row = connection.execute(
                "SELECT bag, url, state, bytes, tries, next_ns, error FROM uploads "
                "WHERE url = ? AND state = 'queued' AND next_ns <= ? ORDER BY tries, bag LIMIT 1",
                (url, self._clock.wall_ns()),
            ).fetchone()
        return _upload(row) if row else None

    def done(self, upload: Upload, state: State = State.DONE) -> None:
        """It is there and verified, or gone from here."""
        self._set(upload, state.value, upload.tries, 0, "")

    def failed(self, upload: Upload, error: str) -> float:
        """It failed: it is tried again, later each time. Gives the delay in s."""
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(upload.tries, 30))
        due_ns = self._clock.wall_ns() + nanoseconds(delay_s)
        self._set(upload, State.QUEUED.value, upload.tries + 1, due_ns, error)
        return delay_s

    def _set(self, upload: Upload, state: str, tries: int, next_ns: int, error: str) -> None:
        with self._guarded() as connection:
            connection.execute(
                "UPDATE uploads SET state = ?, tries = ?, next_ns = ?, error = ?, changed_ns = ? "
                "WHERE bag = ? AND url = ?",
                (state, tries, next_ns, error, self._clock.wall_ns(), upload.bag, upload.url),
            )

    def retry(self) -> int:
        """Try everything that failed now, and bags that were gone and are back; how many."""
        with self._guarded() as connection:
            rows = connection.execute("SELECT bag FROM uploads WHERE state = 'gone'").fetchall()
            back = [(name,) for (name,) in rows if (self.data / name / rosbag2.METADATA_FILE).is_file()]
            connection.executemany("UPDATE uploads SET state = 'queued' WHERE bag = ?", back)
            changed = connection.execute(
                "UPDATE uploads SET next_ns = 0, tries = 0 WHERE state = 'queued' AND tries > 0"
            )
            return changed.rowcount + len(back)

    def all(self) -> list[Upload]:
        """Everything in it, by bag."""
        with self._guarded() as connection:
            rows = connection.execute(
                "SELECT bag, url, state, bytes, tries, next_ns, error FROM uploads ORDER BY bag, url"
            ).fetchall()
        return [_upload(row) for row in rows]

    def count(self, url: str) -> tuple[int, int, int]:
        """Bags that wait, their bytes, and bags that are done."""
        with self._guarded() as connection:
            waiting, size = connection.execute(
                "SELECT count(*), coalesce(sum(bytes), 0) FROM uploads WHERE url = ? AND state = 'queued'", (url,)
            ).fetchone()
            (done,) = connection.execute(
                "SELECT count(*) FROM uploads WHERE url = ? AND state = 'done'", (url,)
            ).fetchone()
        return int(waiting), int(size), int(done)

    def wait_s(self, upload: Upload) -> float:
        """Until it is tried again, s; 0: now."""
        return max(0.0, seconds(upload.next_ns - self._clock.wall_ns()))

    @contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connect() as connection:
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from error


def _upload(row: tuple[str, str, str, int, int, int, str]) -> Upload:
    bag, url, state, size, tries, next_ns, error = row
    return Upload(bag, url, State(state), size, tries, next_ns, error)
