"""Follows a data folder while a graph records into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xrollout_ros.core.episode import EpisodeMeta, Result
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.reader import COMMAND_TOPIC
from xrollout_ros.runtime.attempt_plan import Tally


@dataclass
class ClosedBags:
    """Attempts whose bags were closed since this was made.

    ``metadata.yaml`` is written last, so a bag that has one is whole. Highlights are no attempts.
    """

    data: Path
    before: tuple[Result, ...] = ()
    """Attempts that the same command has made in an earlier run."""
    metas: list[EpisodeMeta] = field(default_factory=list)
    """In the order found."""
    _seen: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._seen = set(self._folders())

    def _folders(self) -> list[Path]:
        """``<data>/<day>/<episode>`` folders with a closed bag."""
        return sorted(path.parent for path in self.data.glob(f"*/*/{rosbag2.METADATA_FILE}"))

    def look(self) -> list[EpisodeMeta]:
        """Bags closed since the last look; each file is read once.

        Raises:
            BagError: a bag's ``metadata.yaml`` is damaged.
        """
        fresh = []
        for folder in self._folders():
            if folder not in self._seen:
                self._seen.add(folder)
                meta = rosbag2.episode_of(rosbag2.custom_data(rosbag2.read_metadata(folder)), folder)
                if meta.kind.counts:
                    fresh.append(meta)
        self.metas += fresh
        return fresh

    @property
    def results(self) -> list[Result]:
        """Of all attempts, those of the earlier run included."""
        return [*self.before, *(meta.result() for meta in self.metas)]

    @property
    def tally(self) -> Tally:
        """What came of all attempts, those of the earlier run included."""
        return Tally.of(self.results)

    @property
    def commands(self) -> int:
        """Commands recorded in all of them."""
        return sum(meta.topics[COMMAND_TOPIC].received for meta in self.metas if COMMAND_TOPIC in meta.topics)
