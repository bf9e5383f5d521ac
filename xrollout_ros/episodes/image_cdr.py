"""Image messages as bytes: what the recorder reads of a raw one, and the encoded ones that it writes.

All little-endian CDR, as every ROS 2 middleware on x86 and ARM sends it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.definitions import SEPARATOR, MessageDefinition

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
COMPRESSED_VIDEO = "foxglove_msgs/msg/CompressedVideo"
VIDEO_DEFINITION = MessageDefinition(
    COMPRESSED_VIDEO,
    f"builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n{SEPARATOR}\n"
    "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n",
    "RIHS01_32039eafc3770e589c86c4dabff9c392ce9955ebffd43f5f60763011d43d8d1d",
)
"""Embedded here because it comes with no wheel; the fields are those of Foxglove's schema."""
_HEADER = b"\x00\x01\x00\x00"
_LITTLE_ENDIAN = 1
_TIME = struct.Struct("<iI")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class RawImage:
    """A ``sensor_msgs/Image``, its pixels not copied."""

    sec: int
    nanosec: int
    frame_id: bytes
    height: int
    width: int
    encoding: str
    step: int
    """Bytes of a row, padding included."""
    data: npt.NDArray[np.uint8]

    @property
    def stamp_ns(self) -> int:
        """The header's stamp."""
        return self.sec * NS + self.nanosec


class _Reader:
    def __init__(self, cdr: bytes) -> None:
        self._cdr, self._at = cdr, len(_HEADER)

    def whole(self) -> int:
        """An aligned uint32."""
        self._at += -(self._at - len(_HEADER)) % 4
        (value,) = _LENGTH.unpack_from(self._cdr, self._at)
        self._at += 4
        return int(value)

    def time(self) -> tuple[int, int]:
        second, nanosecond = _TIME.unpack_from(self._cdr, self._at)
        self._at += _TIME.size
        return second, nanosecond

    def byte(self) -> int:
        self._at += 1
        return self._cdr[self._at - 1]

    def text(self) -> bytes:
        """A string without its closing zero."""
        length = self.whole()
        self._at += length
        return bytes(self._cdr[self._at - length : self._at - 1])

    def rest(self) -> npt.NDArray[np.uint8]:
        length = self.whole()
        data = np.frombuffer(self._cdr, np.uint8, count=length, offset=self._at)
        self._at += length
        return data


def parse_image(cdr: bytes) -> RawImage:
    """A ``sensor_msgs/Image`` from the wire.

    Raises:
        DataError: the bytes are no such message.
    """
    try:
        if cdr[1] != _LITTLE_ENDIAN:
            raise ValueError("it is big-endian")
        reader = _Reader(cdr)
        second, nanosecond = reader.time()
        frame_id, height, width = reader.text(), reader.whole(), reader.whole()
        encoding = reader.text().decode("ascii")
        reader.byte()  # is_bigendian: of no matter where a value is one byte
        step = reader.whole()
        return RawImage(second, nanosecond, frame_id, height, width, encoding, step, reader.rest())
    except (IndexError, ValueError, struct.error) as error:
        raise DataError(f"{len(cdr)} bytes are no sensor_msgs/Image ({error})", "Mend the camera's driver.") from error


class _Writer:
    def __init__(self) -> None:
        self._parts, self._size = [_HEADER], 0

    def _put(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)

    def time(self, image: RawImage) -> _Writer:
        self._put(_TIME.pack(image.sec, image.nanosec))
        return self

    def blob(self, data: bytes) -> _Writer:
        self._put(bytes(-self._size % 4))
        self._put(_LENGTH.pack(len(data)))
        self._put(data)
        return self

    def text(self, data: bytes) -> _Writer:
        return self.blob(data + b"\x00")

    def bytes(self) -> bytes:
        return b"".join(self._parts)


def compressed_image(image: RawImage, data: bytes) -> bytes:
    """A ``sensor_msgs/CompressedImage`` with the header of ``image``; ``data`` is a JPEG."""
    return _Writer().time(image).text(image.frame_id).text(b"jpeg").blob(data).bytes()


def compressed_video(image: RawImage, data: bytes) -> bytes:
    """A ``foxglove_msgs/CompressedVideo`` with the header of ``image``; ``data`` is one picture in Annex B."""
    return _Writer().time(image).text(image.frame_id).blob(data).text(b"h264").bytes()
