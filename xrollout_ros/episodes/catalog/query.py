"""Questions about groups of attempts and about single episodes, as data and as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.wilson import wilson
from xrollout_ros.episodes.catalog.columns import ALIASES, PUBLIC, RATED_KINDS
from xrollout_ros.episodes.catalog.filters import (
    PROPERTY,
    TAG,
    Condition,
    Dialect,
    Sql,
    conjunction,
    property_path,
    resolve,
)
from xrollout_ros.episodes.catalog.schema import COUNTS, ROLLUP
from xrollout_ros.episodes.layers import ALL_LAYERS, Layers

DEFAULT_BY = ("task", "policy", "scene", "start")
"""A named start distribution is a scene of its own."""
DAY = "day"
_SHORT = {full: short for short, full in ALIASES.items() if short in ("policy", "failure")}


@dataclass(frozen=True)
class Question:
    """Which attempts, grouped by what, and which of the groups."""

    where: tuple[Condition, ...] = ()
    by: tuple[str, ...] = DEFAULT_BY
    min_attempts: int = 1
    max_attempts: int | None = None
    rate_lt: float | None = None
    rate_gt: float | None = None
    layers: Layers = ALL_LAYERS
    confidence: float = 0.95
    ids: bool = True
    """Whether the groups are to name their episodes."""

    def __post_init__(self) -> None:
        for name, rate in (("less", self.rate_lt), ("more", self.rate_gt)):
            if rate is not None and not 0 <= rate <= 1:
                raise DataError(f"a success rate of {name} than {rate:g}", "Rates are from 0 to 1, e.g. 0.5 for half.")
        if not 0 < self.confidence < 1:
            raise DataError(f"confidence {self.confidence:g} of an interval", "Allowed is between 0 and 1, e.g. 0.95.")
        if len(set(self.columns)) < len(self.columns):
            raise DataError(f"groups by {', '.join(self.by)}", "Name each column once.")

    @property
    def columns(self) -> tuple[str, ...]:
        """Full names of what it groups by."""
        return tuple(group_column(name) for name in self.by)

    @property
    def labels(self) -> tuple[str, ...]:
        """Short names of what it groups by."""
        return tuple(_SHORT.get(name, name) for name in self.columns)

    @property
    def counted(self) -> bool:
        """Whether the live store has counted it while it was written."""
        names = (*self.columns, *(condition.name for condition in self.where))
        return self.layers.all and all(name in ROLLUP for name in names)


def group_column(name: str) -> str:
    """The full name of something to group by.

    Raises:
        DataError: there is no such column.
    """
    return DAY if name == DAY else resolve(name, "--by")


@dataclass(frozen=True)
class Group:
    """Attempts that have something in common."""

    group: dict[str, Any]
    """What they have in common, by short name."""
    attempts: int
    successes: int
    unknown: int
    """Episodes whose outcome nobody knows; they count in nothing."""
    helped: int
    """Attempts in which an operator drove in the policy's place; no successes."""
    confidence: float
    episodes: tuple[str, ...] = field(default=(), repr=False)
    """Ids of the attempts, oldest first."""
    failed: tuple[str, ...] = field(default=(), repr=False)
    """Ids of those that were no success."""

    @property
    def rate(self) -> float | None:
        """Successes among attempts; None without any."""
        return self.successes / self.attempts if self.attempts else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's."""
        return wilson(self.successes, self.attempts, self.confidence)


def group_key(name: str, dialect: Dialect) -> Sql:
    """A thing to group by, as SQL."""
    if name == DAY:
        return Sql("substr(started_at, 1, 10)", [])
    if name == TAG:
        return Sql("tag_of_group", [])
    return dialect.text_of(property_path(name)) if name.startswith(PROPERTY) else Sql(name, [])


def having(question: Question) -> Sql:
    """Which of the groups are wanted."""
    tests, values = ["attempts >= ?"], [question.min_attempts]
    if question.max_attempts is not None:
        tests.append("attempts <= ?")
        values.append(question.max_attempts)
    for sign, rate in (("<", question.rate_lt), (">", question.rate_gt)):
        if rate is not None:
            tests.append(f"attempts > 0 AND CAST(successes AS DOUBLE) / attempts {sign} ?")
            values.append(rate)  # type: ignore[arg-type]
    return Sql(" AND ".join(tests), values)


def counted_sql(question: Question) -> Sql:
    """The groups from what the live store has counted."""
    where, wanted = conjunction(question.where, Dialect.SQLITE), having(question)
    keys = ", ".join(question.columns)
    sums = ", ".join(f"sum({count}) AS {count}" for count in COUNTS[1:])
    inner = f"SELECT {f'{keys}, ' if keys else ''}{sums} FROM rollup WHERE episodes > 0 AND {where.text}"
    inner += f" GROUP BY {keys}" if keys else ""
    return Sql(f"SELECT * FROM ({inner}) WHERE {wanted.text}", [*where.values, *wanted.values])


def members_sql(question: Question, group: Sequence[Any]) -> Sql:
    """Ids of one group's attempts, and whether each was a success, from the live store."""
    where = conjunction(question.where, Dialect.SQLITE)
    keys = "".join(f" AND {name} = ?" for name in question.columns)
    return Sql(
        f"SELECT episode_id, success FROM episodes WHERE attempt AND {where.text}{keys} "
        "ORDER BY started_at, episode_id",
        [*where.values, *group],
    )


def analytic_sql(question: Question) -> Sql:
    """The groups from DuckDB's view of all episodes."""
    where, wanted = conjunction(question.where, Dialect.DUCKDB), having(question)
    keys = [group_key(name, Dialect.DUCKDB) for name in question.columns]
    named = "".join(f"{key.text} AS k{number}, " for number, key in enumerate(keys))
    grouped = ", ".join(f"k{number}" for number in range(len(keys)))
    source = "(SELECT *, unnest(tags) AS tag_of_group FROM episodes)" if TAG in question.columns else "episodes"
    ids = ""
    if question.ids:
        order = "ORDER BY started_at, episode_id"
        ids = (
            f", coalesce(list(episode_id {order}) FILTER (attempt), []) AS ids"
            f", coalesce(list(episode_id {order}) FILTER (attempt AND NOT success), []) AS failed"
        )
    counts = (
        "count(*) FILTER (attempt) AS attempts, count(*) FILTER (attempt AND success) AS successes, "
        "count(*) FILTER (attempt AND helped) AS helped, "
        f"count(*) FILTER (outcome = 'unknown' AND kind IN {RATED_KINDS}) AS unknown"
    )
    inner = f"SELECT {named}{counts}{ids} FROM {source} WHERE {where.text}"
    inner += f" GROUP BY {grouped}" if grouped else ""
    values = [*(value for key in keys for value in key.values), *where.values, *wanted.values]
    return Sql(f"SELECT * FROM ({inner}) WHERE {wanted.text}", values)


def listing_sql(where: Sequence[Condition], dialect: Dialect, limit: int | None, *, oldest: bool = False) -> Sql:
    """Single episodes, the newest first unless the oldest are wanted."""
    test, direction = conjunction(where, dialect), "ASC" if oldest else "DESC"
    text = f"SELECT {', '.join(PUBLIC)} FROM episodes WHERE {test.text} ORDER BY started_at {direction}, episode_id"
    text += f" {direction}"
    return Sql(text, test.values) if limit is None else Sql(f"{text} LIMIT ?", [*test.values, limit])
