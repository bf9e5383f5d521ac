"""The images of a camera by number, each decoded when it is asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.core.images import Image, decode_image
from xrollout_ros.episodes.bag_reader import Bag
from xrollout_ros.episodes.chunks import Ints
from xrollout_ros.episodes.columns import read_columns, time_fields
from xrollout_ros.episodes.random_access import LazyMessages

_STAMPS = {
    "sensor_msgs/msg/Image": "header.stamp",
    "sensor_msgs/msg/CompressedImage": "header.stamp",
    "foxglove_msgs/msg/CompressedVideo": "timestamp",
}
"""Types of messages with an image, and where they have their stamp."""
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def image_topics(bag: Bag) -> dict[str, str]:
    """Topics of a bag that carry images, and their types."""
    if bag.summary is None:
        return {}
    schemas = bag.summary.schemas
    types = {
        channel.topic: schemas[channel.schema_id].name
        for channel in bag.summary.channels.values()
        if channel.schema_id in schemas
    }
    return {topic: name for topic, name in types.items() if name in _STAMPS}


class ImageSequence:
    """The images of one topic, in the order received; for one thread. A copy can be sent to another process.

    Raises:
        BagError: the bag is damaged, or has no such topic, or that carries no images.
    """

    def __init__(self, bag: Bag, topic: str) -> None:
        self._messages = LazyMessages(bag, topic)
        self._type = self._messages.type_name
        if self._type not in _STAMPS:
            known = ", ".join(image_topics(bag)) or "none"
            raise BagError(f"{topic} of {bag.path} carries {self._type}, no images", f"Topics with images: {known}.")
        self._video = self._open_video() if self._type == "foxglove_msgs/msg/CompressedVideo" else None
        self._stamps: Ints | None = None

    def _open_video(self) -> Any:
        from xrollout_ros.episodes.video import VideoSequence

        return VideoSequence(lambda number: bytes(self._messages[number].data), len(self._messages))

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageSequence, (self._messages.bag, self._messages.topic)

    @property
    def log_time_ns(self) -> Ints:
        """(N,) when each was received, ns since the epoch."""
        return self._messages.log_time_ns

    @property
    def stamps_ns(self) -> Ints:
        """(N,) the camera's own stamps, ns. The first use reads the whole topic, once.

        Raises:
            BagError: the bag is damaged.
        """
        if self._stamps is None:
            path = _STAMPS[self._type]
            table = read_columns(self._messages.bag, self._messages.topic, time_fields(path))
            self._stamps = table.time_ns(path)
        return self._stamps

    def __len__(self) -> int:
        """N."""
        return len(self._messages)

    def __iter__(self) -> Iterator[Image]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Image:
        """One image: ``(H, W, 3)`` RGB, or ``(H, W, 1)`` for one channel.

        Raises:
            IndexError: there is none of this number.
            DataError: the image is damaged, or encoded in a way not known.
            BagError: the bag is damaged, or a library is missing.
        """
        if self._video is not None:
            picture: Image = self._video[number]
            return picture
        message = self._messages[number]
        return decode_image(message) if self._type == "sensor_msgs/msg/Image" else decode_compressed(message)


def decode_compressed(message: Any) -> Image:
    """The pixels of a ``sensor_msgs/CompressedImage``: a JPEG or a PNG, whatever ``format`` says.

    Returns:
        ``(H, W, 3)`` RGB, or ``(H, W, 1)`` for a PNG of one channel; 16-bit values are scaled to [0, 255].

    Raises:
        DataError: it is neither, or damaged.
        BagError: the library is missing.
    """
    data = bytes(message.data)
    if data.startswith(_JPEG):
        from xrollout_ros.episodes.video import decode_jpeg

        return decode_jpeg(data)
    if data.startswith(_PNG):
        return _decode_png(data)
    raise DataError(
        f"a compressed image of the format {message.format!r} is neither a JPEG nor a PNG",
        "Let the camera's driver send one of them.",
    )


def _decode_png(data: bytes) -> Image:
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.mode.startswith("I"):  # 16 bits of grey
                wide = np.asarray(picture).astype(np.uint32)
                return ((wide + 128) // 257).astype(np.uint8)[..., None]  # rounded as `decode_image` does
            if picture.mode in ("L", "1"):
                return np.array(picture.convert("L"), dtype=np.uint8)[..., None]
            return np.array(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise DataError(f"{len(data)} bytes are no whole PNG ({error})", "The bag is damaged.") from error
