"""Review of one data folder's episodes: the queue, what is to be seen, decisions, undoing, agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xrollout_ros.core.episode import FailureJudgement, Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog import finding
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.columns import EPISODES, names
from xrollout_ros.episodes.catalog.filters import Condition, Dialect, conjunction
from xrollout_ros.episodes.catalog.live import Reading
from xrollout_ros.episodes.catalog.rows import Said as Stated
from xrollout_ros.episodes.catalog.rows import said_by
from xrollout_ros.episodes.journal_entry import Effective, JournalEntry, Reviewed, effective, retracted_ids
from xrollout_ros.episodes.locking import alone
from xrollout_ros.mining.review import queue
from xrollout_ros.mining.review.agreement import Agreement, agreements
from xrollout_ros.mining.review.criteria import Criteria
from xrollout_ros.mining.review.decisions import (
    HUMAN,
    LAYER,
    Decision,
    Word,
    author_of,
    check_words,
    decide,
    decisions_of,
    last_words,
    statements,
    undoing,
)
from xrollout_ros.mining.review.queue import Waiting, Why, drawn
from xrollout_ros.mining.success import checks
from xrollout_ros.mining.success.checks import ClassifierStanding
from xrollout_ros.mining.success.label import AUTHOR, Label, label_in

LOCK = ".review.lock"
# Every decision says how it ended; few others say so, and the index begins with the kind.
_LATEST = f"""
    SELECT episode_id FROM annotations
    WHERE kind = 'outcome' AND author = ? AND layer = '{LAYER}' AND NOT retracted ORDER BY place DESC LIMIT 1
"""


@dataclass(frozen=True)
class Case:
    """What a reviewer is shown of an episode."""

    row: dict[str, Any]
    """Of the catalog."""
    entries: tuple[JournalEntry, ...]
    """The journal's, in the order said."""
    holds: Effective
    """What holds, without what the reviewer is not to see yet."""
    judgements: tuple[FailureJudgement, ...]
    """Why it ended so, or what is worth knowing of its success; the most telling first."""
    hidden: int
    """Others who have decided and whose words are held back, so that two reviewers judge independently."""
    bag: Path
    label: Label | None = None
    """What a success classifier says of it, which is not to be shown while it is ``sealed``."""
    sealed: bool = False
    """Whether this reviewer has still to decide without knowing what a success classifier says."""

    @property
    def episode_id(self) -> str:
        """ULID."""
        return str(self.row["episode_id"])


@dataclass(frozen=True)
class Done:
    """A decision that is in the journal."""

    decision: Decision
    entries: tuple[JournalEntry, ...]
    others: dict[str, Word]
    """Last words of the others who have judged this episode."""
    label: Label | None = None
    """What a success classifier had said of it."""

    @property
    def name(self) -> str:
        """Id of what was said in one go."""
        return self.entries[0].batch or self.entries[0].id


@dataclass(frozen=True)
class Status:
    """How far the review is."""

    waiting: dict[Why, int]
    """Episodes that wait for this reviewer, by the first reason."""
    decided: dict[str, int]
    """Episodes that each reviewer has judged, by author."""
    episodes: int
    """That anybody has judged."""
    twice: int
    """That two have."""
    labels: tuple[ClassifierStanding, ...] = ()
    """Where the 5/10-point rule stands for each success classifier, whatever filter was given."""


