"""Immutable Parquet snapshots of a catalog's tables, in parts: each holds what was newer than the one before."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import sync
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes.catalog.columns import ANNOTATIONS, EPISODES, Column, Kind, names
from xrollout_ros.episodes.catalog.live import Reading

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "snapshots.json"
COLUMNS: dict[str, tuple[Column, ...]] = {"episodes": EPISODES, "annotations": ANNOTATIONS}
FRESH = 5_000
"""More rows than these are not fetched from the live store for each question: they become a part."""
PARTS = 8
"""More parts than these are merged."""
_FETCHED = 50_000
_ROW_GROUP = 250_000


@dataclass(frozen=True)
class Part:
    """One Parquet file."""

    file: str
    upto: int
    """Change number: all that was written until then, and after the part before."""
    rows: int
    first: int
    """Least row number in it."""
    last: int
    """Largest row number in it."""


Parts = dict[str, tuple[Part, ...]]


class Snapshots:
    """The snapshots of a catalog. Files are never changed, and the manifest that names them is replaced at once."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: of the catalog.
        """
        self.folder = folder

    def parts(self, catalog: str, version: int) -> Parts:
        """The parts of each table, oldest first; none that belong to another catalog or version."""
        with suppress(FileNotFoundError, ValueError, TypeError, KeyError):  # of another form: none
            found = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            if (found["catalog"], found["version"]) == (catalog, version):
                return {table: tuple(Part(**part) for part in found["parts"][table]) for table in COLUMNS}
        return dict.fromkeys(COLUMNS, ())

    def forget(self) -> None:
        """Do without what the manifest names: it is damaged. What the live store has becomes new parts."""
        with suppress(OSError):
            (self.folder / MANIFEST).unlink()

    def keep(self, catalog: str, version: int, parts: Parts) -> None:
        """Make these the parts from now on. Files that no manifest names any more go; those of the one before stay,
        since somebody may be about to open them.

        Raises:
            OSError: the disk refuses.
        """
        before = self.parts(catalog, version)
        text = json.dumps(
            {
                "catalog": catalog,
                "version": version,
                "parts": {name: [asdict(p) for p in parts[name]] for name in parts},
            }
        )
        fresh = self.folder / f".{MANIFEST}.{os.getpid()}"
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.folder / MANIFEST)
        sync(self.folder)
        used = {part.file for named in (before, parts) for each in named.values() for part in each}
        for path in self.folder.glob("*.parquet*"):
            if path.name not in used:
                path.unlink(missing_ok=True)

    @contextmanager
    def only_one(self) -> Iterator[bool]:
        """Whether nobody else is making snapshots, while the context lasts."""
        handle = os.open(self.folder / ".snapshots.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def write_part(self, table: str, reading: Reading, after: int) -> Part | None:
        """Write what is newer than a change into a new file; None: nothing is.

        Raises:
            DataError: the disk refuses.
        """
        import pyarrow.parquet as pq

        schema, path = arrow_schema(table), self.folder / f"{table}-{new_id()}.parquet"
        columns, last, rows, first = ", ".join(names(COLUMNS[table])), -(2**63), 0, 2**63
        writer: Any = None
        try:
            while found := reading.rows(
                f"SELECT {columns} FROM {table} WHERE row > ? AND change > ? ORDER BY row LIMIT ?",
                (last, after, _FETCHED),
            ):
                writer = writer or pq.ParquetWriter(path, schema, compression="zstd")
                writer.write_table(to_arrow(table, found), row_group_size=_ROW_GROUP)
                first, last, rows = min(first, found[0][0]), found[-1][0], rows + len(found)
            if writer is not None:
                writer.close()
                sync(path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise DataError(f"the snapshot {path} cannot be written ({error})", "Free space or mend its rights.") from (
                error
            )
        return Part(path.name, reading.change, rows, first, last) if writer is not None else None


def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of a table."""
    import pyarrow as pa

    types = {Kind.WHOLE: pa.int64(), Kind.NUMBER: pa.float64(), Kind.TRUTH: pa.bool_()}
    return pa.schema([(column.name, types.get(column.kind, pa.string())) for column in COLUMNS[table]])


def to_arrow(table: str, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows of the live store as an Arrow table."""
    import pyarrow as pa

    schema = arrow_schema(table)
    values = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = []
    for field, column in zip(schema, values, strict=True):
        if pa.types.is_boolean(field.type):
            arrays.append(pa.array([None if value is None else bool(value) for value in column], pa.bool_()))
        else:
            arrays.append(pa.array(column, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
