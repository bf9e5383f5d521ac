"""Repairs torn bags: what a killed recorder had flushed is written afresh, so that every strict reader takes it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Attachment, Channel, McapRecord, Message, Metadata, Schema
from pydantic import ValidationError

from xrollout_ros.core.clock import NS, Clock
from xrollout_ros.core.episode import EpisodeMeta, Outcome, OutcomeSource, TopicCount
from xrollout_ros.core.errors import BagError, XRolloutError
from xrollout_ros.core.files import sync
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import paths, rosbag2
from xrollout_ros.episodes.bag_reader import decode, verify
from xrollout_ros.episodes.bag_writer import QUEUE_BYTES, BagWriter
from xrollout_ros.episodes.store import torn_bags
from xrollout_ros.episodes.torn_file import TornFile

REASON = "the recorder was killed"
STATUS_TOPIC = "/xrollout/recorder/status"
_UNFINISHED = ".repair"
_DISK_WAIT_S = 60.0


@dataclass(frozen=True)
class Repaired:
    """A bag that was torn and is whole again."""

    path: Path
    """Its folder, where the torn one lay."""
    original: Path
    """Where the torn one is kept."""
    meta: EpisodeMeta
    messages: int
    unreadable_bytes: int
    """What of the torn file could not be read: the last message, cut off."""


@dataclass
class _Contents:
    """What the torn file says before, among and after its messages."""

    meta: EpisodeMeta | None = None
    robot: RobotSpec | None = None
    task: TaskSpec | None = None
    status: bytes | None = None
    """The recorder's last word on what was lost, as CDR."""
    status_schema: Schema | None = None
    start_ns: int = 2**63
    end_ns: int = -1

    def see(self, record: McapRecord, origin: Path) -> None:
        """Keep what is not a message."""
        if isinstance(record, Metadata) and record.name == rosbag2.EPISODE:
            self.meta = rosbag2.episode_of(record.metadata, origin)
        elif isinstance(record, Attachment) and record.name == rosbag2.ROBOT:
            self.robot = RobotSpec.model_validate_json(record.data)
        elif isinstance(record, Attachment) and record.name == rosbag2.TASK:
            self.task = TaskSpec.model_validate_json(record.data)


def repair(data: Path, folder: Path, clock: Clock) -> Repaired:
    """Write a torn bag afresh, as far as it can be read, in its own place.

    The new bag is written beside it under a hidden name, read whole, and only then put in its place; the torn original
    is kept in ``<data>/.torn``. Whenever this is interrupted, the next call goes on from there.

    Its outcome is the one that the recorder had been told, else an abort by the system.

    Args:
        data: the data folder, where ``.torn`` lies.
        folder: the torn bag.
        clock: stamps what is attached.

    Raises:
        BagError: it is not torn, is being written, says nothing about its episode, or the disk refuses. The torn bag
            is left as it is.
    """
    with _held(folder) as torn:
        _check_disk(torn)
        fresh = folder.with_name(f".{folder.name}{_UNFINISHED}")
        if fresh.exists():  # of a repair that was interrupted; who holds the torn bag is alone here
            shutil.rmtree(fresh)
        try:
            meta, messages, unreadable = _rewrite(torn, folder.name, fresh, clock)
            verify(fresh)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        original = _swap(data, folder, fresh)
    return Repaired(folder, original, meta, messages, unreadable)


def repair_all(data: Path, clock: Clock) -> Iterator[Repaired | BagError]:
    """Repair every torn bag under ``data``, one after the other; gives each one's result or what is in its way."""
    try:
        _finish_swaps(data)
    except BagError as error:
        yield error
    for folder in torn_bags(data):
        try:
            yield repair(data, folder, clock)
        except BagError as error:
            yield error


def has_work(data: Path) -> bool:
    """Whether :func:`repair_all` would find something to do."""
    return bool(torn_bags(data)) or any(_interrupted(data))


@contextmanager
def _held(folder: Path) -> Iterator[Path]:
    """The torn MCAP, locked as its writer had it locked."""
    files = sorted(folder.glob("*.mcap"))
    if (folder / rosbag2.METADATA_FILE).is_file() or len(files) != 1:
        raise BagError(f"{folder} is not a torn bag", "Only a folder with one .mcap and no metadata.yaml is.")
    with files[0].open("rb") as stream:
        # A file that is still empty may be a writer's that has not locked it yet.
        if os.fstat(stream.fileno()).st_size == 0:
            raise BagError(f"the bag {folder} is empty", "Nothing of it reached the disk; remove the folder.")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BagError(f"the bag {folder} is being written or repaired", "Wait until it is done.") from error
        if (folder / rosbag2.METADATA_FILE).is_file() or not files[0].exists():
            raise BagError(f"{folder} is not a torn bag any more", "Somebody has closed or repaired it.")
        yield files[0]


def _check_disk(torn: Path) -> None:
    needed, free = torn.stat().st_size, shutil.disk_usage(torn.parent).free
    if free < 2 * needed:
        raise BagError(
            f"repairing {torn} needs {2 * needed / 1e6:.0f} MB free on its disk, there are {free / 1e6:.0f}",
            "Free space there; the torn bag stays as it is.",
        )


