"""The messages of any MCAP bag as they were recorded, from any moment on: what viewers are served from."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mcap.reader import make_reader
from mcap.records import Schema
from mcap.summary import Summary

from xrollout_ros.core.errors import BagError, ForeignBagError
from xrollout_ros.episodes.bag_reader import Bag, decode, open_bag, reading
from xrollout_ros.episodes.image_cdr import COMPRESSED_VIDEO
from xrollout_ros.episodes.mcap_index import McapIndex
from xrollout_ros.episodes.rosbag2 import parse_qos, read_metadata
from xrollout_ros.episodes.video import is_keyframe

_QOS_KEY = "offered_qos_profiles"
# rosbag2 writes words since Jazzy, and the numbers of rmw before.
_TRANSIENT_LOCAL = ("transient_local", "1")
_BEST_EFFORT = ("best_effort", "2")
_PICTURES = 600
"""Of a video whose last keyframe is further back, no more are looked through."""


class RawTopic(NamedTuple):
    """A topic, and what is needed to understand or publish its messages."""

    name: str
    type_name: str
    message_encoding: str
    """``cdr``."""
    schema_encoding: str
    """``ros2msg`` or ``ros2idl``."""
    schema: bytes
    latched: bool
    """Its writer was transient local."""
    reliable: bool


class RawMessage(NamedTuple):
    """One message as it was recorded."""

    topic: RawTopic
    log_time_ns: int
    data: bytes


@dataclass(frozen=True)
class RawBag:
    """A closed bag, ours or a foreign one."""

    path: Path
    """As it was named."""
    files: tuple[Path, ...]
    """Its MCAP files, in order."""
    episode: Bag | None
    """What it says of itself; none: a foreign bag."""
    start_ns: int
    """First log time; 0 for a bag without messages."""
    end_ns: int
    topics: tuple[RawTopic, ...]
    """By name; those that have a message."""

    def messages(self, start_ns: int = 0, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Messages from ``start_ns`` on, in the order received.

        Raises:
            BagError: the bag is damaged.
        """
        names = None if topics is None else list(topics)
        parts = [self._of_file(file, start_ns, names) for file in self.files]
        return heapq.merge(*parts, key=lambda message: message.log_time_ns) if len(parts) > 1 else parts[0]

    def last_before(self, time_ns: int, topics: Collection[str] | None = None) -> list[RawMessage]:
        """The newest message of each topic that is older than ``time_ns``, the oldest of them first.

        Of a camera recorded as H.264 all pictures since the last that can be decoded by itself.

        Raises:
            BagError: the bag is damaged.
        """
        found = []
        for message in self._newest_of_each(time_ns, topics):
            found += self._from_keyframe(message) if message.topic.type_name == COMPRESSED_VIDEO else [message]
        return sorted(found, key=lambda message: message.log_time_ns)

    def _newest_of_each(self, time_ns: int, topics: Collection[str] | None) -> Collection[RawMessage]:
        newest: dict[RawTopic, RawMessage] = {}
        for file, index in zip(self.files, self._indexes, strict=True):
            for message in self._newest(file, index, time_ns, topics):
                known = newest.get(message.topic)
                if known is None or message.log_time_ns >= known.log_time_ns:
                    newest[message.topic] = message
        return newest.values()

    def _from_keyframe(self, newest: RawMessage) -> list[RawMessage]:
        pictures = [newest]
        while len(pictures) < _PICTURES and not _decodes_alone(pictures[-1]):
            before = self._newest_of_each(pictures[-1].log_time_ns, [newest.topic.name])
            if not before:
                break
            pictures += before
        return pictures

    @cached_property
    def _indexes(self) -> tuple[McapIndex, ...]:
        found = []
        for file in self.files:
            with reading(file):
                found.append(McapIndex(file))
        return tuple(found)

    @cached_property
    def _topics(self) -> dict[tuple[str, str], RawTopic]:
        return {(topic.name, topic.type_name): topic for topic in self.topics}

    def _newest(
        self, file: Path, index: McapIndex, time_ns: int, topics: Collection[str] | None
    ) -> Iterator[RawMessage]:
        if not index.complete:  # then it has to be read in order
            for message in self._of_file(file, 0, None if topics is None else list(topics)):
                if message.log_time_ns < time_ns:
                    yield message
            return
        with reading(file):
            for channel in index.channels:
                topic = self._topics.get((channel.topic, channel.type_name))
                if topic is not None and (topics is None or topic.name in topics):
                    found = index.newest(channel.id, time_ns)
                    if found is not None:
                        yield RawMessage(topic, found.log_time, found.data)

    def _of_file(self, file: Path, start_ns: int, topics: Sequence[str] | None) -> Iterator[RawMessage]:
        with reading(file), file.open("rb") as stream:
            for schema, channel, message in make_reader(stream).iter_messages(topics, starting_at=start_ns):
                topic = self._topics.get((channel.topic, schema.name if schema is not None else ""))
                if topic is not None:
                    yield RawMessage(topic, message.log_time, message.data)


