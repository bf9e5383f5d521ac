"""What people say of the labels in the human sample, and where the 5/10-point rule stands for each classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xrollout_ros.core.episode import Outcome
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.mining.review.decisions import HUMAN, LAYER
from xrollout_ros.mining.review.queue import Checks, to_check
from xrollout_ros.mining.success.classifier import FOLDER, load
from xrollout_ros.mining.success.label import AUTHOR, CLASSIFIER, PROBABILITY
from xrollout_ros.mining.success.rule import Rule, RuleState, Standing, Tally, standing
from xrollout_ros.mining.success.stops import StoppedError

if TYPE_CHECKING:
    import duckdb

SALT = "auto-label"
"""Of the draw of the human sample; no option changes it, so what is checked is not for anybody to choose."""


class Checked(NamedTuple):
    """One label, and what a person said of the episode after it was given."""

    task: str
    robot: str
    classifier: str
    episode_id: str
    label: Outcome
    probability: float
    said: Outcome | None
    """None: nobody has decided."""


@dataclass(frozen=True)
class ClassifierStanding:
    """Where the rule stands for the labels of one classifier."""

    task: str
    robot: str
    classifier: str
    """Its id."""
    standing: Standing
    current: bool
    """Whether it is the one that labels now; an earlier one has labels in force all the same."""
    unverified: int
    """Labels that rest on its word alone."""
    problem: str = ""
    """Why the classifier in the data folder cannot be used; empty: it can, or this is an earlier one."""


def tally(labels: Iterable[Checked], rule: Rule | None = None) -> Tally:
    """Count what people say of the labels of one classifier.

    What was checked of labels that were not drawn counts for nothing: whoever chose them had a reason.

    Args:
        labels: in the order given.
        rule: how many are drawn, and how many of the newest count.
    """
    rule = rule or Rule()
    every = list(labels)
    inside = [each for each in every if to_check(each.episode_id, each.classifier, rule.sample, SALT)]
    decided = [each for each in inside if each.said not in (None, Outcome.UNKNOWN)]
    counting = decided[-rule.newest :]
    wrong = [each for each in counting if (each.said is Outcome.SUCCESS) is not (each.label is Outcome.SUCCESS)]
    false_successes = sum(each.label is Outcome.SUCCESS for each in wrong)
    doubt = sum(min(each.probability, 1 - each.probability) for each in counting)
    return Tally(
        labels=len(every),
        drawn=len(inside),
        agreed=len(counting) - len(wrong),
        false_successes=false_successes,
        false_failures=len(wrong) - false_successes,
        undecided=sum(each.said is Outcome.UNKNOWN for each in inside),
        older=len(decided) - len(counting),
        expected=doubt / len(counting) if counting else 0.0,
    )


def labels_of(connection: duckdb.DuckDBPyConnection) -> list[Checked]:
    """Every label in force, with people's last word on it, in the order given.

    Args:
        connection: to the catalog, with annotations.
    """
    rows = connection.execute(_LABELS, [AUTHOR, AUTHOR, HUMAN]).fetchall()
    return [
        Checked(task, robot, classifier, name, Outcome(label), float(p), None if said is None else Outcome(said))
        for task, robot, classifier, name, label, p, said in rows
    ]


_LABELS = f"""
    WITH label AS (
        SELECT episode_id, arg_max(name, place) AS outcome, max(place) AS given FROM annotations
        WHERE NOT retracted AND kind = 'outcome' AND author = ? GROUP BY episode_id),
    property AS (
        SELECT episode_id,
            arg_max(json_extract_string(value, '$'), place) FILTER (name = '{CLASSIFIER}') AS classifier,
            arg_max(TRY_CAST(value AS DOUBLE), place) FILTER (name = '{PROBABILITY}') AS probability
        FROM annotations WHERE NOT retracted AND kind = 'property' AND author = ? GROUP BY episode_id),
    person AS (
        SELECT episode_id, arg_max(name, place) AS said FROM annotations JOIN label USING (episode_id)
        WHERE NOT retracted AND kind = 'outcome' AND layer = '{LAYER}' AND starts_with(author, ?) AND place > given
        GROUP BY episode_id)
    SELECT e.task, e.robot, p.classifier, l.episode_id, l.outcome, p.probability, h.said
    FROM label l JOIN episodes e USING (episode_id) JOIN property p USING (episode_id)
    LEFT JOIN person h USING (episode_id)
    WHERE p.classifier IS NOT NULL AND p.probability IS NOT NULL
    ORDER BY l.given
"""


def standings(catalog: Catalog, rule: Rule | None = None) -> list[ClassifierStanding]:
    """Where the rule stands for each classifier that has labels in force, or could give some.

    Raises:
        DataError: the catalog cannot be read.
    """
    rule = rule or Rule()
    with catalog.connect() as connection:
        found = labels_of(connection)
    current, problems = _classifiers(catalog.data)
    groups: dict[tuple[str, str, str], list[Checked]] = {key: [] for key in current}
    for each in found:
        groups.setdefault((each.task, each.robot, each.classifier), []).append(each)
    made = [_of_one(key, labels, rule, current=key in current) for key, labels in sorted(groups.items())]
    return [*made, *problems]


def _of_one(key: tuple[str, str, str], labels: Sequence[Checked], rule: Rule, *, current: bool) -> ClassifierStanding:
    unverified = sum(each.said is None for each in labels)
    return ClassifierStanding(*key, standing(tally(labels, rule), rule), current, unverified)


def _classifiers(data: Path) -> tuple[set[tuple[str, str, str]], list[ClassifierStanding]]:
    """Those in the data folder, and what is wrong with the others."""
    current, problems = set(), []
    for path in sorted((data / FOLDER).glob("*.npz")):
        try:
            classifier = load(path)
        except StoppedError as error:
            robot, _, task = path.stem.partition(".")
            problems.append(ClassifierStanding(task, robot, "", standing(Tally()), False, 0, str(error)))
            continue
        current.add((classifier.meta.task, classifier.meta.robot, classifier.id))
    return current, problems


def standing_of(catalog: Catalog, classifier_id: str, rule: Rule | None = None) -> Standing:
    """Where the rule stands for one classifier's labels.

    Raises:
        DataError: the catalog cannot be read.
    """
    rule = rule or Rule()
    with catalog.connect() as connection:
        own = [each for each in labels_of(connection) if each.classifier == classifier_id]
    return standing(tally(own, rule), rule)


def asked_of(connection: duckdb.DuckDBPyConnection, rule: Rule | None = None) -> Checks:
    """Which labels people are asked to check, as the rule stands now.

    Args:
        connection: to the catalog, with annotations.
        rule: None: the usual one.
    """
    rule = rule or Rule()
    groups: dict[str, list[Checked]] = {}
    for each in labels_of(connection):
        groups.setdefault(each.classifier, []).append(each)
    agreed = [name for name, own in groups.items() if standing(tally(own, rule), rule).state is RuleState.WIDEN]
    return Checks(SALT, rule.sample, rule.widened, tuple(agreed))
