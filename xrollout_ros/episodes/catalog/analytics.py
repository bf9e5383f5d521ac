"""DuckDB's view of a catalog: Parquet snapshots, without what has changed since, and the newer rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.columns import EPISODES, Kind, names
from xrollout_ros.episodes.catalog.layers import layer_test, layered_view, quoted
from xrollout_ros.episodes.catalog.live import Newer
from xrollout_ros.episodes.catalog.snapshots import COLUMNS, Part
from xrollout_ros.episodes.layers import Layers

if TYPE_CHECKING:
    import duckdb

_INSERTED = 10_000
"""Rows at once."""


def connect(
    folder: Path, parts: dict[str, tuple[Part, ...]], newer: dict[str, Newer], layers: Layers
) -> duckdb.DuckDBPyConnection:
    """A connection with the views ``episodes`` and ``annotations``, which reaches nothing else.

    Args:
        folder: of the catalog.
        parts: of each table that is asked for.
        newer: what each of them has beyond its last part, and all that was deleted since its first.
        layers: those that count.
    """
    connection = unlocked(folder, parts, newer)
    visible = names(EPISODES)
    casts = ", ".join(
        f"from_json(tags, '[\"VARCHAR\"]') AS {name}" if name == "tags" else name
        for name in visible
        if not name.startswith("bag_") and name != "mtime_ns"
    )
    source = "all_episodes"
    if not layers.all:
        connection.execute(layered_view(layers))
        source = "layered_episodes"
    connection.execute(f"CREATE VIEW episodes AS SELECT {casts} FROM {source}")
    if "annotations" in parts:
        shown = ", ".join(name for name in names(COLUMNS["annotations"]) if name not in ("row", "change", "entry"))
        test = layer_test(layers)
        connection.execute(f"CREATE VIEW annotations AS SELECT {shown} FROM all_annotations WHERE {test}")
    files = [str(folder / part.file) for each in parts.values() for part in each]
    connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, files))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def unlocked(folder: Path, parts: dict[str, tuple[Part, ...]], newer: dict[str, Newer]) -> duckdb.DuckDBPyConnection:
    """A connection with ``all_episodes`` and ``all_annotations``, that may still read and write files."""
    import duckdb

    connection = duckdb.connect()
    for table, each in parts.items():
        _put_newer(connection, table, newer[table].rows)
        _view(connection, folder, table, each, newer[table].gone)
    return connection


def _put_newer(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Rows of the live store as ``newer_<table>``: as JSON, one text for each column. Arrow would be quicker for some
    thousands of rows, but importing it takes longer than that, and it imports pandas where that is installed.
    """
    columns = COLUMNS[table]
    declared = ", ".join(f"{column.name} {column.kind.duckdb}" for column in columns)
    connection.execute(f"CREATE TEMP TABLE newer_{table} ({declared})")
    values = ", ".join(
        # JSON has no numbers for what is not finite.
        "unnest(?::DOUBLE[])" if column.kind is Kind.NUMBER else f"unnest(from_json(?, '[\"{column.kind.duckdb}\"]'))"
        for column in columns
    )
    for first in range(0, len(rows), _INSERTED):
        given = [
            list(each) if column.kind is Kind.NUMBER else json.dumps(each)
            for column, each in zip(columns, zip(*rows[first : first + _INSERTED], strict=True), strict=True)
        ]
        connection.execute(f"INSERT INTO newer_{table} SELECT {values}", given)


def _view(
    connection: duckdb.DuckDBPyConnection, folder: Path, table: str, parts: Sequence[Part], deleted: Sequence[int]
) -> None:
    columns = ", ".join(names(COLUMNS[table]))
    sources = [f"SELECT {columns} FROM newer_{table}"]  # the newest first, and turned round in the end
    connection.execute(f'CREATE TEMP TABLE gone_{table} ("row" BIGINT)')
    if deleted:
        connection.execute(f"INSERT INTO gone_{table} SELECT unnest(?::BIGINT[])", [list(deleted)])
    later = [f"SELECT row FROM newer_{table}", f"SELECT row FROM gone_{table}"]
    # From the newest part to the oldest: what any later one holds of a row counts instead.
    for number, part in reversed(list(enumerate(parts))):
        file = quoted(str(folder / part.file))
        name = f"gone_{table}_{number}"
        within = f"row BETWEEN {part.first} AND {part.last}"
        everything = " UNION ".join(later)
        connection.execute(f"CREATE TEMP TABLE {name} AS SELECT row FROM ({everything}) WHERE {within}")
        least, *_ = connection.execute(f"SELECT min(row) FROM {name}").fetchone() or (None,)
        if least is None:
            sources.append(f"SELECT {columns} FROM read_parquet({file})")
        else:
            # What changes is mostly new: what lies before the first changed row is read as it is.
            rest = f"SELECT {columns} FROM read_parquet({file}) WHERE row >= {least}"
            sources.append(f"SELECT {columns} FROM ({rest}) ANTI JOIN {name} USING (row)")
            sources.append(f"SELECT {columns} FROM read_parquet({file}) WHERE row < {least}")
        later.append(f"SELECT row FROM read_parquet({file})")
    connection.execute(f"CREATE VIEW all_{table} AS {' UNION ALL '.join(reversed(sources))}")


def check_select(text: str) -> str:
    """Return ``text`` if it is one statement that only reads.

    Raises:
        DataError: it is something else.
    """
    import duckdb

    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise DataError(
            f"the SQL cannot be read: {_first(error)}", "Write one SELECT; `--columns` lists the columns."
        ) from (error)
    kinds = [statement.type for statement in statements]
    if len(kinds) != 1 or kinds[0] != duckdb.StatementType.SELECT:  # EXPLAIN ANALYZE runs what it explains
        said = ", ".join(str(kind).rpartition(".")[2] for kind in kinds) or "nothing"
        raise DataError(
            f"the SQL is {said}, but only one SELECT is allowed: the catalog is read, never written by a question",
            "Write one SELECT; put tags on with `xrollout tag`, save the answer with `--output`.",
        )
    return text


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
