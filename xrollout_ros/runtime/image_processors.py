"""Steps on images, as pure functions on arrays ``(H, W, C)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]


def crop(image: Image, x: int, y: int, width: int, height: int) -> Image:
    """The part of ``width`` and ``height`` whose upper left pixel is ``(x, y)``; a view, nothing is copied.

    Raises:
        ValueError: it reaches beyond the image.
    """
    if x + width > image.shape[1] or y + height > image.shape[0]:
        raise ValueError(f"a part of {width}x{height} at ({x}, {y}) reaches beyond an image of shape {image.shape}")
    return image[y : y + height, x : x + width]


def resize(image: Image, width: int, height: int) -> Image:
    """Bilinear, pixel centres aligned as OpenCV and PyTorch do; uint8 is rounded and stays uint8."""
    if image.shape[:2] == (height, width):
        return image
    top, bottom, down = _places(image.shape[0], height)
    left, right, across = _places(image.shape[1], width)
    rows = image[top] * (1 - down)[:, None, None] + image[bottom] * down[:, None, None]
    found = rows[:, left] * (1 - across)[None, :, None] + rows[:, right] * across[None, :, None]
    if np.issubdtype(image.dtype, np.integer):
        found = np.rint(found)
    return found.astype(image.dtype)


def _places(given: int, wanted: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """For each wanted pixel its two neighbours, and how far it lies towards the second."""
    centre = np.clip((np.arange(wanted) + 0.5) * given / wanted - 0.5, 0, given - 1)
    before = np.floor(centre).astype(np.intp)
    return before, np.minimum(before + 1, given - 1), centre - before


def normalize_image(image: Image, mean: npt.ArrayLike, scale: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """``(image / 255 - mean) / scale`` as float32; ``mean`` and ``scale`` are one value or one for each channel."""
    shifted = image.astype(np.float32) / 255 - np.asarray(mean, dtype=np.float32)
    return np.asarray(shifted / np.asarray(scale, dtype=np.float32), dtype=np.float32)
