"""Conditions on columns, tags and properties, from text to SQL with bound values."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.columns import ALIASES, BY_NAME, LARGEST, PUBLIC, Kind
from xrollout_ros.episodes.catalog.times import utc

_FORM = re.compile(r"\s*([A-Za-z_][\w.:/-]*?)\s*(!=|<=|>=|!~|==|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NONE = "none"
PROPERTY = "property."
TAG = "tag"
_HELP = (
    "Write NAME=VALUE with one of = != < <= > >= ~ (wildcards * and ?) !~, e.g. `outcome=failure,abort`, "
    "`duration_s>10`, `tag=evaluation`, `property.friction<0.3`, `policy~01M7*`, `seed=none`."
)


class Operator(str, Enum):
    """How a value is compared."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    LIKE = "~"
    UNLIKE = "!~"

    @property
    def orders(self) -> bool:
        """Whether it asks which is larger."""
        return self in (Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST)

    @property
    def negates(self) -> bool:
        """Whether what is not there fits too."""
        return self in (Operator.UNEQUAL, Operator.UNLIKE)


class Sql(NamedTuple):
    """An expression and the values that it binds, in order."""

    text: str
    values: list[Any]


class Dialect(Enum):
    """Where a condition is asked: tags and properties are kept differently."""

    SQLITE = "sqlite"
    DUCKDB = "duckdb"

    def tag(self, test: str) -> str:
        """Whether any tag ``t`` passes a test."""
        if self is Dialect.SQLITE:
            return f"EXISTS (SELECT 1 FROM (SELECT value AS t FROM json_each(tags)) WHERE {test})"
        return f"EXISTS (SELECT 1 FROM (SELECT unnest(tags) AS t) WHERE {test})"

    def text_of(self, path: str) -> Sql:
        """A property as text; NULL where there is none."""
        if self is Dialect.SQLITE:
            of = "CASE json_type(properties, ?) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE "
            return Sql(of + "CAST(json_extract(properties, ?) AS TEXT) END", [path, path])
        return Sql("json_extract_string(properties, ?)", [path])

    def number_of(self, path: str) -> Sql:
        """A property as a number; NULL where it is none."""
        if self is Dialect.SQLITE:
            of = "CASE WHEN json_type(properties, ?) IN ('integer', 'real') THEN json_extract(properties, ?) END"
            return Sql(of, [path, path])
        kinds = "('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DOUBLE')"
        of = (
            f"CASE WHEN json_type(properties, ?) IN {kinds} THEN TRY_CAST(json_extract_string(properties, ?) AS DOUBLE)"
        )
        return Sql(f"{of} END", [path, path])


@dataclass(frozen=True)
class Condition:
    """One test of an episode."""

    name: str
    """A column, :data:`TAG`, or :data:`PROPERTY` and a name."""
    operator: Operator
    values: tuple[Any, ...]
    """Any of them fits (none of them, for a negation); None: there is no value."""

    def sql(self, dialect: Dialect) -> Sql:
        """The test as SQL."""
        if self.name == TAG:
            text, values = _compare("t", self.operator, self.values, negate=False)
            found = dialect.tag(text)
            return Sql(f"NOT {found}" if self.operator.negates else found, values)
        if self.name.startswith(PROPERTY):
            return self._property(dialect)
        return Sql(*_compare(self.name, self.operator, self.values, negate=self.operator.negates))

    def _property(self, dialect: Dialect) -> Sql:
        path = property_path(self.name)
        numbers = [value for value in self.values if isinstance(value, float)]
        as_number, as_text = dialect.number_of(path), dialect.text_of(path)
        if self.operator.orders:
            return Sql(f"({as_number.text}) {self.operator.value} ?", [*as_number.values, *numbers])
        texts = tuple(value if value is None else _plain(value) for value in self.values)
        text, values = _compare("v", self.operator, texts, negate=False)
        # Values are bound in the order of the text: the outer SELECT's come before the inner one's.
        tests, bound = [f"(SELECT {text} FROM (SELECT {as_text.text} AS v))"], [*values, *as_text.values]
        if numbers and self.operator in (Operator.EQUAL, Operator.UNEQUAL):
            tests.append(f"({as_number.text}) IN ({', '.join('?' * len(numbers))})")
            bound += [*as_number.values, *numbers]
        test = f"coalesce({' OR '.join(tests)}, FALSE)"
        return Sql(f"NOT {test}" if self.operator.negates else test, bound)


