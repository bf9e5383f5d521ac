"""What a robot senses: observation topics and cameras of a RobotSpec."""

from __future__ import annotations

import math
from enum import Enum
from typing import Annotated

from pydantic import Field, model_validator

from xrollout_ros.core.document import Name, Positive, Strict

Topic = Annotated[str, Field(pattern=r"^/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$")]
MessageType = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]*/msg/[A-Z][A-Za-z0-9]*$", examples=["sensor_msgs/msg/JointState"])
]


class ObservationSpec(Strict):
    """One entry of the state vector, taken from a field of a topic's messages."""

    name: Name
    topic: Topic
    type: MessageType
    field: str = Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$",
        description="path inside the message; ends at a number, an array, a Point, Vector3 or Quaternion",
    )
    names: tuple[str, ...] = Field(
        default=(), description="JointState only: joints to take, in this order; empty: all, as they come"
    )
    shape: tuple[Annotated[int, Field(ge=1)], ...]
    unit: str
    rate_hz: Positive
    max_age_s: Positive = Field(description="older than this counts as stale (real-time drive)")

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @model_validator(mode="after")
    def _check(self) -> ObservationSpec:
        if self.names and len(self.names) != self.size:
            raise ValueError(f"{len(self.names)} joint names for shape {self.shape}: they must agree")
        if self.max_age_s * self.rate_hz < 1:
            raise ValueError(
                f"max_age_s {self.max_age_s} is shorter than one period at rate_hz {self.rate_hz}; "
                f"allowed is at least {1 / self.rate_hz:g}"
            )
        return self


class CameraRecord(str, Enum):
    """How a camera's images are kept in the bag."""

    RAW = "raw"
    JPEG = "jpeg"
    H264 = "h264"


class CameraSpec(Strict):
    """A camera of the robot."""

    name: Name
    topic: Topic
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    rate_hz: Positive
    max_age_s: Positive = 0.5
    record: CameraRecord = Field(
        default=CameraRecord.RAW,
        description="raw; jpeg: `<topic>/compressed` instead; h264: `<topic>/h264` instead",
    )
    quality: Annotated[int, Field(ge=1, le=100)] = Field(default=90, description="jpeg: larger is better")
    crf: Annotated[int, Field(ge=0, le=51)] = Field(default=20, description="h264: smaller is better")
    keyframe_s: Positive = Field(default=1.0, description="h264: s between frames that can be decoded by themselves")

    @property
    def recorded_topic(self) -> str:
        """Where the bag has its images."""
        suffix = {CameraRecord.RAW: "", CameraRecord.JPEG: "/compressed", CameraRecord.H264: "/h264"}
        return self.topic + suffix[self.record]

    @model_validator(mode="after")
    def _check(self) -> CameraSpec:
        if self.record is CameraRecord.H264 and (self.width % 2 or self.height % 2):
            raise ValueError(
                f"h264 halves the colour in both directions: {self.width}x{self.height} must be even; or record jpeg"
            )
        return self
