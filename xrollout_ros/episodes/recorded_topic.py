"""One topic as the recorder takes it: what it carries, how it is kept, what of it was lost."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from xrollout_ros.core.clock import NS
from xrollout_ros.core.sensing import CameraRecord, CameraSpec
from xrollout_ros.episodes.bag_topic import BagTopic, new_topic
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.definitions import MessageDefinition
from xrollout_ros.episodes.image_cdr import IMAGE
from xrollout_ros.episodes.losses import LossCounter
from xrollout_ros.episodes.rosbag2 import Durability, Reliability, qos_yaml

_STAMP = struct.Struct("<iI")


@dataclass(frozen=True)
class EncodedCamera:
    """A camera whose images are encoded on their way into the bag."""

    camera: CameraSpec
    topic: str
    """Full name of what is kept."""
    definition: MessageDefinition

    @property
    def video(self) -> bool:
        """Whether an image may need the one before it."""
        return self.camera.record is CameraRecord.H264


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

    def stamp_ns(self, cdr: bytes) -> int | None:
        """The message's own stamp, ns; None: it has none."""
        if self.stamp_offset is None or len(cdr) < self.stamp_offset + _STAMP.size:
            return None
        second, nanosecond = _STAMP.unpack_from(cdr, self.stamp_offset)
        return int(second) * NS + int(nanosecond)

    def in_bag(self) -> list[BagTopic]:
        """What a bag must know of it: itself, and what its images are kept as.

        Raises:
            BagError: a definition is missing.
        """
        qos = qos_yaml(
            Reliability.RELIABLE if self.reliable else Reliability.BEST_EFFORT,
            Durability.TRANSIENT_LOCAL if self.latched else Durability.VOLATILE,
            self.depth,
        )
        known = {self.name: self.definition}
        if self.encoded is not None:
            known[self.encoded.topic] = self.encoded.definition
        return [new_topic(name, each.type_name, each.text, each.type_hash, qos) for name, each in known.items()]

    def add_to(self, writer: BagWriter) -> None:
        """Make it known to a bag.

        Raises:
            BagError: the bag knows it with another type.
        """
        for topic in self.in_bag():
            writer.add_topic(topic.name, topic.type_name, topic.definition, topic.type_hash, topic.qos_text)
