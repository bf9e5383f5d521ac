"""The one bag writer: a rosbag2 folder with one MCAP per episode, written from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import EpisodeMeta, TopicCount
from xrollout_ros.core.errors import BagError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.bag_file import MAX_TIME_NS, BagFile, BagSummary
from xrollout_ros.episodes.bag_topic import BagTopic, new_topic
from xrollout_ros.episodes.byte_queue import ByteQueue
from xrollout_ros.episodes.mcap_file import disk_error

QUEUE_BYTES = 64 * 1024 * 1024
CLOSE_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class _Message:
    topic: BagTopic
    cdr: bytes
    log_time_ns: int


@dataclass(frozen=True)
class _Close:
    meta: EpisodeMeta


_Item = _Message | EpisodeMeta | _Close


class BagWriter:
    """Writes one bag. :meth:`write` may be called from any thread and never touches the disk.

    Messages wait in a queue bounded in bytes for the writer's thread, which flushes twice a second and syncs each
    second: a killed process loses at most a second. What finds no room is dropped and counted by topic. When the disk
    refuses, ``failure`` is set, ``on_failure`` is called once (from the writer's thread), messages count as lost from
    then on, and :meth:`close` raises. ``metadata.yaml`` is written last: a folder without it holds a torn bag.
    """

    def __init__(
        self, file: BagFile, meta: EpisodeMeta, queue_bytes: int, on_failure: Callable[[BagError], None] | None
    ) -> None:
        """Use :meth:`open`."""
        self.path = file.directory
        self._file = file
        self._meta = meta
        self._on_failure = on_failure
        self._queue: ByteQueue[_Item] = ByteQueue(queue_bytes)
        self._lock = threading.Lock()
        self._topics: dict[str, BagTopic] = {}
        self._closing = False
        self._failure: BagError | None = None
        self._summary: BagSummary | None = None
        self._thread = threading.Thread(target=self._run, name=f"bag {self.path.name}", daemon=True)

    @classmethod
    def open(
        cls,
        directory: Path,
        name: str,
        meta: EpisodeMeta,
        clock: Clock,
        robot: RobotSpec,
        task: TaskSpec | None = None,
        *,
        queue_bytes: int = QUEUE_BYTES,
        compress: bool = True,
        on_failure: Callable[[BagError], None] | None = None,
    ) -> BagWriter:
        """Begin the bag ``directory/metadata.yaml`` + ``directory/<name>_0.mcap``.

        Args:
            directory: the episode's own folder; it must not exist yet.
            name: stem of the MCAP's name.
            meta: what is known of the episode at its start.
            clock: the steady clock times the flushes, the wall clock stamps the attachments.
            robot: kept in the bag, as is ``task``, so that it explains itself.
            task: none for a recording without a task.
            queue_bytes: bound of what waits for the disk.
            compress: whether chunks are compressed.
            on_failure: told once when the disk refuses.

        Raises:
            BagError: the folder exists or cannot be made.
        """
        file = BagFile(directory, name, meta, clock, robot, task, compress=compress)
        writer = cls(file, meta, queue_bytes, on_failure)
        writer._thread.start()
        return writer

    def __enter__(self) -> BagWriter:  # noqa: PYI034 (Python 3.10 has no typing.Self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close with the last meta, also after an exception: what was recorded is kept."""
        if not self._closing:
            self.close(self._meta)

    @property
    def failure(self) -> BagError | None:
        """Why the bag cannot be written any more; none while all is well."""
        return self._failure

    @property
    def payload_bytes(self) -> int:
        """Payload written so far."""
        return self._file.bytes

    def counts(self) -> dict[str, TopicCount]:
        """Messages by topic: taken into the bag, and dropped here."""
        with self._lock:
            failed = self._failure is not None
            return {topic.name: topic.count(failed) for topic in self._topics.values()}

    def add_topic(self, topic: str, type_name: str, definition: str, type_hash: str, qos_yaml: str) -> None:
        """Say what a topic carries, before its first message. The same again changes nothing.

        Args:
            topic: its full name.
            type_name: ``pkg/msg/Type``.
            definition: full concatenated ``ros2msg`` definition, see :mod:`xrollout_ros.episodes.definitions`.
            type_hash: ``RIHS01_…``.
            qos_yaml: the offered profiles as rosbag2 writes them, see :func:`rosbag2.qos_yaml`.

        Raises:
            BagError: the definition or hash is missing, or the topic is known with another type.
        """
        record = new_topic(topic, type_name, definition, type_hash, qos_yaml)
        with self._lock:
            known = self._topics.setdefault(topic, record)
        known.same_as(record)

    def write(self, topic: str, cdr: bytes, log_time_ns: int) -> bool:
        """Hand over one message; at once.

        Args:
            topic: one that was added.
            cdr: the message as it came from the wire.
            log_time_ns: when it was received, ns since the epoch.

        Returns:
            False when it was dropped and counted: no room, or the disk has failed.

        Raises:
            BagError: the topic is unknown, the time impossible, or the bag closed.
        """
        if not 0 <= log_time_ns < MAX_TIME_NS:
            raise BagError(f"a message on {topic} has the receive time {log_time_ns} ns", "Allowed is 0 to 2^63 - 1.")
        with self._lock:
            known = self._topics.get(topic)
            if known is None:
                raise BagError(f"a message on {topic}, whose definition is not in the bag", "Call add_topic first.")
            if self._closing:
                raise BagError(f"the bag {self.path} is closed", "Open a new one for the next episode.")
            if self._queue.put(_Message(known, cdr, log_time_ns), len(cdr)):
                known.accepted += 1
                return True
            known.dropped += 1
            return False

    def wait_for_room(self, size: int, timeout_s: float) -> bool:
        """Wait until a message of ``size`` bytes would not be dropped; only for a caller who writes alone.

        Returns:
            False when there was no room in time, or the disk has failed.
        """
        return self._queue.wait_for_room(size, timeout_s)

    def update(self, meta: EpisodeMeta) -> None:
        """Keep what is now known of the episode, so that a torn bag says it too."""
        self._meta = meta
        self._queue.put_control(meta)

    def close(self, meta: EpisodeMeta, timeout_s: float = CLOSE_TIMEOUT_S) -> BagSummary:
        """Write what waits, the final meta and ``metadata.yaml``; wait for it.

        Args:
            meta: the final one. ``lost`` in its topics counts what was lost before it came here; counts of the writer
                are added.
            timeout_s: how long to wait for the disk.

        Raises:
            BagError: the bag could not be finished; the folder is left as it is, without ``metadata.yaml``.
        """
        with self._lock:
            first, self._closing = not self._closing, True
        if first:
            self._queue.put_control(_Close(meta))
            self._queue.close()
        self._thread.join(timeout_s)
        return self._result(timeout_s)

    def _result(self, waited_s: float) -> BagSummary:
        if self._failure is not None:
            raise self._failure
        if self._summary is None:
            raise BagError(
                f"the bag {self.path} was not finished within {waited_s:g} s",
                "The disk is too slow or hangs; the bag has no metadata.yaml until it is done.",
            )
        return self._summary

    def _run(self) -> None:
        try:
            while self._summary is None:
                for item in self._queue.take(self._file.wait_s()):
                    self._handle(item)
                    self._keep_safe()
                self._keep_safe()
        except BaseException as error:  # also a panic of the SDK's core, which is no Exception
            self._fail(error)

    def _keep_safe(self) -> None:
        if self._summary is None:
            self._file.keep_safe()

    def _handle(self, item: _Item) -> None:
        if isinstance(item, _Message):
            self._file.write(item.topic, item.cdr, item.log_time_ns)
            self._queue.release(len(item.cdr))
        elif isinstance(item, EpisodeMeta):
            self._file.update(item)
        else:
            self._finish(item.meta)

    def _finish(self, meta: EpisodeMeta) -> None:
        topics = dict(meta.topics)
        for name, count in self.counts().items():
            before = topics.get(name, TopicCount()).lost
            topics[name] = TopicCount(received=count.received, lost=count.lost + before)
        self._summary = self._file.finish(meta.model_copy(update={"topics": topics}), list(self._topics.values()))

    def _fail(self, error: BaseException) -> None:
        failure = error if isinstance(error, BagError) else disk_error(self._file.path, self._file.error or error)
        with self._lock:
            self._failure = failure
        self._file.abandon()
        self._queue.close()
        if self._on_failure is not None:
            self._on_failure(failure)
