"""Episodes that wait for a reviewer, one after another; in the terminal and on the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.episodes.catalog.filters import Condition
from xrollout_ros.episodes.store import entry_of
from xrollout_ros.mining.review.api import Case, Reviews
from xrollout_ros.mining.review.queue import Waiting
from xrollout_ros.mining.taxonomy import IN_SUCCESSES


class Line:
    """What one reviewer has still to see.

    Args:
        where: of these episodes alone.
    """

    def __init__(self, where: Sequence[Condition] = ()) -> None:
        self._where = where
        self._queue: list[Waiting] = []
        self.passed: set[str] = set()
        """Episodes that were left undecided, and do not come again."""

    @property
    def left(self) -> int:
        """Episodes after the one that was given last."""
        return len(self._queue)

    def next(self, reviews: Reviews, wanted: str | None = None) -> Waiting | None:
        """The next episode that still waits; none: nothing does.

        Args:
            reviews: with its catalog.
            wanted: the one to go on with, whatever else waits.

        Raises:
            DataError: the catalog cannot be used.
        """
        reviews.catalog.follow_journal()
        if wanted is not None:
            self._queue = self._load(reviews)
            at = next((n for n, each in enumerate(self._queue) if each.episode_id == wanted), None)
            if at is not None:
                return self._queue.pop(at)
        for fresh in (False, True):
            if fresh:
                reviews.catalog.update()  # what others have decided or recorded meanwhile
                self._queue = self._load(reviews)
            while self._queue:
                first = self._queue.pop(0)
                if first.episode_id not in self.passed and reviews.still_waits(first.episode_id):
                    return first
        return None

    def _load(self, reviews: Reviews) -> list[Waiting]:
        return [each for each in reviews.queue(self._where) if each.episode_id not in self.passed]


def asks_why(key: str, case: Case) -> bool:
    """Whether a key asks for the mode: one that says so, or a failure that nobody has explained yet."""
    return key == "m" or (key == "f" and all(each.mode in IN_SUCCESSES for each in case.judgements))


def meta_of(bag: Path) -> EpisodeMeta | None:
    """What a bag says of itself; none: it cannot be read."""
    try:
        return entry_of(bag).meta
    except OSError:
        return None


def moment_of(case: Case) -> float | None:
    """Where to open it; None: at the moment that counts. What another reviewer has said of it stays hidden."""
    if not case.hidden:
        return None
    return case.judgements[0].moment_s if case.judgements else float(case.row["duration_s"])
