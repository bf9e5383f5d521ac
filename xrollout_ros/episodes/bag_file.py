"""The files of one bag: messages and what describes them on the disk, flushed and synced in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mcap.reader import make_reader

from xrollout_ros.core.clock import NS, Clock
from xrollout_ros.core.episode import EpisodeMeta, TopicCount
from xrollout_ros.core.errors import BagError
from xrollout_ros.core.files import sync
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.bag_topic import BagTopic
from xrollout_ros.episodes.mcap_file import McapFile, disk_error

FLUSH_PERIOD_NS = NS // 2
SYNC_PERIOD_NS = NS
MAX_TIME_NS = 2**63


@dataclass(frozen=True)
class BagSummary:
    """A closed bag."""

    path: Path
    """Its folder."""
    messages: int
    bytes: int
    """Payload of all messages."""
    file_bytes: int
    """Size of the MCAP."""
    start_ns: int
    """First receive time, ns since the epoch; 0 without messages."""
    end_ns: int
    """Last receive time, ns since the epoch; 0 without messages."""
    meta: EpisodeMeta
    """As written, with the counts of all topics."""
    topics: dict[str, TopicCount] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Messages known to be missing."""
        return sum(count.lost for count in self.topics.values())


class BagFile:
    """``directory/<name>_0.mcap`` and, when all is written, ``directory/metadata.yaml``. Used by one thread."""

    def __init__(
        self,
        directory: Path,
        name: str,
        meta: EpisodeMeta,
        clock: Clock,
        robot: RobotSpec,
        task: TaskSpec | None,
        *,
        compress: bool,
        at_once: bool = False,
    ) -> None:
        """Make the folder, and begin the file; see :class:`McapFile` for ``compress`` and ``at_once``.

        Raises:
            BagError: the folder exists or cannot be made.
        """
        self.directory, self.path = directory, directory / f"{name}_0.mcap"
        self.bytes = 0
        """Payload written so far."""
        self._clock = clock
        self._start_ns, self._end_ns = MAX_TIME_NS, -1
        self._unflushed, self._unsynced = False, True
        try:
            directory.mkdir(parents=True)
        except FileExistsError as error:
            remedy = "Bags are never overwritten; choose another folder."
            raise BagError(f"the bag {directory} exists already", remedy) from error
        except OSError as error:
            raise disk_error(directory, error) from error
        self._file = self._begin(meta, robot, task, compress, at_once)
        self._flushed_ns = self._synced_ns = clock.steady_ns()

    def _begin(
        self, meta: EpisodeMeta, robot: RobotSpec, task: TaskSpec | None, compress: bool, at_once: bool
    ) -> McapFile:
        file: McapFile | None = None
        try:
            file = McapFile(self.path, compress=compress, at_once=at_once)
            file.write_metadata(rosbag2.EPISODE, rosbag2.describe(meta))
            file.attach(rosbag2.ROBOT, robot.model_dump_json(), self._clock.wall_ns())
            if task is not None:
                file.attach(rosbag2.TASK, task.model_dump_json(), self._clock.wall_ns())
            sync(self.directory)
            sync(self.directory.parent)
        except (OSError, RuntimeError) as error:
            cause = None
            if file is not None:
                cause = file.error
                file.abandon()
            self.path.unlink(missing_ok=True)
            self.directory.rmdir()
            raise disk_error(self.path, cause or error) from error
        return file

    @property
    def error(self) -> OSError | None:
        """What the disk said first; none while all is well."""
        return self._file.error

    def write(self, topic: BagTopic, cdr: bytes, log_time_ns: int) -> None:
        """Write one message.

        Raises:
            OSError: the disk refuses.
        """
        topic.log(self._file, cdr, log_time_ns)
        self.bytes += len(cdr)
        self._start_ns = min(self._start_ns, log_time_ns)
        self._end_ns = max(self._end_ns, log_time_ns)
        self._unflushed = True

    def update(self, meta: EpisodeMeta) -> None:
        """Keep what is now known of the episode.

        Raises:
            OSError: the disk refuses.
        """
        self._file.write_metadata(rosbag2.EPISODE, rosbag2.describe(meta))
        self._unsynced = True

    def wait_s(self) -> float | None:
        """Time until :meth:`keep_safe` has something to do, s; None: it has not."""
        if not self._unflushed and not self._unsynced:
            return None
        due_ns = self._flushed_ns + FLUSH_PERIOD_NS if self._unflushed else self._synced_ns + SYNC_PERIOD_NS
        return max(0, due_ns - self._clock.steady_ns()) / NS

    def keep_safe(self) -> None:
        """Flush twice a second, sync once, where there is something to.

        Raises:
            OSError: the disk refuses.
        """
        now_ns = self._clock.steady_ns()
        if self._unflushed and now_ns - self._flushed_ns >= FLUSH_PERIOD_NS:
            self._file.flush()
            self._flushed_ns = now_ns
            self._unflushed, self._unsynced = False, True
        if self._unsynced and now_ns - self._synced_ns >= SYNC_PERIOD_NS:
            self._file.sync()
            self._synced_ns = now_ns
            self._unsynced = False

    def finish(self, meta: EpisodeMeta, topics: Sequence[BagTopic]) -> BagSummary:
        """Write the last words and ``metadata.yaml``.

        Args:
            meta: what is known of the episode, with the counts of all topics.
            topics: all topics of the bag.

        Raises:
            OSError: the disk refuses.
            BagError: the file does not hold what was written.
        """
        written = [topic for topic in topics if topic.written]
        start_ns, end_ns = (self._start_ns, self._end_ns) if written else (0, 0)
        records = [topic.record() for topic in written]
        information = rosbag2.bag_information(self.path.name, records, start_ns, end_ns, meta)
        self._file.write_metadata(rosbag2.EPISODE, rosbag2.describe(meta))
        # rosbag2 puts its metadata here too, and reads it from a file that has lost its folder.
        self._file.write_metadata(rosbag2.RECORD, {"serialized_metadata": rosbag2.to_yaml(information)})
        self._file.finish()
        self._verify({topic.name: topic.written for topic in written})
        rosbag2.write_metadata(self.directory, information)
        self._file.close()
        return BagSummary(
            path=self.directory,
            messages=sum(topic.written for topic in written),
            bytes=self.bytes,
            file_bytes=self.path.stat().st_size,
            start_ns=start_ns,
            end_ns=end_ns,
            meta=meta,
            topics=meta.topics,
        )

    def _verify(self, expected: dict[str, int]) -> None:
        """Read the file's own summary: the SDK only logs a message that it could not write."""
        with self.path.open("rb") as stream:
            summary = make_reader(stream).get_summary()
        found: dict[str, int] = {}
        if summary is not None and summary.statistics is not None:
            counts = summary.statistics.channel_message_counts
            found = {summary.channels[number].topic: count for number, count in counts.items()}
        if found != expected:
            raise BagError(
                f"the bag {self.directory} holds {found}, but {expected} was written", "Keep it and report this."
            )

    def abandon(self) -> None:
        """Close after a failure, without summary: nothing more reaches the disk."""
        self._file.abandon()
