"""Makes snapshots: what is newer becomes a part, and many parts become one."""

from __future__ import annotations

from collections.abc import Sequence

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes.catalog import schema
from xrollout_ros.episodes.catalog.analytics import unlocked
from xrollout_ros.episodes.catalog.layers import quoted
from xrollout_ros.episodes.catalog.live import LiveStore, Newer
from xrollout_ros.episodes.catalog.snapshots import FRESH, PARTS, Part, Snapshots

_GROWTH = 0.2
"""When the later parts hold this share of the first one, all are merged."""


def compact(store: LiveStore, snapshots: Snapshots, catalog: str) -> bool:
    """Bring the snapshots to where the live store is.

    Args:
        store: the live store.
        snapshots: its snapshots.
        catalog: its identity.

    Returns:
        Whether they are; not, if another process is making them.

    Raises:
        DataError: the disk refuses.
    """
    with snapshots.only_one() as alone:
        if not alone:
            return False
        parts = snapshots.parts(catalog, schema.VERSION)
        gone: dict[str, list[int]] = {}
        with store.read() as reading:
            for table, each in parts.items():
                upto = each[-1].upto if each else -1
                ((count,),) = reading.rows(
                    f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE change > ? LIMIT ?)", (upto, FRESH + 1)
                )
                if count > FRESH and (part := snapshots.write_part(table, reading, upto)) is not None:
                    parts[table] = (*each, part)
                first = parts[table][0].upto if parts[table] else -1
                found = reading.rows("SELECT row FROM tombstones WHERE tbl = ? AND change > ?", (table, first))
                gone[table] = [row for (row,) in found]
        merged = {table: _merged(snapshots, table, each, gone[table]) for table, each in parts.items()}
        try:
            snapshots.keep(catalog, schema.VERSION, merged)
        except OSError as error:
            raise DataError(
                f"the snapshots in {snapshots.folder} cannot be written ({error})", "Free space."
            ) from error
        return True


def _merged(snapshots: Snapshots, table: str, parts: tuple[Part, ...], gone: Sequence[int]) -> tuple[Part, ...]:
    """One part instead of many; small ones are merged with each other until they are many compared to the first."""
    later = parts[1:]
    if not later:
        return parts
    if sum(part.rows for part in later) > _GROWTH * parts[0].rows:
        return (_merge(snapshots, table, parts, gone),)
    return (parts[0], _merge(snapshots, table, later, gone)) if len(later) >= PARTS else parts


def _merge(snapshots: Snapshots, table: str, parts: tuple[Part, ...], gone: Sequence[int]) -> Part:
    import duckdb

    path = snapshots.folder / f"{table}-{new_id()}.parquet"
    connection = unlocked(snapshots.folder, {table: parts}, {table: Newer([], list(gone))})
    try:
        connection.execute(
            f"COPY (SELECT * FROM all_{table}) TO {quoted(str(path))} "
            "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 250000)"
        )
        found = connection.execute(
            f"SELECT count(*), coalesce(min(row), 0), coalesce(max(row), 0) FROM read_parquet({quoted(str(path))})"
        ).fetchone()
    except duckdb.Error as error:
        path.unlink(missing_ok=True)
        raise DataError(f"the snapshot {path} cannot be written ({error})", "Free space.") from error
    finally:
        connection.close()
    rows, first, last = found or (0, 0, 0)
    return Part(path.name, parts[-1].upto, rows, first, last)
