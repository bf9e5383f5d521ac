"""Gives labels: to the journal, all in one go that can be taken back, as far as the 5/10-point rule lets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import Condition
from xrollout_ros.episodes.locking import alone
from xrollout_ros.mining.review.api import LOCK
from xrollout_ros.mining.review.queue import to_check
from xrollout_ros.mining.success.checks import SALT, standing_of
from xrollout_ros.mining.success.classifier import SuccessClassifier, load, place_of
from xrollout_ros.mining.success.examples import (
    MOST,
    OTHER_INTERFACE,
    Example,
    Progress,
    describe,
    episodes_of,
)
from xrollout_ros.mining.success.label import PROBABILITY, Label, label_in, statements, taking_back
from xrollout_ros.mining.success.rule import Rule, Standing
from xrollout_ros.mining.success.stops import Stop, StoppedError


@dataclass(frozen=True, eq=False)
class Labelled:
    """What was said, or would be."""

    task: str
    robot: str
    classifier: SuccessClassifier
    standing: Standing
    """Of the rule, before these."""
    labels: tuple[Label, ...] = ()
    """Those that are unsure among them."""
    already: int = 0
    """Episodes of which this classifier has said before what it says."""
    verified: int = 0
    """Episodes of which somebody has said how they ended, and who can know."""
    others: int = 0
    """Episodes that no label is wanted of all the same: stopped by a check or a fault, or of another program's word."""
    left: int = 0
    """Episodes that were not read because there are more than are read in one go."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Episodes that could not be read, and why."""
    batch: str = ""
    """Names what was said in one go; empty: nothing was."""

    def count(self, outcome: Outcome | None) -> int:
        """Labels of an outcome; None: unsure ones."""
        return sum(each.outcome is outcome for each in self.labels)

    @property
    def drawn(self) -> int:
        """Labels that are in the human sample."""
        share = self.standing.share
        sure = [each for each in self.labels if each.outcome is not None]
        return sum(to_check(each.episode_id, each.classifier, share, SALT) for each in sure)


def label(
    catalog: Catalog,
    where: Sequence[Condition] = (),
    *,
    file: Path | None = None,
    dry: bool = False,
    most: int = MOST,
    rule: Rule | None = None,
    progress: Progress | None = None,
) -> Labelled:
    """Label the episodes of one task and robot whose outcome nobody who can know has said.

    Labels of an earlier classifier that no person has checked are replaced. Where the classifier is unsure it says only
    its probability, and the episode waits for a person.

    Args:
        catalog: of the data folder, caught up.
        where: conditions on the episodes.
        file: of the classifier; None: the data folder's for this task and robot.
        dry: say nothing.
        most: read at most so many bags, the newest.
        rule: None: the usual one.
        progress: told how many bags of how many are read.

    Raises:
        StoppedError: there is no classifier, it is damaged or for something else, people disagree with it too often, or
            no bag can be read; nothing is said then.
        DataError: the journal cannot be written; nothing is said then.
    """
    found = episodes_of(catalog, where)
    classifier = load(file or place_of(catalog.data, found.task, found.robot))
    if found.task != classifier.meta.task:
        raise _other(Stop.OTHER_TASK, "task", classifier.meta.task, found.task)
    now = standing_of(catalog, classifier.id, rule)
    if not now.labels_go_on:
        raise StoppedError(Stop.RETRAIN, now.reason, now.next_step)
    wanted = found.wanted()
    fresh = [each for each in wanted if each.labelled_by != classifier.id]
    described = describe(catalog, fresh[:most], classifier.meta.interface_hash, progress)
    problems = dict(described.problems)
    labels: dict[str, Label] = {}
    for episode_id, row in described.rows.items():
        try:
            probability, outcome = classifier.predict(row)
        except DataError as error:
            problems[episode_id] = str(error)
            continue
        labels[episode_id] = Label(episode_id, outcome, probability, classifier.id)
    if fresh and not labels:
        raise _none_readable(classifier, found.robot, problems)
    verified = sum(each.source is not None or each.basis.verified for each in found.examples)
    result = Labelled(
        task=found.task,
        robot=found.robot,
        classifier=classifier,
        standing=now,
        labels=tuple(labels.values()),
        already=len(wanted) - len(fresh),
        verified=verified,
        others=len(found.examples) - verified - len(wanted),
        left=max(0, len(fresh) - most),
        unreadable=problems,
    )
    return result if dry or not labels else _said(catalog, where, result)


def _said(catalog: Catalog, where: Sequence[Condition], result: Labelled) -> Labelled:
    """Write the labels, without those of episodes that somebody has decided about meanwhile."""
    if catalog.read_only:
        raise DataError(f"the data folder {catalog.data} cannot be written", "Mend its rights; nothing was labelled.")
    catalog.check_type(PROBABILITY, 0.5, ())
    with alone(catalog.data, LOCK, "nothing was labelled"):
        catalog.follow_journal()
        still = {each.episode_id: each for each in episodes_of(catalog, where).wanted()}
        labels = tuple(each for each in result.labels if each.episode_id in still)
        confidence = result.classifier.meta.confidence
        said = [one for each in labels for one in statements(each, confidence, still[each.episode_id].entries)]
        entries = catalog.say(said)
    batch = (entries[0].batch or entries[0].id) if entries else ""
    return replace(result, labels=labels, batch=batch)


def _other(state: Stop, what: str, trained: str, asked: str) -> StoppedError:
    as_then = " as it sensed and acted then" if trained == asked else ""
    return StoppedError(
        state,
        f"the classifier was trained for {what} {trained!r}{as_then}, and the episodes are of {asked!r}",
        f"Train one for these: `xrollout label train --{what} {asked}`.",
    )


def _none_readable(classifier: SuccessClassifier, robot: str, problems: Mapping[str, str]) -> StoppedError:
    if robot != classifier.meta.robot or set(problems.values()) == {OTHER_INTERFACE}:
        return _other(Stop.OTHER_ROBOT, "robot", classifier.meta.robot, robot)
    why = next(iter(problems.values()))
    return StoppedError(
        Stop.UNREADABLE,
        f"none of {len(problems)} episodes can be labelled, the first because {why}",
        "Bring the bags back (`xrollout index` names what is there), or train anew: `xrollout label train`.",
    )


def take_back(catalog: Catalog, author: str, where: Sequence[Condition] = (), reason: str = "") -> int:
    """Take back what classifiers say of episodes of one task and robot, but for what people have checked.

    Returns:
        How many episodes that are.

    Raises:
        StoppedError: nothing fits.
        DataError: the journal cannot be written; nothing is taken back then.
    """
    with alone(catalog.data, LOCK, "nothing was taken back"):
        catalog.follow_journal()
        found: list[Example] = [
            each for each in episodes_of(catalog, where).wanted() if label_in(each.entries) is not None
        ]
        catalog.say([one for each in found for one in taking_back(each.entries, author, reason or "taken back")])
    return len(found)
