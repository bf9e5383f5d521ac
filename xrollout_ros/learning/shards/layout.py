"""What a shard is on disk: a folder of NumPy arrays that are mapped into memory, and an index of its episodes.

shards/<name>/index.json      its episodes and arrays
shards/<name>/state.npy       (N, D) float64
shards/<name>/action.npy      (N, A) float64, as sent
shards/<name>/stamp_s.npy     (N,) float64, s since the episode's first row
shards/<name>/source.npy      (N,) uint8, who each action came from
shards/<name>/camera_<camera>.npy   (N, H, W, 3) uint8 RGB, the newest image at each row
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

INDEX = "index.json"
CAMERA = "camera_"
ROW_ARRAYS: dict[str, str] = {"state": "<f8", "action": "<f8", "stamp_s": "<f8", "source": "|u1"}
"""Arrays of every shard, and their types."""
Rows = Mapping[str, npt.NDArray[Any]]


def digest(arrays: Rows) -> str:
    """SHA-256 of an episode's rows: names, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name], dtype=ROW_ARRAYS.get(name, "|u1"))
        found.update(f"{name}{values.shape}".encode())
        found.update(values.data)
    return found.hexdigest()
