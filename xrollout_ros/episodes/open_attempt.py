"""The attempt that is being recorded: its bag, what is kept of it, and what it has lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xrollout_ros.core.episode import EpisodeMeta, Outcome, OutcomeSource, TopicCount
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.camera_tracks import CameraTracks
from xrollout_ros.episodes.corrections import Corrections
from xrollout_ros.episodes.recorded_topic import RecordedTopic


@dataclass
class OpenAttempt:
    """One attempt, from the bag's opening to its close."""

    writer: BagWriter
    corrections: Corrections | None
    """None: all of it is kept."""
    meta: EpisodeMeta
    """As it was opened."""
    start_ns: int
    begun_steady_ns: int

    @property
    def failure(self) -> str:
        """What cannot be written; empty: nothing."""
        if self.writer.failure:
            return str(self.writer.failure)
        return self.corrections.problem if self.corrections is not None else ""

    def lost(self, topics: Mapping[str, RecordedTopic], cameras: CameraTracks) -> dict[str, int]:
        """What is missing by topic, beside what the writer has dropped."""
        lost = {topic.kept_as: topic.lost for topic in topics.values() if topic.lost}
        for found in (cameras.lost(), self.corrections.lost() if self.corrections else {}):
            for name, count in found.items():
                if count:
                    lost[name] = lost.get(name, 0) + count
        return lost

    def counts(self, topics: Mapping[str, RecordedTopic], cameras: CameraTracks) -> dict[str, TopicCount]:
        """Taken into the bag, and known to be missing from it."""
        lost = self.lost(topics, cameras)
        return {
            name: TopicCount(received=count.received, lost=count.lost + lost.get(name, 0))
            for name, count in self.writer.counts().items()
        }

    def abandoned(self, reason: str, duration_s: float) -> EpisodeMeta:
        """Its metadata where nobody is there to say how it ended."""
        return self.meta.model_copy(
            update={
                "outcome": Outcome.ABORT,
                "outcome_source": OutcomeSource.SYSTEM,
                "outcome_reason": reason,
                "duration_s": duration_s,
            }
        )