def _decodes_alone(video: RawMessage) -> bool:
    topic = video.topic
    schema = Schema(id=1, name=topic.type_name, encoding=topic.schema_encoding, data=topic.schema)
    return is_keyframe(bytes(decode(schema, video.data).data))


def open_raw(path: Path) -> RawBag:
    """The bag in this folder, or of this MCAP; a foreign one too.

    Raises:
        BagError: nothing is there, or it is no bag of MCAP files, is torn, damaged, or holds no message.
    """
    try:
        episode = open_bag(path)
        files: tuple[Path, ...] = (episode.file,)
    except ForeignBagError:
        episode, files = None, _foreign_files(path)
    topics: dict[tuple[str, str], RawTopic] = {}
    spans = []
    for file in files:
        with reading(file), file.open("rb") as stream:
            summary = make_reader(stream).get_summary()
        if summary is None or summary.statistics is None:
            raise BagError(f"{file} has no summary", "Write it afresh: `mcap recover`.")
        topics.update(_topics(summary))
        if summary.statistics.message_count:
            spans.append((summary.statistics.message_start_time, summary.statistics.message_end_time))
    if not spans:
        raise BagError(f"the bag {path} holds no message", "There is nothing to be seen in it.")
    start_ns, end_ns = min(start for start, _ in spans), max(end for _, end in spans)
    ordered = tuple(topics[key] for key in sorted(topics))
    return RawBag(path, files, episode, start_ns, end_ns, ordered)


def _foreign_files(path: Path) -> tuple[Path, ...]:
    if path.is_file():
        return (path,)
    files = tuple(sorted(path.glob("*.mcap")))
    compressed = str(read_metadata(path).get("compression_mode") or "none").lower() != "none"
    if not files or compressed:
        what = "its messages are compressed by rosbag2" if files else "there is no MCAP file in it"
        raise BagError(
            f"the bag {path} cannot be played: {what}",
            "Convert it first: `ros2 bag convert`, with the storage `mcap` and no compression mode.",
        )
    return files


def _topics(summary: Summary) -> dict[tuple[str, str], RawTopic]:
    counts = summary.statistics.channel_message_counts if summary.statistics is not None else {}
    found = {}
    for channel in summary.channels.values():
        schema = summary.schemas.get(channel.schema_id)
        if schema is None or not counts.get(channel.id):
            continue
        profiles = parse_qos(channel.metadata.get(_QOS_KEY, ""))
        found[channel.topic, schema.name] = RawTopic(
            channel.topic,
            schema.name,
            channel.message_encoding,
            schema.encoding,
            schema.data,
            any(str(profile.get("durability")) in _TRANSIENT_LOCAL for profile in profiles),
            not any(str(profile.get("reliability")) in _BEST_EFFORT for profile in profiles),
        )
    return found
