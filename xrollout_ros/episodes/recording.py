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
from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.bag_writer import QUEUE_BYTES, BagSummary, BagWriter
from xrollout_ros.episodes.camera_track import CameraTrack
from xrollout_ros.episodes.definitions import MessageDefinition
from xrollout_ros.episodes.image_cdr import IMAGE
from xrollout_ros.episodes.losses import LossCounter
from xrollout_ros.episodes.rosbag2 import Durability, Reliability, qos_yaml
from xrollout_ros.episodes.video import make_encoder

ENCODE_TIMEOUT_S = 5.0
_STAMP = struct.Struct("<iI")


@dataclass(frozen=True)
class EncodedCamera:
    """A camera whose images are encoded on their way into the bag."""

    camera: CameraSpec
    topic: str
    """Full name of what is kept."""
    definition: MessageDefinition


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
    encoded: EncodedCamera | None = None
    """None: it is recorded as it comes."""
    period_ns: int | None = None
    """Time between two header stamps, where the RobotSpec says so and the stamps tell losses."""
    latest: bytes | None = None
    lost: int = 0
    losses: LossCounter = field(init=False)

    def __post_init__(self) -> None:
        self.losses = LossCounter(self.one_writer, self.period_ns)

    @property
    def raw_images(self) -> bool:
        """Whether it puts images into the bag as they come."""
        return self.definition.type_name == IMAGE and self.encoded is None

    @property
    def kept_as(self) -> str:
        """The topic that has its messages in the bag."""
        return self.encoded.topic if self.encoded else self.name


@dataclass
class _Open:
    writer: BagWriter
    tracks: dict[str, CameraTrack]
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
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        """Get ready; nothing is written yet.

        Args:
            data: the data folder.
            robot: kept in every bag, as is ``task``.
            task: see ``robot``.
            clock: times the flushes and durations.
            stepped: whether receive times are simulated time.
            topics: what is recorded.
            queue_bytes: bound of what waits for the disk; what finds no room is dropped and counted.

        Raises:
            BagError: a camera's library is not installed.
        """
        for topic in topics:
            if topic.encoded is not None:
                make_encoder(topic.encoded.camera)
        self.data = data
        self.topics = {topic.name: topic for topic in topics}
        self.last_bag: Path | None = None
        self.problem = ""
        self._robot, self._task, self._clock, self._stepped = robot, task, clock, stepped
        self._queue_bytes = queue_bytes
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
        """Why the open bag cannot be written, or not as asked; empty: it can."""
        if self._open is None:
            return self.problem
        if self._open.writer.failure:
            return str(self._open.writer.failure)
        return next((track.problem for track in self._open.tracks.values() if track.problem), self.problem)

    def counts(self) -> dict[str, TopicCount]:
        """Taken into the open bag, and known to be missing from it."""
        if self._open is None:
            return {}
        lost = self._lost(self._open)
        return {
            name: TopicCount(received=count.received, lost=count.lost + lost.get(name, 0))
            for name, count in self._open.writer.counts().items()
        }

    def _lost(self, opened: _Open) -> dict[str, int]:
        """What is missing by topic, beside what the writer has dropped."""
        lost = {topic.kept_as: topic.lost for topic in self.topics.values() if topic.lost}
        for track in opened.tracks.values():
            if track.lost:
                lost[track.topic] = lost.get(track.topic, 0) + track.lost
        return lost

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
        missing = topic.losses.missing(sequence, _stamp(topic, cdr))
        if self._open is None:
            return
        topic.lost += missing
        log_time_ns = self._log_time(self._open, topic, cdr, received_ns)
        track = self._open.tracks.get(name)
        if track is not None:
            track.put(cdr, log_time_ns)
        else:
            self._open.writer.write(name, cdr, log_time_ns)

    def several_writers(self, name: str) -> None:
        """More than one writes to this topic: its sequence numbers tell nothing about the open bag."""
        self.topics[name].losses.several = True

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
        writer = BagWriter.open(
            directory,
            directory.name,
            meta,
            self._clock,
            self._robot,
            self._task,
            queue_bytes=self._queue_bytes,
            # Images of a real camera hardly shrink; not compressing them is what makes 300 MB/s possible.
            compress=self._stepped or not any(topic.raw_images for topic in self.topics.values()),
        )
        tracks = {}
        for topic in self.topics.values():
            self._add(writer, topic, topic.name, topic.definition)
            topic.lost = 0
            topic.losses.begin()
            if topic.encoded is not None:
                self._add(writer, topic, topic.kept_as, topic.encoded.definition)
                tracks[topic.name] = CameraTrack(topic.encoded.camera, topic.name, topic.kept_as, writer)
            elif topic.latest is not None:
                writer.write(topic.name, topic.latest, start_ns)
        self._open = _Open(writer, tracks, meta, start_ns, self._clock.steady_ns())
        return writer.path

    @staticmethod
    def _add(writer: BagWriter, topic: RecordedTopic, name: str, definition: MessageDefinition) -> None:
        qos = qos_yaml(
            Reliability.RELIABLE if topic.reliable else Reliability.BEST_EFFORT,
            Durability.TRANSIENT_LOCAL if topic.latched else Durability.VOLATILE,
            topic.depth,
        )
        writer.add_topic(name, definition.type_name, definition.text, definition.type_hash, qos)

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
        for track in opened.tracks.values():
            track.finish(ENCODE_TIMEOUT_S)
            self.problem = track.problem or self.problem
        lost = {name: TopicCount(lost=count) for name, count in self._lost(opened).items()}
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
        own_ns = _stamp(topic, cdr)
        if own_ns is None:
            return opened.clock_ns
        stamp_ns = max(opened.start_ns, own_ns)
        opened.clock_ns = max(opened.clock_ns, stamp_ns)
        return stamp_ns


def _stamp(topic: RecordedTopic, cdr: bytes) -> int | None:
    """The message's own stamp, ns; None: it has none."""
    if topic.stamp_offset is None or len(cdr) < topic.stamp_offset + _STAMP.size:
        return None
    second, nanosecond = _STAMP.unpack_from(cdr, topic.stamp_offset)
    return int(second) * NS + int(nanosecond)
