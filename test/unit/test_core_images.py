"""Image messages as arrays."""

from __future__ import annotations

import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.images import ENCODINGS, decode_image

CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1, "mono16": 1, "16UC1": 1}


def message(
    encoding: str, pixels: np.ndarray[Any, Any], padding: int = 0, bigendian: bool = False, wrap: Any = bytes
) -> Any:
    """An image message as a camera sends it; ``pixels`` (H, W, C) in the encoding's own order."""
    height, width = pixels.shape[:2]
    if pixels.dtype == np.uint16:
        pixels = pixels.astype(">u2" if bigendian else "<u2")
    rows = [row.tobytes() + b"\xee" * padding for row in pixels]
    return SimpleNamespace(
        encoding=encoding,
        height=height,
        width=width,
        step=len(rows[0]),
        is_bigendian=int(bigendian),
        data=wrap(b"".join(rows)),
    )


def pixels_for(encoding: str, height: int = 3, width: int = 4, seed: int = 0) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    wide = encoding in ("mono16", "16UC1")
    kind = np.uint16 if wide else np.uint8
    return random.integers(0, 65536 if wide else 256, (height, width, CHANNELS[encoding])).astype(kind)


def expected(encoding: str, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if pixels.dtype == np.uint16:
        return np.rint(pixels.astype(np.float64) * 255 / 65535).astype(np.uint8)
    if encoding.startswith("bgr"):
        return pixels[..., 2::-1]
    return pixels[..., : min(3, pixels.shape[-1])]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("bigendian", [False, True])
def test_every_encoding_with_padding_in_both_byte_orders(encoding: str, padding: int, bigendian: bool) -> None:
    pixels = pixels_for(encoding)
    decoded = decode_image(message(encoding, pixels, padding, bigendian))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (3, 4, 1 if CHANNELS[encoding] == 1 else 3)
    assert np.array_equal(decoded, expected(encoding, pixels))


@pytest.mark.parametrize(
    "wrap", [bytes, bytearray, memoryview, list, tuple, lambda b: array.array("B", b), lambda b: np.frombuffer(b, "u1")]
)
def test_whatever_holds_the_bytes(wrap: Any) -> None:
    pixels = pixels_for("bgr8")
    decoded = decode_image(message("bgr8", pixels, wrap=wrap))
    assert np.array_equal(decoded, pixels[..., ::-1])
    decoded[:] = 0  # an array of its own


@given(st.integers(0, 65535))
def test_sixteen_bits_are_rounded(value: int) -> None:
    assert decode_image(message("mono16", np.full((1, 1, 1), value, np.uint16)))[0, 0, 0] == round(value * 255 / 65535)


def test_the_last_row_may_lack_its_padding() -> None:
    pixels = pixels_for("rgb8")
    sent = message("rgb8", pixels, padding=5)
    sent.data = sent.data[:-5]
    assert np.array_equal(decode_image(sent), pixels)


@pytest.mark.parametrize(
    "change", [{"step": 11}, {"height": 4}, {"width": 0}, {"height": 0}, {"data": b""}, {"width": 5}]
)
def test_an_image_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    sent = message("rgb8", pixels_for("rgb8"))
    vars(sent).update(change)
    with pytest.raises(DataError, match="contradicts itself"):
        decode_image(sent)


def test_an_unknown_encoding_is_named() -> None:
    sent = message("rgb8", pixels_for("rgb8"))
    sent.encoding = "nonsense"
    with pytest.raises(DataError, match="'nonsense'"):
        decode_image(sent)


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name not in ("8UC1", "16UC1")])
def test_cv_bridge_gives_the_same(encoding: str) -> None:
    cv_bridge = pytest.importorskip("cv_bridge", reason="cv_bridge is not installed")
    from sensor_msgs.msg import Image

    pixels = pixels_for(encoding, 20, 30)
    sent = message(encoding, pixels, wrap=lambda b: array.array("B", b))
    theirs = cv_bridge.CvBridge().imgmsg_to_cv2(Image(**vars(sent)), "mono8" if encoding[0] == "m" else "rgb8")
    assert np.array_equal(decode_image(sent), theirs.reshape(20, 30, -1))
