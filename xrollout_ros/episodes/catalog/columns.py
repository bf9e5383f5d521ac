"""The columns of the catalog's two tables, as SQLite, DuckDB and Arrow know them."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, NamedTuple

LARGEST = 2**63 - 1
"""Whole number that SQLite and DuckDB know."""
RATED_KINDS = ("attempt", "evaluation")
"""Kinds of episodes whose outcome counts in a rate, once somebody knows it."""


class Kind(str, Enum):
    """What a column holds."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    TRUTH = "true or false"
    TAGS = "tags"
    """A JSON list of text."""
    PROPERTIES = "properties"
    """A JSON object."""

    @property
    def sqlite(self) -> str:
        """Type in SQLite."""
        numbers = {Kind.WHOLE: "INTEGER", Kind.TRUTH: "INTEGER", Kind.NUMBER: "REAL"}
        return numbers.get(self, "TEXT")

    @property
    def duckdb(self) -> str:
        """Type in DuckDB."""
        numbers = {Kind.WHOLE: "BIGINT", Kind.TRUTH: "BOOLEAN", Kind.NUMBER: "DOUBLE"}
        return numbers.get(self, "VARCHAR")


class Column(NamedTuple):
    """One column."""

    name: str
    kind: Kind
    about: str
    """For people who ask questions; empty: it is the catalog's own."""


T, W, N, B = Kind.TEXT, Kind.WHOLE, Kind.NUMBER, Kind.TRUTH
EPISODES = (
    Column("row", W, ""),
    Column("change", W, ""),
    Column("episode_id", T, "ULID"),
    Column("kind", T, "attempt, demonstration, evaluation, clip"),
    Column("task", T, "TaskSpec id"),
    Column("robot", T, "RobotSpec id"),
    Column("site", T, "where"),
    Column("scene", T, "as the TaskSpec names it"),
    Column("start", T, "named start distribution"),
    Column("seed", W, "of the attempt"),
    Column("level", T, "L0 simulation to L4 production"),
    Column("strategy", T, "what was recorded"),
    Column("operator", T, "who helped or demonstrated"),
    Column("policy_id", T, "empty: no policy"),
    Column("checkpoint_hash", T, "SHA-256"),
    Column("dataset_version", T, "what the policy was trained from"),
    Column("software_version", T, "of XRollout"),
    Column("started_at", T, "ISO 8601, UTC"),
    Column("duration_s", N, "s"),
    Column("outcome", T, "success, failure, abort, unknown: as it holds now"),
    Column("outcome_source", T, "who said so"),
    Column("outcome_reason", T, "why"),
    Column("failure_mode", T, "the one that counts"),
    Column("failure_stage", T, "of the task"),
    Column("failure_moment_s", N, "s since the start"),
    Column("failure_severity", N, "0 to 1"),
    Column("failure_confidence", N, "0 to 1"),
    Column("failure_author", T, "who said why"),
    Column("interventions", W, "spans in which an operator drove"),
    Column("intervention_s", N, "s in all of them"),
    Column("safety_events", W, "that began"),
    Column("helped", B, "an operator drove in the place of the policy"),
    Column("attempt", B, "it counts in a success rate"),
    Column("success", B, "it counts there as a success"),
    Column("recovered", B, "the bag was torn and has been repaired"),
    Column("messages", W, "in the bag"),
    Column("lost", W, "messages known to be missing"),
    Column("bytes", W, "of the bag"),
    Column("path", T, "of the bag, below the data folder"),
    Column("tags", Kind.TAGS, "recorded or put on later"),
    Column("properties", Kind.PROPERTIES, "parameters as recorded, and what was set later"),
    # What the bag itself says, where the journal overrides it; else none.
    Column("bag_outcome", T, ""),
    Column("bag_outcome_source", T, ""),
    Column("bag_outcome_reason", T, ""),
    Column("bag_tags", Kind.TAGS, ""),
    Column("bag_properties", Kind.PROPERTIES, ""),
    Column("mtime_ns", W, ""),
)
ANNOTATIONS = (
    Column("row", W, ""),
    Column("change", W, ""),
    Column("entry_id", T, "of the journal"),
    Column("episode_id", T, "ULID"),
    Column("layer", T, "named"),
    Column("kind", T, "tag, property, failure, outcome, retraction"),
    Column("name", T, "tag, property, failure mode, outcome, or the entry taken back"),
    Column("value", T, "JSON; none: taken off"),
    Column("author", T, "who"),
    Column("reason", T, "why"),
    Column("time", T, "ISO 8601, UTC"),
    Column("retracted", B, "it was taken back"),
    Column("place", W, ""),
    Column("entry", T, ""),
)
OVERRIDDEN = ("outcome", "outcome_source", "outcome_reason", "tags", "properties")
"""Columns that the journal can override; ``bag_…`` is what the bag says."""
BY_NAME = {column.name: column for column in EPISODES}
PUBLIC = tuple(column.name for column in EPISODES if column.about)
"""Columns of an episode that people ask for."""
ALIASES = {"policy": "policy_id", "id": "episode_id", "failure": "failure_mode", "duration": "duration_s"}
"""Shorter names that filters and groups take."""


def plain(name: str, value: Any) -> Any:
    """A value of the live store as Python has it; properties stay JSON."""
    kind = BY_NAME[name].kind
    if kind is Kind.TAGS:
        return json.loads(value)
    return bool(value) if kind is Kind.TRUTH else value


def names(columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Their names, in order."""
    return tuple(column.name for column in columns)
