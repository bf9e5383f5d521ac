"""Records attempts: which topics, on which clock, with what count of losses. Fed with raw messages; knows no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xrollout_ros.core.clock import Clock, seconds
from xrollout_ros.core.episode import EpisodeMeta, KeptSpan, Strategy, TopicCount
from xrollout_ros.core.errors import BagError, SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.bag_file import BagSummary
from xrollout_ros.episodes.bag_writer import QUEUE_BYTES, BagWriter
from xrollout_ros.episodes.camera_tracks import ENCODE_TIMEOUT_S, CameraTracks
from xrollout_ros.episodes.corrections import DISK_WAIT_S, Corrections
from xrollout_ros.episodes.highlights import Highlights
from xrollout_ros.episodes.open_attempt import OpenAttempt
from xrollout_ros.episodes.recorded_topic import RecordedTopic
from xrollout_ros.episodes.ring import Ring
from xrollout_ros.episodes.strategies import RecordingStrategy, make_strategy


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
        ring: Ring | None = None,
        strategy: RecordingStrategy | None = None,
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
            ring: holds what came last, for highlights and corrections; none: neither can be kept.
            strategy: says what of an attempt is kept; none: all of it.

        Raises:
            BagError: a camera's library is not installed.
            SpecError: the ring is too small for what the strategy keeps.
        """
        self.data = data
        self.topics = {topic.name: topic for topic in topics}
        self.last_bag: Path | None = None
        self.aborted: EpisodeMeta | None = None
        """The attempt that was abandoned last."""
        self.problem = ""
        self.ring = ring
        self._robot, self._task, self._clock, self._stepped = robot, task, clock, stepped
        self._queue_bytes = queue_bytes
        self._strategy = strategy or make_strategy(Strategy.EPISODIC.value)
        margin = self._strategy.corrections
        if margin is not None and (ring is None or ring.keep_s < margin.before_s):
            raise SpecError(
                f"{margin.before_s:g} s before a correction are kept, but the ring reaches back "
                f"{ring.keep_s if ring else 0:g} s",
                "Give a larger ring_seconds.",
            )
        self._closed_id = ""
        self._clock_ns = 0
        self._open: OpenAttempt | None = None
        self._cameras = CameraTracks(self.topics, ring)
        self.highlights: Highlights | None = None
        if ring is not None:
            self.highlights = Highlights(
                data, ring, clock, robot, task, topics, stepped=stepped, encoded=self._cameras.reached
            )

    def end(self) -> None:
        """Let go of the cameras' threads; nothing may be open. The next bag begins new ones."""
        self._cameras.end()

    @property
    def meta(self) -> EpisodeMeta | None:
        """The attempt being recorded, as it was opened."""
        return self._open.meta if self._open else None

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
        """What cannot be written, or not as asked: the open bag, else the last highlight; empty: nothing."""
        highlight = self.highlights.problem if self.highlights else ""
        if self._open is None:
            return self.problem or highlight
        return self._open.failure or self._cameras.problem or self.problem or highlight

    def counts(self) -> dict[str, TopicCount]:
        """Taken into the open bag, and known to be missing from it."""
        return self._open.counts(self.topics, self._cameras) if self._open is not None else {}

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
        stamp_ns = topic.stamp_ns(cdr)
        missing = topic.losses.missing(sequence, stamp_ns)
        if self._open is not None:
            topic.lost += missing
        log_time_ns = self._log_time(stamp_ns, received_ns)
        if self._cameras.put(name, cdr, log_time_ns):
            return
        if self.ring is not None:
            self.ring.add(name, cdr, log_time_ns, latched=topic.latched)
        if self._open is not None and self._open.corrections is None:
            self._open.writer.write(name, cdr, log_time_ns)

    def operator_drives(self, driving: bool, received_ns: int) -> None:
        """An operator has taken over, or gives the robot back; where only corrections are kept, this says which.

        Args:
            driving: whether the operator drives now; the same again changes nothing.
            received_ns: when that was received; not used in the stepped drive.
        """
        if self._open is not None and self._open.corrections is not None:
            self._open.corrections.drives(driving, self._clock_ns if self._stepped else received_ns)

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
        for topic in self.topics.values():
            topic.add_to(writer)
            topic.lost = 0
            topic.losses.begin()
            if topic.encoded is None and topic.latest is not None:
                writer.write(topic.name, topic.latest, start_ns)
        self._cameras.start()
        margin, corrections = self._strategy.corrections, None
        if margin is not None and self.ring is not None:
            corrections = Corrections(self.ring, writer, margin, start_ns)
        else:
            self._cameras.begin(writer)
        self._clock_ns = start_ns
        self._open = OpenAttempt(writer, corrections, meta, start_ns, self._clock.steady_ns())
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
        self.problem = self._cameras.finish() or self.problem
        kept = self._finish_corrections(opened) if opened.corrections else None
        lost = {name: TopicCount(lost=count) for name, count in opened.lost(self.topics, self._cameras).items()}
        try:
            summary = opened.writer.close(meta.model_copy(update={"topics": lost, "kept": kept}))
        except BagError as error:
            self.problem = str(error)
            raise
        finally:
            self._cameras.release()
        self._closed_id = meta.episode_id
        if discard:
            self.last_bag = paths.discard(self.data, summary.path)
        return summary

    def _finish_corrections(self, opened: OpenAttempt) -> list[KeptSpan]:
        assert opened.corrections is not None
        for event in self._cameras.reached():
            event.wait(ENCODE_TIMEOUT_S)
        end_ns = self._clock_ns if self._stepped else self._clock.wall_ns()
        kept = opened.corrections.finish(end_ns, DISK_WAIT_S)
        self.problem = opened.corrections.problem or self.problem
        return kept

    def discard_closed(self, episode_id: str) -> Path:
        """Move the bag that was closed last to the trash: its attempt is to be made again.

        Returns:
            Where it lies now.

        Raises:
            BagError: it is not the one closed last, or cannot be moved.
        """
        if not self._closed_id or self._closed_id != episode_id or self.last_bag is None:
            raise BagError(
                f"the bag of attempt {episode_id} is not the one closed last ({self._closed_id or 'none'})",
                "Only the last attempt can be taken back.",
            )
        self.last_bag, self._closed_id = paths.discard(self.data, self.last_bag), ""
        return self.last_bag

    def abandon(self, reason: str) -> BagSummary | None:
        """Close the open attempt, if any, as aborted: nobody else is there to say how it ended."""
        if self._open is None:
            return None
        opened = self._open
        if self._stepped:
            duration_s = seconds(self._clock_ns - opened.start_ns)
        else:
            duration_s = seconds(self._clock.steady_ns() - opened.begun_steady_ns)
        meta = opened.abandoned(reason, duration_s)
        summary = self.close(meta)
        self.aborted = meta
        return summary

    def _log_time(self, stamp_ns: int | None, received_ns: int) -> int:
        if not self._stepped:
            return received_ns
        if stamp_ns is None:
            return self._clock_ns or received_ns
        if self._open is not None:
            stamp_ns = max(self._open.start_ns, stamp_ns)
        self._clock_ns = max(self._clock_ns, stamp_ns)
        return stamp_ns
