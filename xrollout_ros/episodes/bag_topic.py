"""One topic of a bag being written: what it carries, and how many messages came, went and were lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xrollout_ros.core.episode import TopicCount
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.mcap_file import McapChannel, McapFile


@dataclass
class BagTopic:
    """``accepted`` and ``dropped`` belong to the callers' lock, the rest to the writer's thread."""

    name: str
    type_name: str
    definition: str
    type_hash: str
    qos_text: str
    qos: Sequence[Mapping[str, Any]]
    accepted: int = 0
    dropped: int = 0
    written: int = 0
    channel: McapChannel | None = None

    def same_as(self, other: BagTopic) -> None:
        """Nothing, where both carry the same type.

        Raises:
            BagError: they do not.
        """
        if (self.type_name, self.type_hash) != (other.type_name, other.type_hash):
            raise BagError(
                f"{self.name} carries {self.type_name} ({self.type_hash}) in this bag, "
                f"not {other.type_name} ({other.type_hash})",
                "Let only one type be published on it.",
            )

    def log(self, file: McapFile, cdr: bytes, log_time_ns: int) -> None:
        """Write one message.

        Raises:
            OSError: the disk refuses.
        """
        if self.channel is None:
            metadata = {"offered_qos_profiles": self.qos_text, "topic_type_hash": self.type_hash}
            self.channel = file.channel(self.name, self.type_name, self.definition, metadata)
        self.channel.log(cdr, log_time_ns)
        self.written += 1

    def count(self, failed: bool) -> TopicCount:
        """Messages in the bag and missing from it; after a failure, what still waited is missing too."""
        if failed:
            return TopicCount(received=self.written, lost=self.dropped + self.accepted - self.written)
        return TopicCount(received=self.accepted, lost=self.dropped)

    def record(self) -> rosbag2.TopicRecord:
        """As ``metadata.yaml`` lists it."""
        return rosbag2.TopicRecord(self.name, self.type_name, self.type_hash, self.qos, self.written)


def new_topic(name: str, type_name: str, definition: str, type_hash: str, qos_yaml: str) -> BagTopic:
    """A topic without messages.

    Raises:
        BagError: its definition or hash is missing, or its QoS is no YAML list.
    """
    if not definition.strip():
        raise BagError(
            f"{name} has no definition of {type_name} to embed",
            "Install or source the package that defines it; without it nobody could read the bag.",
        )
    if not type_hash.startswith("RIHS01_"):
        raise BagError(f"{name} has no type hash (got {type_hash!r})", "It must begin with RIHS01_.")
    return BagTopic(name, type_name, definition, type_hash, qos_yaml, rosbag2.parse_qos(qos_yaml))
