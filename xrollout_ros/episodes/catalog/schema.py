"""The tables of the live store, made and migrated step by step."""

from __future__ import annotations

import sqlite3

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.columns import ANNOTATIONS, EPISODES, RATED_KINDS, Column

ROLLUP = ("task", "policy_id", "scene", "start", "robot", "kind", "site", "level")
"""Columns by which attempts are counted while they are written."""
COUNTS = ("episodes", "attempts", "successes", "helped", "unknown")


def _table(name: str, columns: tuple[Column, ...], key: str) -> str:
    # Row numbers are never used again: snapshots know rows by them.
    lines = [f"{column.name} {column.kind.sqlite}" for column in columns if column.name not in ("row", key)]
    return (
        f"CREATE TABLE {name} (row INTEGER PRIMARY KEY AUTOINCREMENT, {key} TEXT NOT NULL UNIQUE, {', '.join(lines)})"
    )


def _counted(sign: str, side: str) -> str:
    unknown = f"({side}.outcome = 'unknown' AND {side}.kind IN {RATED_KINDS})"
    values = ("1", f"{side}.attempt", f"({side}.attempt AND {side}.success)", f"({side}.attempt AND {side}.helped)")
    amounts = [f"{sign}{value}" for value in (*values, unknown)]
    key = ", ".join(f"{side}.{name}" for name in ROLLUP)
    update = ", ".join(f"{count} = {count} + excluded.{count}" for count in COUNTS)
    return (
        f"INSERT INTO rollup ({', '.join(ROLLUP)}, {', '.join(COUNTS)}) VALUES ({key}, {', '.join(amounts)}) "
        f"ON CONFLICT DO UPDATE SET {update};"
    )


def _rollup() -> str:
    columns = [*(f"{name} TEXT NOT NULL" for name in ROLLUP), *(f"{name} INTEGER NOT NULL" for name in COUNTS)]
    return f"CREATE TABLE rollup ({', '.join(columns)}, PRIMARY KEY ({', '.join(ROLLUP)})) WITHOUT ROWID"


_FIRST = (
    "CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "INSERT INTO state VALUES ('catalog', lower(hex(randomblob(16))))",
    _table("episodes", EPISODES, "episode_id"),
    _table("annotations", ANNOTATIONS, "entry_id"),
    "CREATE TABLE tombstones (tbl TEXT, row INTEGER, change INTEGER NOT NULL, PRIMARY KEY (tbl, row)) WITHOUT ROWID",
    "CREATE TABLE problems (path TEXT PRIMARY KEY, problem TEXT NOT NULL, bytes INTEGER, mtime_ns INTEGER)",
    "CREATE TABLE folders (path TEXT PRIMARY KEY, mtime_ns INTEGER NOT NULL)",
    _rollup(),
    "CREATE INDEX episodes_change ON episodes (change)",
    "CREATE INDEX episodes_path ON episodes (path)",
    "CREATE INDEX episodes_started ON episodes (started_at)",
    "CREATE INDEX episodes_outcome ON episodes (task, outcome, started_at)",
    "CREATE INDEX episodes_group ON episodes (task, policy_id, scene, start)",
    "CREATE INDEX annotations_change ON annotations (change)",
    "CREATE INDEX annotations_name ON annotations (kind, name)",
    "CREATE INDEX annotations_episode ON annotations (episode_id)",
    "CREATE INDEX tombstones_change ON tombstones (change)",
    f"CREATE TRIGGER counted_insert AFTER INSERT ON episodes BEGIN {_counted('', 'new')} END",
    f"CREATE TRIGGER counted_delete AFTER DELETE ON episodes BEGIN {_counted('-', 'old')} END",
    f"CREATE TRIGGER counted_update AFTER UPDATE ON episodes BEGIN {_counted('-', 'old')} {_counted('', 'new')} END",
)
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""What leads from each version to the next; the first from an empty file. Only ever appended to."""
VERSION = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a store; 0: it is empty."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def check_version(found: int, where: object) -> None:
    """Refuse a store that this version does not know.

    Raises:
        DataError: it was made by a newer version.
    """
    if found > VERSION:
        raise DataError(
            f"the catalog {where} has version {found}, made by a newer XRollout; this one knows up to {VERSION}",
            "Update XRollout, or make it anew from the bags with `xrollout index --anew`.",
        )


def migrate(connection: sqlite3.Connection, where: object) -> None:
    """Bring a store to this version, all of it or nothing.

    Raises:
        DataError: it was made by a newer version.
        sqlite3.Error: the disk refuses.
    """
    if version_of(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = version_of(connection)  # another process may have been quicker
        check_version(found, where)
        for steps in MIGRATIONS[found:]:
            for step in steps:
                connection.execute(step)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