class Reviews:
    """One reviewer at work on a data folder. Decisions go to the journal; several may work at the same time."""

    def __init__(self, catalog: Catalog, reviewer: str, criteria: Criteria | None = None) -> None:
        """
        Args:
            catalog: of the data folder, caught up.
            reviewer: name, e.g. ``ann``.
            criteria: what is ambiguous and what is sampled; None: the usual.

        Raises:
            DataError: the name is not allowed.
        """
        self.catalog, self.author = catalog, author_of(reviewer)
        self.criteria = criteria or Criteria()

    def queue(self, where: Sequence[Condition] = (), limit: int | None = None) -> list[Waiting]:
        """Episodes that wait for this reviewer, ambiguous ones first.

        Raises:
            DataError: the catalog cannot be read.
        """
        with self.catalog.connect() as connection:
            asked = checks.asked_of(connection)
            return queue.waiting(connection, self.author, self.criteria, where, limit, asked)

    def still_waits(self, episode_id: str) -> bool:
        """Whether nobody has decided meanwhile what was in the queue."""
        with self.catalog.reading() as reading:
            if not reading.rows("SELECT 1 FROM episodes WHERE episode_id = ?", (episode_id,)):
                return False
            words = _words(_entries(reading, episode_id))
        double = drawn(episode_id, self.criteria.double, f"{self.criteria.salt}:double")
        return self.author not in words and len(words) < (2 if double else 1)

    def case(self, id_or_part: str) -> Case:
        """What is known of an episode.

        Another reviewer's word on an episode that two are to see is held back until this reviewer has decided, and so
        is a success classifier's: the episode is shown as it was before.

        Raises:
            DataError: there is no such episode, or several.
        """
        episode_id = self.catalog.find(id_or_part)
        with self.catalog.reading() as reading:
            columns = names(EPISODES)
            (values,) = reading.rows(f"SELECT {', '.join(columns)} FROM episodes WHERE episode_id = ?", (episode_id,))
            entries = _entries(reading, episode_id)
        row = dict(zip(columns, values, strict=True))
        others = set(_words(entries)) - {self.author}
        blind = bool(others) and not decisions_of(self.author, entries)
        shown = [entry for entry in entries if not (blind and entry.in_layer == LAYER and entry.author in others)]
        label = label_in(entries)
        # What decides whether the classifier can be relied on must not hang on having seen its word.
        sealed = label is not None and not decisions_of(self.author, entries)
        if sealed:
            shown = _before_label(shown)
        said = said_by(row)
        return Case(
            row,
            tuple(entries),
            effective(said, shown),
            _judgements(said, shown),
            len(others) if blind else 0,
            self.catalog.data / row["path"],
            label,
            sealed,
        )

    def decide(
        self,
        id_or_part: str,
        *,
        mode: str | None = None,
        outcome: Outcome | None = None,
        moment_s: float | None = None,
        stage: str | None = None,
        reason: str = "",
    ) -> Done:
        """Say what this reviewer thinks of an episode; what is not said is confirmed as it is.

        Args:
            id_or_part: the episode's id, its beginning or its end.
            mode: why it failed, see :mod:`xrollout_ros.mining.taxonomy`; or a name of one's own.
            outcome: how it ended.
            moment_s: when it went wrong, s since the start.
            stage: of the task.
            reason: in one's own words.

        Raises:
            DataError: there is no such episode, the words contradict, or the journal cannot be written; nothing is
                said then.
        """
        with self._alone():
            case = self.case(id_or_part)
            made = decide(
                self.author,
                case.episode_id,
                float(case.row["duration_s"]),
                case.holds.outcome,
                case.judgements,
                mode=mode,
                outcome=outcome,
                moment_s=moment_s,
                stage=stage,
                reason=reason,
            )
            entries = self.catalog.say(statements(made, self.author, case.episode_id, case.entries))
        others = {author: word for author, word in _words(case.entries).items() if author != self.author}
        return Done(made, tuple(entries), others, case.label)

    def undo(self, id_or_part: str | None = None, reason: str = "") -> str:
        """Take back this reviewer's last decision, or the last one about an episode; what it replaced holds again.

        Returns:
            Id of the episode.

        Raises:
            DataError: there is none, or the journal cannot be written.
        """
        reason = check_words("reason", reason)
        with self._alone():
            with self.catalog.reading() as reading:
                episode_id = self._meant(reading, id_or_part)
                own = decisions_of(self.author, _entries(reading, episode_id))
            if not own:
                raise DataError(
                    f"{self.author} has decided nothing about {episode_id} that could be taken back",
                    "`xrollout review status` shows who has decided how much.",
                )
            self.catalog.say(undoing(own[-1], self.author, reason or "undone"))
        return episode_id

    def _meant(self, reading: Reading, id_or_part: str | None) -> str:
        """An episode; None: that of this reviewer's last decision."""
        if id_or_part is not None:
            return finding.episode_id(reading, id_or_part)
        found = reading.rows(_LATEST, (self.author,))
        if not found:
            raise DataError(
                f"{self.author} has decided nothing that could be taken back",
                "Decisions of others are theirs: name the reviewer with `--reviewer`.",
            )
        return str(found[0][0])

    def agreement(self, where: Sequence[Condition] = ()) -> list[Agreement]:
        """How well every two reviewers agree about the episodes that both have judged.

        Raises:
            DataError: the catalog cannot be read.
        """
        return agreements(self.words(where))

    def words(self, where: Sequence[Condition] = ()) -> dict[str, dict[str, Word]]:
        """Every reviewer's last word, by episode and author."""
        test = conjunction(where, Dialect.DUCKDB)
        text = f"""
            SELECT episode_id, author, kind, name FROM annotations
            WHERE NOT retracted AND layer = '{LAYER}' AND starts_with(author, '{HUMAN}')
                AND kind IN ('failure', 'outcome')
                AND episode_id IN (SELECT episode_id FROM episodes WHERE {test.text})
            ORDER BY place
        """
        found: dict[str, dict[str, Word]] = {}
        with self.catalog.connect() as connection:
            for episode_id, author, kind, name in connection.execute(text, test.values).fetchall():
                said = found.setdefault(episode_id, {})
                said[author] = Word.after(said.get(author), kind, name)
        return found

    def status(self, where: Sequence[Condition] = ()) -> Status:
        """How many wait, who has decided how much, and how far success classifiers are relied on."""
        words = self.words(where)
        return Status(
            dict(Counter(each.why[0] for each in self.queue(where))),
            dict(Counter(author for said in words.values() for author in said).most_common()),
            len(words),
            sum(len(said) > 1 for said in words.values()),
            tuple(checks.standings(self.catalog)),
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other reviewer decides meanwhile, and what they have said is known."""
        if self.catalog.read_only:
            raise DataError(
                f"the data folder {self.catalog.data} cannot be written", "Mend its rights; nothing was said."
            )
        with alone(self.catalog.data, LOCK, "nothing was said"):
            self.catalog.follow_journal()
            yield


def _entries(reading: Reading, episode_id: str) -> list[JournalEntry]:
    found = reading.rows("SELECT entry FROM annotations WHERE episode_id = ? ORDER BY place", (episode_id,))
    return [JournalEntry.model_validate_json(entry) for (entry,) in found]


def _words(entries: Sequence[JournalEntry]) -> dict[str, Word]:
    gone = retracted_ids(entries)
    return last_words(entry for entry in entries if entry.id not in gone)


def _before_label(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """What had been said when no success classifier had spoken yet: what rules say since may rest on its word."""
    first = next((number for number, entry in enumerate(entries) if entry.author == AUTHOR), len(entries))
    return list(entries[:first])


def _judgements(said: Stated, entries: Sequence[JournalEntry]) -> tuple[FailureJudgement, ...]:
    """What was said of why, whatever the outcome is: that of a success is worth knowing too."""
    open_end = replace(said, outcome=Outcome.UNKNOWN)
    return effective(open_end, [entry for entry in entries if not isinstance(entry.what, Reviewed)]).judgements
