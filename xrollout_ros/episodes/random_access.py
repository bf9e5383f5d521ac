"""Single messages of a topic by number: only the chunks that are asked for are read, and the last few are kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.bag_reader import Bag, decode, reading
from xrollout_ros.episodes.chunks import PAYLOAD, ChunkFile, ChunkMessages, Ints

CACHE_BYTES = 64 * 1024 * 1024


class LazyMessages:
    """The messages of one topic, in the order received.

    Opening reads the index alone, which no CRC covers. When a chunk is read its CRC is checked, and all that the index
    said of it. For one thread; a copy can be sent to another process.

    Raises:
        BagError: the bag is damaged, or has no such topic.
    """

    def __init__(self, bag: Bag, topic: str, cache_bytes: int = CACHE_BYTES) -> None:
        """
        Args:
            bag: from :func:`xrollout_ros.episodes.bag_reader.open_bag`.
            topic: its full name.
            cache_bytes: bound of the chunks kept; one is always kept.
        """
        self.bag, self.topic = bag, topic
        self._cache_bytes = cache_bytes
        self._file = ChunkFile(bag.file, bag.summary)
        self._channels = [number for number, channel in self._file.channels.items() if channel.topic == topic]
        if not self._channels:
            known = ", ".join(sorted(channel.topic for channel in self._file.channels.values())) or "none"
            raise BagError(f"the bag {bag.path} has no messages on {topic}", f"Its topics are: {known}.")
        self._kept: OrderedDict[int, ChunkMessages] = OrderedDict()
        self._chunks = self._file.with_topics([topic])
        with reading(bag.file):
            found = [self._find(chunk) for chunk in range(len(self._chunks))]
        chunk, place, times = (
            np.concatenate([np.empty(0, dtype=np.int64), *(each[column] for each in found)]) for column in range(3)
        )
        counted = sum(self._file.counts.get(number, 0) for number in self._channels)
        if len(times) != counted:
            raise BagError(
                f"the bag {bag.file} is damaged: its indexes list {len(times)} messages on {topic}, not {counted}",
                "Restore it from a copy.",
            )
        order = np.lexsort((place, chunk, times))
        self._chunk: Ints = chunk[order]
        self._place: Ints = place[order]
        self.log_time_ns: Ints = times[order]
        """(N,) when each was received, ns since the epoch."""

    def _find(self, chunk: int) -> tuple[Ints, Ints, Ints]:
        """Of the topic's messages in a chunk: its number, where their records begin, when they were received."""
        entries = self._file.entries(self._chunks[chunk], self._channels)
        if entries is None:
            messages = self._load(chunk)
            rows = np.isin(messages.channel, self._channels)
            entries = messages.log_time_ns[rows], messages.start[rows] - PAYLOAD
        times, places = entries
        index = self._chunks[chunk]
        if len(times) and not index.message_start_time <= times.min() <= times.max() <= index.message_end_time:
            raise ValueError(f"the indexes of the chunk at byte {index.chunk_start_offset} contradict each other")
        return np.full(len(times), chunk), places, times

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyMessages, (self.bag, self.topic, self._cache_bytes)

    @property
    def type_name(self) -> str:
        """``pkg/msg/Type``.

        Raises:
            BagError: the bag does not say.
        """
        return str(self._schema(self._channels[0]).name)

    def __len__(self) -> int:
        """How many messages there are."""
        return len(self.log_time_ns)

    def __getitem__(self, number: int) -> Any:
        """One message, decoded; fields by attribute.

        Raises:
            IndexError: there is none of this number.
            BagError: it is damaged.
        """
        if not -len(self) <= number < len(self):
            raise IndexError(f"message {number} of {len(self)} on {self.topic}")
        with reading(self.bag.file):
            messages = self._checked(int(self._chunk[number]))
        start = int(self._place[number]) + PAYLOAD
        row = int(np.searchsorted(messages.start, start))
        channel = int(messages.channel[row])
        return decode(self._schema(channel), messages.data[start : start + int(messages.length[row])])

    def _schema(self, channel: int) -> Any:
        schema = self._file.schemas.get(self._file.channels[channel].schema_id)
        if schema is None:
            raise BagError(f"the bag {self.bag.file} has no definition for {self.topic}", "It cannot be decoded.")
        return schema

    def _checked(self, chunk: int) -> ChunkMessages:
        """A chunk that holds of the topic what the index says, and nothing else."""
        if chunk in self._kept:
            return self._load(chunk)
        messages = self._load(chunk)
        rows = np.flatnonzero(np.isin(messages.channel, self._channels))
        said = np.flatnonzero(self._chunk == chunk)
        said = said[np.argsort(self._place[said])]
        if not (
            np.array_equal(messages.start[rows] - PAYLOAD, self._place[said])
            and np.array_equal(messages.log_time_ns[rows], self.log_time_ns[said])
        ):
            del self._kept[chunk]
            raise ValueError(f"the index does not fit the messages on {self.topic}")
        return messages

    def _load(self, chunk: int) -> ChunkMessages:
        kept = self._kept.pop(chunk, None)
        self._kept[chunk] = kept if kept is not None else self._file.load(self._chunks[chunk])
        while len(self._kept) > 1 and sum(len(each.data) for each in self._kept.values()) > self._cache_bytes:
            self._kept.popitem(last=False)
        return self._kept[chunk]
