"""What a shard is on disk: a folder of NumPy arrays that are mapped into memory, and an index of its episodes.

shards/<name>/index.json      its episodes and arrays
shards/<name>/state.npy       (N, D) float64
shards/<name>/action.npy      (N, A) float64, as sent; during a handover as the operator commanded
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


def digests(arrays: Rows) -> dict[str, str]:
    """SHA-256 of each array of an episode's rows: name, shape and bytes."""
    found = {}
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name], dtype=ROW_ARRAYS.get(name, "|u1"))
        made = hashlib.sha256(f"{name}{values.shape}".encode())
        made.update(values.data)
        found[name] = made.hexdigest()
    return found


def combined(digests_of: Mapping[str, str]) -> str:
    """One SHA-256 of those of several arrays."""
    return hashlib.sha256("".join(f"{name}{digests_of[name]}" for name in sorted(digests_of)).encode()).hexdigest()


def digest(arrays: Rows) -> str:
    """SHA-256 of an episode's rows: names, shapes and bytes."""
    return combined(digests(arrays))
