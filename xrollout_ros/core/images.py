"""``sensor_msgs/Image`` messages as arrays, for any object with the message's attributes.

NumPy decodes what cameras commonly send, so images read the same on every machine. What needs a colour conversion of
its own (Bayer patterns, YUV) is left to ``cv_bridge`` where ROS has it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import DataError

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Layout:
    channels: int
    """Values of a pixel."""
    order: tuple[int, ...]
    """Which of them become the result's channels."""
    size: int = 1
    """Bytes of a value."""


_LAYOUTS = {
    "rgb8": _Layout(3, (0, 1, 2)),
    "bgr8": _Layout(3, (2, 1, 0)),
    "rgba8": _Layout(4, (0, 1, 2)),
    "bgra8": _Layout(4, (2, 1, 0)),
    "mono8": _Layout(1, (0,)),
    "8UC1": _Layout(1, (0,)),
    "mono16": _Layout(1, (0,), 2),
    "16UC1": _Layout(1, (0,), 2),
}
ENCODINGS = tuple(_LAYOUTS)
"""What is decoded without ``cv_bridge``."""


def decode_image(message: Any) -> Image:
    """The pixels of an image message.

    Colour becomes RGB whatever the order sent, transparency is dropped, 16-bit values are scaled from [0, 65535] to
    [0, 255] and rounded, as ``cv_bridge`` does. Padding at the end of a row (``step``) and the byte order
    (``is_bigendian``) are heeded.

    Returns:
        ``(H, W, 3)`` for colour, ``(H, W, 1)`` for one channel; an array of its own that may be written to.

    Raises:
        DataError: the encoding is unknown, or the message contradicts itself.
    """
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        return _by_cv_bridge(message)
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * layout.channels * layout.size
    data = _flat(message.data)
    if height < 1 or width < 1 or step < row or data.size < (height - 1) * step + row:
        raise DataError(
            f"an image of {width}x{height} {message.encoding!r} with step {step} and {data.size} bytes "
            "contradicts itself",
            f"A row takes {row} bytes, so `step` must be at least that and `data` hold {height} rows: mend the driver.",
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, row), (step, 1), writeable=False)
    if layout.size == 2:
        wide = np.ascontiguousarray(rows).view(">u2" if message.is_bigendian else "<u2").astype(np.uint32)
        # 65535 / 255 is 257, an odd number: no value lies halfway, so this is rounding in whole numbers.
        return ((wide + 128) // 257).astype(np.uint8).reshape(height, width, 1)
    pixels = rows.reshape(height, width, layout.channels)
    return np.ascontiguousarray(pixels[..., list(layout.order)])


def _flat(data: Any) -> Image:
    """The bytes of a message's array, whatever the library that decoded it made of them; not copied if avoidable."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data, dtype=np.uint8).reshape(-1)
    try:
        return np.frombuffer(data, dtype=np.uint8)
    except (TypeError, ValueError, BufferError):
        return np.asarray(data, dtype=np.uint8).reshape(-1)


def _by_cv_bridge(message: Any) -> Image:
    try:
        # Loaded only here: it brings OpenCV along, and not every NumPy suits the one that it was built for.
        bridge: Any = importlib.import_module("cv_bridge").CvBridge()
    except ImportError as error:
        raise DataError(
            f"images of the encoding {message.encoding!r} cannot be decoded here ({error})",
            f"Known are {', '.join(ENCODINGS)}; with ROS's cv_bridge installed, Bayer and YUV encodings too.",
        ) from error
    try:
        return np.array(bridge.imgmsg_to_cv2(message, "rgb8"), dtype=np.uint8)
    except Exception as error:  # cv_bridge and OpenCV raise classes of their own
        raise DataError(
            f"cv_bridge cannot make an image of the encoding {message.encoding!r} into RGB ({error})",
            f"Set the camera to one of {', '.join(ENCODINGS)}.",
        ) from error