def _compare(what: str, operator: Operator, values: Sequence[Any], *, negate: bool) -> tuple[str, list[Any]]:
    """A test for any of the values; its opposite where it is to be negated."""
    present = [value for value in values if value is not None]
    tests = [f"{what} IS NULL"] if len(present) < len(values) else []
    if operator.orders:
        tests += [f"{what} {operator.value} ?" for _ in present]
    elif operator in (Operator.LIKE, Operator.UNLIKE):
        tests += [f"{what} GLOB ?" for _ in present]
    elif present:
        tests.append(f"{what} IN ({', '.join('?' * len(present))})" if len(present) > 1 else f"{what} = ?")
    test = f"({' OR '.join(tests)})"
    return (f"NOT coalesce({test}, FALSE)" if negate else test), present


def property_path(name: str) -> str:
    """The JSON path of ``property.NAME``."""
    return f'$."{name.removeprefix(PROPERTY)}"'


def parse(text: str) -> Condition:
    """A condition from ``NAME OPERATOR VALUE``.

    Raises:
        DataError: it has no such form, names no column, or its value is not of the column's type.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise DataError(f"the filter {text!r} cannot be read", _HELP)
    name, sign, value = match.groups()
    name = resolve(name, f"the filter {text!r}")
    operator = Operator("=" if sign == "==" else sign)
    several = operator in (Operator.EQUAL, Operator.UNEQUAL, Operator.LIKE, Operator.UNLIKE)
    parts = [part.strip() for part in value.split(",")] if several else [value]
    return Condition(name, operator, tuple(_value(name, operator, part, text) for part in parts))


def equal(name: str, value: str) -> Condition:
    """The condition that a column, given by an option of its own, is one of a comma-separated list."""
    return parse(f"{name}={value}")


def resolve(name: str, where: str) -> str:
    """The full name of a column, tag or property.

    Raises:
        DataError: there is none of this name.
    """
    lower = name.lower()
    if lower in (TAG, "tags"):
        return TAG
    for prefix in (PROPERTY, "properties."):
        if lower.startswith(prefix) and len(name) > len(prefix):
            return PROPERTY + name[len(prefix) :]
    lower = ALIASES.get(lower, lower)
    if lower in PUBLIC and BY_NAME[lower].kind is not Kind.PROPERTIES:
        return lower
    near = difflib.get_close_matches(lower, [*PUBLIC, *ALIASES, TAG], n=3)
    hint = f" (did you mean {', '.join(near)}?)" if near else ""
    raise DataError(
        f"{where} names {name!r}, which is no column{hint}",
        f"There are {', '.join(column for column in PUBLIC if column != 'properties')}, tag, and property.NAME.",
    )


def _value(name: str, operator: Operator, text: str, whole: str) -> Any:
    """A value in the column's type."""
    if text.lower() == NONE and not operator.orders and name != TAG:
        # Columns of text are never NULL: without a value they are empty.
        return "" if not name.startswith(PROPERTY) and BY_NAME[name].kind is Kind.TEXT else None
    if name.startswith(PROPERTY):
        number = _number(text)
        if operator.orders and number is None:
            raise DataError(
                f"the filter {whole!r} orders by {text!r}, which is no number", "Properties that are text have = and ~."
            )
        return text if number is None or operator in (Operator.LIKE, Operator.UNLIKE) else number
    kind = Kind.TEXT if name == TAG else BY_NAME[name].kind
    if operator in (Operator.LIKE, Operator.UNLIKE) and kind is not Kind.TEXT:
        raise DataError(f"the filter {whole!r} uses wildcards, but {name} is a {kind.value}", _HELP)
    if name == TAG and operator.orders:
        raise DataError(f"the filter {whole!r} orders tags", "Tags have =, !=, ~ and !~.")
    if kind is Kind.TRUTH and not operator.orders and text.lower() in _TRUTHS:
        return _TRUTHS[text.lower()]
    if kind is Kind.WHOLE and (whole_number := _whole(text)) is not None:
        if abs(whole_number) > LARGEST:
            raise DataError(f"the filter {whole!r} compares {name} with {text}", f"The largest is {LARGEST}.")
        return whole_number
    if kind in (Kind.WHOLE, Kind.NUMBER) and (number := _number(text)) is not None:
        return number
    if name == "started_at" and operator.orders:
        try:
            return utc(text)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"the filter {whole!r} compares with {text!r}, which is no time",
                "Write ISO 8601, UTC if it does not say else, e.g. 2026-01-31 or 2026-01-31T08:30:00+01:00.",
            ) from error
    if kind is Kind.TEXT:
        return text
    raise DataError(f"the filter {whole!r} compares {name}, a {kind.value}, with {text!r}", _HELP)


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        number = _number(text)
    return int(number) if number is not None and number.is_integer() else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _plain(value: Any) -> str:
    """A number as JSON has it: 3, not 3.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def conjunction(conditions: Sequence[Condition], dialect: Dialect) -> Sql:
    """All of them; TRUE where there is none."""
    parts = [condition.sql(dialect) for condition in conditions]
    text = " AND ".join(f"({part.text})" for part in parts) or "TRUE"
    return Sql(text, [value for part in parts for value in part.values])
