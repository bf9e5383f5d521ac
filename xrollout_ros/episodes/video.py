"""Images encoded and decoded: JPEG by libjpeg-turbo, H.264 by libx264 (PyAV).

H.264 is written as ``foxglove_msgs/CompressedVideo`` wants it: Annex B, one picture a message, no B-frames, parameter
sets before every keyframe, the first picture one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.core.images import Image
from xrollout_ros.core.sensing import CameraRecord, CameraSpec
from xrollout_ros.episodes.image_cdr import RawImage

_COLOURS = {"rgb8": "RGB", "bgr8": "BGR", "rgba8": "RGBA", "bgra8": "BGRA", "mono8": "GRAY", "8UC1": "GRAY"}
_PIXELS = {"rgb8": "rgb24", "bgr8": "bgr24", "rgba8": "rgba", "bgra8": "bgra", "mono8": "gray", "8UC1": "gray"}
_CHANNELS = {"RGB": 3, "BGR": 3, "RGBA": 4, "BGRA": 4, "GRAY": 1}
_IDR = 5
"""NAL unit type of a picture that needs no other."""
_NAL_TYPE = 0x1F
_START = b"\x00\x00\x01"


class Encoder(Protocol):
    """Encodes the images of one camera and one bag, in order; used by one thread."""

    def encode(self, image: RawImage) -> bytes:
        """The image as bytes.

        Raises:
            DataError: it cannot be encoded: 16 bits a value, an odd size, or it contradicts itself.
        """

    def restart(self) -> None:
        """What was encoded last did not reach the bag: the next image must not need it."""


def can_encode(encoding: str) -> bool:
    """Whether images of this ``sensor_msgs/Image`` encoding can be encoded at all."""
    return encoding in _COLOURS


def make_encoder(camera: CameraSpec) -> Encoder:
    """The encoder that a camera's spec asks for.

    Raises:
        BagError: the spec asks for none, or its library is not installed.
    """
    if camera.record is CameraRecord.JPEG:
        return JpegEncoder(camera.quality)
    if camera.record is CameraRecord.H264:
        return H264Encoder(camera.rate_hz, camera.crf, camera.keyframe_s)
    raise BagError(f"camera {camera.name!r} is recorded {camera.record.value}", "There is nothing to encode.")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BagError(
            f"images cannot be encoded or decoded here: {error}",
            f"Install {name!r} (`pip install {name}`), or set `record: raw` for the camera in the RobotSpec.",
        ) from error


def _pixels(image: RawImage) -> npt.NDArray[np.uint8]:
    """``(H, W, C)``, or ``(H, W)`` for one channel; a copy only where rows are padded."""
    colour = _COLOURS.get(image.encoding)
    if colour is None:
        raise DataError(
            f"images of the encoding {image.encoding!r} cannot be encoded",
            f"Encoded are {', '.join(_COLOURS)}; the others are recorded raw.",
        )
    channels = _CHANNELS[colour]
    row = image.width * channels
    if not image.width or not image.height or image.step < row or image.data.size < image.height * image.step:
        raise DataError(
            f"an image of {image.width}x{image.height} {image.encoding!r} with step {image.step} and "
            f"{image.data.size} bytes contradicts itself",
            "Mend the camera's driver.",
        )
    rows = image.data[: image.height * image.step].reshape(image.height, image.step)[:, :row]
    shape = (image.height, image.width) if channels == 1 else (image.height, image.width, channels)
    return np.ascontiguousarray(rows).reshape(shape)


class JpegEncoder:
    """Each image by itself."""

    def __init__(self, quality: int) -> None:
        self._quality = quality
        self._jpeg = _library("simplejpeg")

    def encode(self, image: RawImage) -> bytes:
        """See :class:`Encoder`."""
        colour = _COLOURS.get(image.encoding, "")
        pixels = _pixels(image)
        pixels = pixels[..., None] if colour == "GRAY" else pixels
        subsampling = "Gray" if colour == "GRAY" else "420"
        data: bytes = self._jpeg.encode_jpeg(pixels, self._quality, colour, subsampling)
        return data

    def restart(self) -> None:
        """Nothing depends on the last image."""


class H264Encoder:
    """Pictures that need the one before, with a keyframe at the start and every ``keyframe_s``."""

    def __init__(self, rate_hz: float, crf: int, keyframe_s: float) -> None:
        self._av = _library("av")
        self._rate = Fraction(rate_hz).limit_denominator(1000)
        self._crf = crf
        self._interval = max(1, round(rate_hz * keyframe_s))
        self._context: Any = None
        self._size = (0, 0)
        self._number = 0

    def encode(self, image: RawImage) -> bytes:
        """See :class:`Encoder`."""
        pixels = _pixels(image)
        if image.width % 2 or image.height % 2:
            raise DataError(
                f"an image of {image.width}x{image.height} cannot be encoded as h264", "Width and height must be even."
            )
        if self._context is None or self._size != (image.width, image.height):
            self._begin(image.width, image.height)
        frame = self._av.VideoFrame.from_ndarray(pixels, format=_PIXELS[image.encoding])
        frame.pts = self._number
        self._number += 1
        packets = self._context.encode(frame)
        if len(packets) != 1:
            # Tuned for zero latency each picture gives its packet at once; anything else would misalign the stamps.
            self.restart()
            raise DataError(f"the encoder gave {len(packets)} packets for one image", "Record the camera as jpeg.")
        return bytes(packets[0])

    def restart(self) -> None:
        """The next picture becomes a keyframe, of a new encoder."""
        self._context = None

    def _begin(self, width: int, height: int) -> None:
        context = self._av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = 1 / self._rate, self._rate
        context.gop_size, context.max_b_frames, context.thread_count = self._interval, 0, 1
        context.options = {
            "preset": "ultrafast",  # twice as fast as veryfast, and the recorder has one core at most
            "tune": "zerolatency",
            "crf": str(self._crf),
            "forced-idr": "1",
            "x264-params": f"keyint={self._interval}:min-keyint={self._interval}:scenecut=0:repeat-headers=1:annexb=1",
        }
        self._context, self._size, self._number = context, (width, height), 0


def is_keyframe(data: bytes) -> bool:
    """Whether an H.264 packet in Annex B can be decoded without any before it."""
    at = data.find(_START)
    while 0 <= at < len(data) - len(_START):
        if data[at + len(_START)] & _NAL_TYPE == _IDR:
            return True
        at = data.find(_START, at + len(_START))
    return False


def decode_jpeg(data: bytes) -> Image:
    """A JPEG as ``(H, W, 3)``, RGB.

    Raises:
        DataError: it is damaged.
        BagError: no library for it is installed.
    """
    jpeg = _library("simplejpeg")
    try:
        image: Image = jpeg.decode_jpeg(data, "RGB")
    except ValueError as error:
        raise DataError(f"{len(data)} bytes are no whole JPEG ({error})", "The bag is damaged.") from error
    return image


def encode_jpeg(picture: Image, quality: int) -> bytes:
    """A picture ``(H, W, 3)``, RGB, or ``(H, W, 1)`` as a JPEG.

    Raises:
        BagError: no library for it is installed.
    """
    grey = picture.shape[2] == 1
    data: bytes = _library("simplejpeg").encode_jpeg(
        np.ascontiguousarray(picture), quality, "GRAY" if grey else "RGB", "Gray" if grey else "420"
    )
    return data


class VideoDecoder:
    """Decodes the packets of one camera in the order recorded, from a keyframe on."""

    def __init__(self) -> None:
        self._av = _library("av")
        self._context: Any = None

    def decode(self, data: bytes) -> Image:
        """The picture of a packet, ``(H, W, 3)``, RGB.

        Raises:
            DataError: nothing can be decoded: it is damaged, or no keyframe has come before.
        """
        if is_keyframe(data):
            self._context = self._av.CodecContext.create("h264", "r")
            # A decoder with threads of frames would hold pictures back.
            self._context.thread_count = 1
            self._context.flags |= self._av.codec.context.Flags.low_delay
        if self._context is None:
            raise DataError("a picture that needs the one before it comes first", "Begin at a keyframe.")
        try:
            frames = self._context.decode(self._av.Packet(data))
        except self._av.FFmpegError as error:
            self._context = None
            raise DataError(f"{len(data)} bytes are no whole H.264 picture ({error})", "The bag is damaged.") from error
        if len(frames) != 1:
            self._context = None
            raise DataError(f"a packet gave {len(frames)} pictures", "The video was not recorded by XRollout.")
        image: Image = frames[0].to_ndarray(format="rgb24")
        return image


class VideoSequence:
    """Random access to an H.264 topic: goes back to the keyframe before a picture, and on from where it is."""

    def __init__(self, packet: Callable[[int], bytes], count: int) -> None:
        """
        Args:
            packet: gives the data of the message with this number; called again and again, so it should be cheap.
            count: how many messages there are.
        """
        self._packet, self._count = packet, count
        self._keyframes: dict[int, bool] = {}
        self._decoder = VideoDecoder()
        self._at = -1
        self._last: Image | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Image]:
        for number in range(self._count):
            yield self[number]

    def __getitem__(self, number: int) -> Image:
        """The picture with this number, ``(H, W, 3)``, RGB.

        Raises:
            DataError: it or one that it needs is damaged.
            IndexError: there is none.
        """
        number += self._count if number < 0 else 0
        if not 0 <= number < self._count:
            raise IndexError(f"picture {number} of {self._count}")
        if self._last is None or number != self._at:
            begin = number
            while begin > 0 and begin != self._at + 1 and not self._is_keyframe(begin):
                begin -= 1
            self._last = None
            for each in range(begin, number + 1):
                self._last = self._decoder.decode(self._packet(each))
                self._at = each
        assert self._last is not None
        return self._last

    def _is_keyframe(self, number: int) -> bool:
        if number not in self._keyframes:
            self._keyframes[number] = is_keyframe(self._packet(number))
        return self._keyframes[number]
