"""Which episodes wait for a person, and why: ambiguous ones, a random share of the others, some of them twice.

One question to the catalog; no bag is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from xrollout_ros.episodes.catalog.filters import Condition, Dialect, conjunction
from xrollout_ros.mining.review.criteria import Criteria
from xrollout_ros.mining.review.decisions import HUMAN, LAYER
from xrollout_ros.mining.success.label import AUTHOR, CLASSIFIER

if TYPE_CHECKING:
    import duckdb

_DIGITS = 8


class Why(str, Enum):
    """Why an episode waits; the first that holds is told first."""

    CLASSIFIER_UNSURE = "classifier unsure"
    OUTCOME_UNKNOWN = "outcome unknown"
    UNEXPLAINED = "unexplained"
    DISAGREEMENT = "rule and model disagree"
    SEVERAL_MODES = "several modes"
    LOW_CONFIDENCE = "low confidence"
    CHECK_OF_LABEL = "check of an auto-label"
    SECOND_LOOK = "second look"
    SAMPLED = "sampled"

    @property
    def ambiguous(self) -> bool:
        """Whether something about the episode itself asks for a look."""
        return self not in (Why.CHECK_OF_LABEL, Why.SECOND_LOOK, Why.SAMPLED)


class Waiting(NamedTuple):
    """An episode that somebody is to look at."""

    episode_id: str
    why: tuple[Why, ...]
    double: bool
    """Two reviewers are to see it."""
    task: str
    policy_id: str
    outcome: str
    """Empty: another reviewer or a success classifier has said it, and this one is to judge for himself."""
    failure_mode: str
    """The same holds: then it is that of the rules and models; of a label, which decides what they say, nothing."""
    confidence: float | None
    """Of the judgement that counts."""
    started_at: str


@dataclass(frozen=True)
class Checks:
    """Which auto-labels people check: a random share, drawn by id."""

    salt: str
    sample: float
    """Share of the labels."""
    widened: float
    """The same of those classifiers whose labels people agree with."""
    classifiers: tuple[str, ...] = ()
    """Ids of these."""


NO_CHECKS = Checks("", 0.0, 0.0)


def drawn(episode_id: str, share: float, salt: str) -> bool:
    """Whether an episode is in a random share: the same for the same id and salt, and in every larger share too."""
    digest = hashlib.md5(f"{salt}:{episode_id}".encode(), usedforsecurity=False).hexdigest()
    return digest[:_DIGITS] < _limit(share)


def _limit(share: float) -> str:
    """Hexadecimal digits below this are drawn; text sorts as the number does."""
    # For all of them: a digit larger than any.
    return "g" if share >= 1 else f"{int(share * 16**_DIGITS):0{_DIGITS}x}"


def to_check(episode_id: str, classifier: str, share: float, salt: str) -> bool:
    """Whether a label is in the random share that people check. Each classifier has a draw of its own: what nobody has
    checked of one may be checked of the next.
    """
    return drawn(episode_id, share, f"{salt}:{classifier}")


def _drawn_sql(salt: str, share: float, own: str = "") -> tuple[str, list[str]]:
    return f"left(md5(? || ':' || {own}episode_id), {_DIGITS}) < ?", [salt, _limit(share)]


def waiting(
    connection: duckdb.DuckDBPyConnection,
    author: str,
    criteria: Criteria,
    where: Sequence[Condition] = (),
    limit: int | None = None,
    checks: Checks = NO_CHECKS,
) -> list[Waiting]:
    """The queue of one reviewer: ambiguous episodes, then auto-labels to be checked, then the sample; newest first.

    What a reviewer has decided waits no more for anybody; of those that two are to see, what two have decided. An
    episode whose outcome a success classifier has said waits only where it was drawn to be checked: why it may be
    ambiguous would tell what the label is.

    Args:
        connection: to the catalog, with annotations.
        author: ``human:<name>``.
        criteria: what is ambiguous, and what is sampled.
        where: only episodes for which all hold.
        limit: not more than so many.
        checks: how many auto-labels are checked.
    """
    text, values = _queue_sql(author, criteria, where, checks)
    if limit is not None:
        text, values = f"{text} LIMIT ?", [*values, limit]
    rows = connection.execute(text, values).fetchall()
    return [_waiting(row) for row in rows]


def _waiting(row: tuple[object, ...]) -> Waiting:
    flags, rest = row[: len(Why)], row[len(Why) :]
    return Waiting(rest[0], tuple(why for why, flag in zip(Why, flags, strict=True) if flag), bool(rest[1]), *rest[2:])  # type: ignore[arg-type]


def _queue_sql(author: str, criteria: Criteria, where: Sequence[Condition], checks: Checks) -> tuple[str, list[object]]:
    sampled, sampled_values = _drawn_sql(criteria.salt, criteria.sample)
    by = "c.classifier || ':' || "
    narrow, narrow_values = _drawn_sql(checks.salt, checks.widened, by)
    wide, wide_values = _drawn_sql(checks.salt, checks.sample, by)
    trusted = ", ".join("?" * len(checks.classifiers)) or "NULL"
    double, double_values = _drawn_sql(f"{criteria.salt}:double", criteria.double)
    test = conjunction(where, Dialect.DUCKDB)
    kinds = "kind != 'clip'" if any(each.name == "kind" for each in where) else "kind NOT IN ('clip', 'demonstration')"
    beside = ", ".join("?" * len(criteria.beside)) or "NULL"
    text = f"""
        WITH {_MACHINE}, {_REVIEWED}, {_LABELLED},
        several AS (
            SELECT DISTINCT episode_id FROM machine JOIN foremost USING (episode_id)
            WHERE mode != first_mode AND mode NOT IN ({beside}) AND first_mode NOT IN ({beside})
                AND first_confidence < ? AND confidence >= first_confidence - ?),
        candidates AS (
            SELECT e.*, coalesce(len(r.reviewers), 0) AS seen, coalesce(list_contains(r.reviewers, ?), FALSE) AS mine,
                {double} AS double, coalesce(c.labelled, FALSE) AND outcome_source = 'model' AS is_labelled,
                NOT is_labelled AND {sampled} AS in_sample,
                is_labelled AND seen = 0
                    AND CASE WHEN c.classifier IN ({trusted}) THEN {narrow} ELSE {wide} END AS is_checked,
                NOT is_labelled AND seen = 0 AS is_open,
                is_open AND c.episode_id IS NOT NULL AND outcome_source != 'human' AS is_unsure,
                is_open AND outcome = 'unknown' AS is_unknown,
                is_open AND outcome IN ('failure', 'abort') AND l.first_mode IS NULL AS is_unexplained,
                l.first_mode, l.first_confidence, NOT is_labelled AND coalesce(l.disagree, FALSE) AS is_disputed,
                NOT is_labelled AND s.episode_id IS NOT NULL AS has_several,
                NOT is_labelled AND coalesce(l.first_confidence < ?, FALSE) AS is_low
            FROM (SELECT * FROM episodes WHERE {kinds} AND {test.text}) e
            LEFT JOIN foremost l USING (episode_id) LEFT JOIN several s USING (episode_id)
            LEFT JOIN reviewed r USING (episode_id) LEFT JOIN classified c USING (episode_id)),
        sorted AS (
            SELECT *, is_unsure OR is_unknown OR is_unexplained OR is_disputed OR has_several OR is_low AS is_ambiguous
            FROM candidates WHERE NOT mine AND (seen = 0 OR (double AND seen = 1)))
        SELECT is_unsure, is_unknown, is_unexplained, is_disputed, has_several, is_low, is_checked, seen = 1,
            in_sample AND NOT is_ambiguous, episode_id, double, task, policy_id,
            CASE WHEN seen = 1 OR is_labelled THEN '' ELSE outcome END,
            CASE WHEN is_labelled THEN '' WHEN seen = 1 THEN coalesce(first_mode, '') ELSE failure_mode END,
            CASE WHEN is_labelled THEN NULL WHEN seen = 1 THEN first_confidence ELSE failure_confidence END, started_at
        FROM sorted WHERE is_ambiguous OR is_checked OR in_sample OR seen = 1
        ORDER BY is_ambiguous DESC, is_checked DESC, started_at DESC, episode_id DESC
    """
    values = [*criteria.beside, *criteria.beside, criteria.sure, criteria.margin, author, *double_values]
    values += [*sampled_values, *checks.classifiers, *narrow_values, *wide_values, criteria.low, *test.values]
    return text, values


_MACHINE = f"""
    said AS (
        SELECT episode_id, author AS judge, name AS mode, place,
            CAST(json_extract(value, '$.confidence') AS DOUBLE) AS confidence
        FROM annotations WHERE NOT retracted AND kind = 'failure' AND NOT starts_with(author, '{HUMAN}')),
    machine AS (
        SELECT episode_id, judge, arg_max(mode, place) AS mode, arg_max(confidence, place) AS confidence,
            min(place) AS begun
        FROM said GROUP BY episode_id, judge),
    foremost AS (
        SELECT episode_id, arg_min(mode, begun) AS first_mode, arg_min(confidence, begun) AS first_confidence,
            arg_min(mode, begun) FILTER (starts_with(judge, 'rule:')) AS rule_mode,
            list(mode) FILTER (starts_with(judge, 'model:')) AS models,
            len(list_filter(models, lambda each: each != rule_mode)) > 0 AS disagree
        FROM machine GROUP BY episode_id)"""
_REVIEWED = f"""
    reviewed AS (
        SELECT episode_id, list(DISTINCT author) AS reviewers FROM annotations
        WHERE NOT retracted AND layer = '{LAYER}' AND starts_with(author, '{HUMAN}') AND kind IN ('failure', 'outcome')
        GROUP BY episode_id)"""
_LABELLED = f"""
    classified AS (
        SELECT episode_id, bool_or(kind = 'outcome') AS labelled,
            arg_max(json_extract_string(value, '$'), place)
                FILTER (kind = 'property' AND name = '{CLASSIFIER}') AS classifier
        FROM annotations WHERE NOT retracted AND author = '{AUTHOR}' AND kind IN ('outcome', 'property')
        GROUP BY episode_id)"""
