"""Records attempts: which topics, on which clock, with what count of losses. Fed with raw messages; knows no ROS."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xrollout_ros.core.clock import NS, Clock, seconds
from xrollout_ros.core.episode import EpisodeMeta, Outcome, OutcomeSource, TopicCount
from xrollout_ros.core.errors import BagError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.bag_writer import BagSummary, BagWriter
from xrollout_ros.episodes.definitions import MessageDefinition
from xrollout_ros.episodes.rosbag2 import Durability, Reliability, qos_yaml

_STAMP = struct.Struct("<iI")


@dataclass
class RecordedTopic:
    """One topic to record."""

    name: str
    definition: MessageDefinition
    reliable: bool
    latched: bool
    depth: int
    one_writer: bool
    """Only then do sequence numbers tell what was lost."""
    stamp_offset: int | None = None
    """Where the CDR holds a stamp of the drive's clock; None: it holds none."""
    latest: bytes | None = None
    sequence: int = 0
    lost: int = 0


@dataclass
class _Open:
    writer: BagWriter
    meta: EpisodeMeta
    start_ns: int
    begun_steady_ns: int
    clock_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.clock_ns = self.start_ns


class Recording:
    """The recorder's logic. All calls come from one thread and none waits for the disk but :meth:`close`.

    Receive times are the middleware's in real time. In the stepped drive they are simulated time, so that a viewer
    plays the attempt at its own speed: a message's own stamp where it carries one, else the newest stamp seen.
    """

    def __init__(
        self,
        data: Path,
        robot: RobotSpec,
        task: TaskSpec,
        clock: Clock,
        *,
        stepped: bool,
        topics: Sequence[RecordedTopic],
    ) -> None:
        self.data = data
        self.topics = {topic.name: topic for topic in topics}
        self.last_bag: Path | None = None
        self.problem = ""
        self._robot, self._task, self._clock, self._stepped = robot, task, clock, stepped
        self._open: _Open | None = None

    @property
    def episode_id(self) -> str:
        """The attempt being recorded; empty: none."""
        return self._open.meta.episode_id if self._open else ""

    @property
    def bag(self) -> Path | None:
        """The open bag, or the last one closed."""
        return self._open.writer.path if self._open else self.last_bag

    @property
    def payload_bytes(self) -> int:
        """Written to the open bag."""
        return self._open.writer.payload_bytes if self._open else 0

    @property
    def failure(self) -> str:
        """Why the open bag cannot be written; empty: it can."""
        return str(self._open.writer.failure) if self._open and self._open.writer.failure else self.problem

    def counts(self) -> dict[str, TopicCount]:
        """Taken into the open bag, and known to be missing from it."""
        if self._open is None:
            return {}
        counts = self._open.writer.counts()
        return {
            name: TopicCount(received=count.received, lost=count.lost + self.topics[name].lost)
            for name, count in counts.items()
        }

    def disk_free(self) -> int:
        """Bytes left on the disk of the bags."""
        place = self.data
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free

    def receive(self, name: str, cdr: bytes, sequence: int | None, received_ns: int) -> None:
        """A message has come.

        Args:
            name: its topic.
            cdr: its bytes, as they came from the wire.
            sequence: the writer's number of it, None: not known.
            received_ns: when the middleware took it, ns since the epoch.
        """
        topic = self.topics[name]
        if topic.latched:
            topic.latest = cdr
        gap = 0
        if sequence is not None and topic.one_writer:
            # A number that is not larger than the last is a restarted writer's.
            gap = sequence - topic.sequence - 1 if sequence > topic.sequence > 0 else 0
            topic.sequence = sequence
        if self._open is None:
            return
        topic.lost += gap
        self._open.writer.write(name, cdr, self._log_time(self._open, topic, cdr, received_ns))

    def open(self, meta: EpisodeMeta, start_ns: int) -> Path:
        """Begin the bag of an attempt and write the latched samples into it.

        Raises:
            BagError: another attempt is still open, or the disk refuses.
        """
        if self._open is not None:
            raise BagError(
                f"the bag of attempt {self._open.meta.episode_id} is still open",
                "Close it before the next attempt begins.",
            )
        self.problem = ""
        directory = paths.episode_dir(self.data, meta)
        writer = BagWriter.open(directory, directory.name, meta, self._clock, self._robot, self._task)
        for topic in self.topics.values():
            definition = topic.definition
            qos = qos_yaml(
                Reliability.RELIABLE if topic.reliable else Reliability.BEST_EFFORT,
                Durability.TRANSIENT_LOCAL if topic.latched else Durability.VOLATILE,
                topic.depth,
            )
            writer.add_topic(topic.name, definition.type_name, definition.text, definition.type_hash, qos)
            topic.lost = 0
            if topic.latest is not None:
                writer.write(topic.name, topic.latest, start_ns)
        self._open = _Open(writer, meta, start_ns, self._clock.steady_ns())
        return writer.path

    def close(self, meta: EpisodeMeta, *, discard: bool = False) -> BagSummary:
        """Close the bag with what is now known of the attempt.

        Raises:
            BagError: no attempt is open, another one is, or the disk refuses.
        """
        if self._open is None or self._open.meta.episode_id != meta.episode_id:
            raise BagError(
                f"no bag of attempt {meta.episode_id} is open",
                f"Open is {self.episode_id or 'none'}; nothing was closed.",
            )
        opened, self._open = self._open, None
        self.last_bag = opened.writer.path
        lost = {topic.name: TopicCount(lost=topic.lost) for topic in self.topics.values() if topic.lost}
        try:
            summary = opened.writer.close(meta.model_copy(update={"topics": lost}))
        except BagError as error:
            self.problem = str(error)
            raise
        if discard:
            self.last_bag = paths.discard(self.data, summary.path)
        return summary

    def abandon(self, reason: str) -> BagSummary | None:
        """Close the open attempt, if any, as aborted: nobody else is there to say how it ended."""
        if self._open is None:
            return None
        opened = self._open
        if self._stepped:
            duration_s = seconds(opened.clock_ns - opened.start_ns)
        else:
            duration_s = seconds(self._clock.steady_ns() - opened.begun_steady_ns)
        return self.close(
            opened.meta.model_copy(
                update={
                    "outcome": Outcome.ABORT,
                    "outcome_source": OutcomeSource.SYSTEM,
                    "outcome_reason": reason,
                    "duration_s": duration_s,
                }
            )
        )

    def _log_time(self, opened: _Open, topic: RecordedTopic, cdr: bytes, received_ns: int) -> int:
        if not self._stepped:
            return received_ns
        if topic.stamp_offset is None or len(cdr) < topic.stamp_offset + _STAMP.size:
            return opened.clock_ns
        second, nanosecond = _STAMP.unpack_from(cdr, topic.stamp_offset)
        stamp_ns = max(opened.start_ns, second * NS + nanosecond)
        opened.clock_ns = max(opened.clock_ns, stamp_ns)
        return int(stamp_ns)
