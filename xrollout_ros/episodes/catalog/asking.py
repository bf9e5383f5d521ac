"""Asks DuckDB about a catalog: its snapshots and what is newer, as of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog import schema
from xrollout_ros.episodes.catalog.live import LiveStore, Newer, Reading
from xrollout_ros.episodes.catalog.snapshots import FRESH, Part, Parts, Snapshots
from xrollout_ros.episodes.layers import ALL_LAYERS, Layers

if TYPE_CHECKING:
    import duckdb

_NO_LIMIT = 2**62


class Analytics:
    """Views of a catalog in DuckDB, made for each question."""

    def __init__(self, store: LiveStore, snapshots: Snapshots, *, read_only: bool) -> None:
        """
        Args:
            store: the live store.
            snapshots: its snapshots.
            read_only: whether no new ones can be made.
        """
        self._store, self._snapshots, self._read_only = store, snapshots, read_only

    @contextmanager
    def asking(self, layers: Layers = ALL_LAYERS, *, annotations: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one question.

        Args:
            layers: those that count.
            annotations: whether it is also about ``annotations``.

        Raises:
            DataError: the catalog cannot be read, or the question is wrong.
        """
        import duckdb

        with self.connect(layers, annotations=annotations or not layers.all) as connection:
            try:
                yield connection
            except duckdb.Error as error:
                raise DataError(
                    f"the catalog cannot answer: {str(error).splitlines()[0]}",
                    "`xrollout query --columns` lists what can be asked for; files cannot be read or written.",
                ) from error

    def connect(self, layers: Layers = ALL_LAYERS, *, annotations: bool = True) -> duckdb.DuckDBPyConnection:
        """A connection to ``episodes`` and ``annotations`` as they are now, which reaches nothing else.

        Raises:
            DataError: the catalog cannot be read.
        """
        import duckdb

        from xrollout_ros.episodes.catalog.analytics import connect

        tables = ("episodes", "annotations") if annotations else ("episodes",)
        for attempt in range(4):
            # A part may have gone since: others made snapshots meanwhile. What then cannot be read is damaged.
            if attempt == 2 and not self._read_only:
                self._snapshots.forget()
            parts, newer = self._consistent(tables, alone=attempt >= 2)
            try:
                return connect(self._snapshots.folder, parts, newer, layers)
            except duckdb.Error as error:
                if attempt == 3:
                    raise DataError(
                        f"the snapshots in {self._snapshots.folder} cannot be read ({str(error).splitlines()[0]})",
                        "Make the catalog anew from bags and journal with `xrollout index --anew`.",
                    ) from error
        raise AssertionError

    def _consistent(self, tables: Sequence[str], *, alone: bool) -> tuple[Parts, dict[str, Newer]]:
        """Snapshots of these tables, and what is newer, as of one moment; ``alone``: all from the live store."""
        import duckdb

        most = _NO_LIMIT if self._read_only or alone else FRESH
        while True:
            with self._store.read() as reading:
                ((catalog,),) = reading.rows("SELECT value FROM state WHERE name = 'catalog'")
                known = self._snapshots.parts(catalog, schema.VERSION)
                parts = {table: () if alone else known[table] for table in tables}
                newer = {table: _newer(reading, table, each, most) for table, each in parts.items()}
            found = {table: each for table, each in newer.items() if each is not None}
            if len(found) == len(newer):
                return parts, found
            from xrollout_ros.episodes.catalog.compaction import compact

            try:
                made = compact(self._store, self._snapshots, catalog)
            except (DataError, OSError, duckdb.Error):
                made = False  # a full disk, say
            if not made:
                most = _NO_LIMIT  # that, or somebody else is at it


def _newer(reading: Reading, table: str, parts: Sequence[Part], most: int) -> Newer | None:
    return reading.newer(table, parts[-1].upto if parts else -1, parts[0].upto if parts else -1, most)
