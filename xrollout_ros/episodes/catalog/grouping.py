"""Groups of attempts: from what the live store has counted while it was written, or from DuckDB's view of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xrollout_ros.episodes.catalog import query
from xrollout_ros.episodes.catalog.live import Reading
from xrollout_ros.episodes.catalog.query import Group, Question

if TYPE_CHECKING:
    import duckdb


MANY = 20_000
"""More ids than these are scattered over the live store's file; DuckDB reads them all sooner."""


def counted(reading: Reading, question: Question) -> list[Group] | None:
    """The groups of a question for which ``question.counted`` holds; None: they name too many episodes."""
    width = len(question.by)
    groups = []
    rows = [row for row in reading.rows(*query.counted_sql(question)) if row[width] is not None]
    if question.ids and sum(row[width] for row in rows) > MANY:
        return None
    for row in rows:
        members: list[tuple[Any, ...]] = []
        if question.ids:
            members = reading.rows(*query.members_sql(question, row[:width]))
        ids = [name for name, _ in members], [name for name, success in members if not success]
        groups.append(_group(question, row[:width], row[width:], *ids))
    return groups


def analyzed(connection: duckdb.DuckDBPyConnection, question: Question) -> list[Group]:
    """The groups of any question."""
    width = len(question.by)
    rows = connection.execute(*query.analytic_sql(question)).fetchall()
    return [
        _group(question, row[:width], row[width : width + 4], *(row[width + 4 :] if question.ids else ()))
        for row in rows
    ]


def _group(
    question: Question,
    key: Sequence[Any],
    counts: Sequence[int],
    episodes: Sequence[str] = (),
    failed: Sequence[str] = (),
) -> Group:
    attempts, successes, helped, unknown = map(int, counts)
    common = dict(zip(question.labels, key, strict=True))
    return Group(common, attempts, successes, unknown, helped, question.confidence, tuple(episodes), tuple(failed))
