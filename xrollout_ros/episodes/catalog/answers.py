"""Answers as Arrow tables, and these as pandas data frames."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.columns import BY_NAME, PUBLIC, Kind, plain
from xrollout_ros.episodes.catalog.query import Group, Question

_TYPES = {
    Kind.WHOLE: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.TRUTH: pa.bool_(),
    Kind.TAGS: pa.list_(pa.string()),
}


def listed(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Episodes with all public columns from the live store's rows."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(PUBLIC)
    arrays = []
    for name, values in zip(PUBLIC, columns, strict=True):
        made = [plain(name, value) for value in values]
        arrays.append(pa.array(made, _TYPES.get(BY_NAME[name].kind, pa.string())))
    return pa.Table.from_arrays(arrays, names=list(PUBLIC))


def grouped(groups: Sequence[Group], question: Question) -> pa.Table:
    """Groups as a table: what they have in common, then attempts, successes, rate, interval and ids."""
    rows = [group_row(group) for group in groups]
    texts = [(label, pa.string()) for label in question.labels]
    numbers = [("attempts", pa.int64()), ("successes", pa.int64()), ("rate", pa.float64())]
    numbers += [("low", pa.float64()), ("high", pa.float64()), ("helped", pa.int64()), ("unknown", pa.int64())]
    ids = [("episodes", pa.list_(pa.string())), ("failed", pa.list_(pa.string()))] if question.ids else []
    for row in rows:
        row.update((label, _text(row[label])) for label in question.labels)
    return pa.Table.from_pylist(rows, schema=pa.schema([*texts, *numbers, *ids]))


def frame(answer: pa.Table) -> Any:
    """An answer as a pandas data frame.

    Raises:
        DataError: pandas is not installed.
    """
    try:
        importlib.import_module("pandas")
    except ImportError as error:
        raise DataError(
            "pandas is not installed, and XRollout does without it", "`pip install pandas`, or use the Arrow table."
        ) from error
    return answer.to_pandas()


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def group_row(group: Group) -> dict[str, Any]:
    """A group, flat."""
    low, high = group.interval
    return {
        **group.group,
        "attempts": group.attempts,
        "successes": group.successes,
        "rate": group.rate,
        "low": low,
        "high": high,
        "helped": group.helped,
        "unknown": group.unknown,
        "episodes": list(group.episodes),
        "failed": list(group.failed),
    }