def _survey(torn: Path) -> _Contents:
    """Read all that is not a message, and where the messages begin and end in time."""
    contents, file = _Contents(), TornFile(torn)
    try:
        for record in file.records():
            if isinstance(record, Message):
                contents.start_ns = min(contents.start_ns, record.log_time)
                contents.end_ns = max(contents.end_ns, record.log_time)
                channel = file.channels[record.channel_id]
                if channel.topic == STATUS_TOPIC:
                    contents.status, contents.status_schema = record.data, file.schemas[channel.schema_id]
            else:
                contents.see(record, torn)
    except ValidationError as error:
        raise BagError(
            f"the torn bag {torn} holds specs that this version does not know ({error.error_count()} fields)",
            "Repair it with the version of XRollout that wrote it.",
        ) from error
    return contents


def _rewrite(torn: Path, name: str, fresh: Path, clock: Clock) -> tuple[EpisodeMeta, int, int]:
    contents = _survey(torn)
    if contents.meta is None:
        raise BagError(
            f"the torn bag {torn} does not say which episode it is",
            "It was torn before anything reached the disk, or is a foreign one; remove the folder.",
        )
    meta = _told(contents)
    try:
        robot = contents.robot or load_robot(meta.robot)
        task = contents.task or (load_task(meta.task) if meta.task else None)
    except XRolloutError as error:
        raise BagError(f"the torn bag {torn} does not hold its specs: {error.what}", error.remedy) from error
    messages, file = 0, TornFile(torn)
    with BagWriter.open(fresh, name, meta, clock, robot, task, queue_bytes=QUEUE_BYTES) as writer:
        known: set[int] = set()
        for record in file.records():
            if isinstance(record, Message):
                channel = file.channels[record.channel_id]
                if channel.id not in known:
                    known.add(channel.id)
                    _add(writer, channel, file.schemas[channel.schema_id])
                room = writer.wait_for_room(len(record.data), _DISK_WAIT_S)
                if not room or not writer.write(channel.topic, record.data, record.log_time):
                    raise writer.failure or BagError(f"{fresh} cannot be written fast enough", "Check the disk.")
                messages += 1
        summary = writer.close(meta, timeout_s=_DISK_WAIT_S)
    return summary.meta, messages, file.unread_bytes


def _add(writer: BagWriter, channel: Channel, schema: Schema) -> None:
    metadata = channel.metadata
    writer.add_topic(
        channel.topic,
        schema.name,
        schema.data.decode(),
        metadata.get("topic_type_hash", ""),
        metadata.get("offered_qos_profiles", ""),
    )


def _told(contents: _Contents) -> EpisodeMeta:
    """What is known of the episode now: what its recorder was told last, and what the messages say."""
    meta = contents.meta
    assert meta is not None
    lasted_s = max(0, contents.end_ns - contents.start_ns) / NS if contents.end_ns >= 0 else 0.0
    # The new writer counts what it takes; what was lost before is known from the final words, or the last status.
    counted = {name: TopicCount(lost=count.lost) for name, count in meta.topics.items() if count.lost}
    update: dict[str, object] = {"recovered": True, "topics": counted or _lost(contents, meta.episode_id)}
    if meta.outcome_source is OutcomeSource.NONE:
        update |= {
            "outcome": Outcome.ABORT,
            "outcome_source": OutcomeSource.SYSTEM,
            "outcome_reason": REASON,
            "duration_s": lasted_s,
        }
    return meta.model_copy(update=update)


def _lost(contents: _Contents, episode_id: str) -> dict[str, TopicCount]:
    """Losses by topic, as the recorder's last status in the bag has them."""
    if contents.status is None or contents.status_schema is None:
        return {}
    status = decode(contents.status_schema, contents.status)
    if status.episode_id != episode_id:
        return {}
    return {name: TopicCount(lost=lost) for name, lost in zip(status.topics, status.lost, strict=True) if lost}


def _swap(data: Path, folder: Path, fresh: Path) -> Path:
    """Put the fresh bag in the torn one's place, and keep that."""
    kept = data / paths.TORN / folder.name
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        if kept.exists():
            raise FileExistsError(f"{kept} exists already")
        folder.rename(kept)
        fresh.rename(folder)
        for changed in (kept.parent, folder.parent):
            sync(changed)
    except OSError as error:
        raise BagError(f"the torn bag {folder} could not be moved to {kept} ({error})", "Mend that folder.") from error
    return kept


def _interrupted(data: Path) -> Iterator[tuple[Path, Path]]:
    """Whole repaired bags that were not yet put in their place, and that place."""
    for metadata in data.glob(f"*/.*{_UNFINISHED}/{rosbag2.METADATA_FILE}"):
        fresh = metadata.parent
        place = fresh.with_name(fresh.name.removeprefix(".").removesuffix(_UNFINISHED))
        if not place.exists():
            yield fresh, place


def _finish_swaps(data: Path) -> None:
    """A repair killed between its two renames has left a whole bag under its hidden name."""
    for fresh, place in list(_interrupted(data)):
        verify(fresh)
        fresh.rename(place)
        sync(place.parent)
