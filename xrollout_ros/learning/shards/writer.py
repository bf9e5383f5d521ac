"""Writes shards: under a temporary name, synced, then renamed; what is there under its own name is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import sync
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.learning.shards.facts import Facts
from xrollout_ros.learning.shards.index import Held, Index, Origin
from xrollout_ros.learning.shards.layout import CAMERA, INDEX, ROW_ARRAYS, Rows, digests

TEMPORARY = ".tmp-"
"""How the names of what is not whole yet begin."""


class DiskError(DataError):
    """The disk refuses what a shard needs."""


@dataclass(frozen=True, eq=False)
class ReadEpisode:
    """One episode as it goes into a shard."""

    meta: EpisodeMeta
    origin: Origin
    robot: RobotSpec
    task: TaskSpec | None
    rows: Rows
    facts: Facts

    @property
    def bytes(self) -> int:
        """Of its arrays."""
        return sum(values.nbytes for values in self.rows.values())


def write_shard(store: Path, episodes: Sequence[ReadEpisode]) -> str:
    """Put episodes into one shard.

    Args:
        store: folder of the shards; it is there.
        episodes: of one robot interface, with the same cameras.

    Returns:
        Its name, which says what is in it: the same episodes have the same one.

    Raises:
        DiskError: the disk refuses; nothing is left of it.
    """
    ordered = sorted(episodes, key=lambda each: each.meta.episode_id)
    index = _index(ordered)
    text = index.model_dump_json().encode()
    name = hashlib.sha256(text).hexdigest()[:16]
    fresh, target = store / f"{TEMPORARY}{os.getpid()}-{name}", store / name
    try:
        try:
            fresh.mkdir()
            for array in [*ROW_ARRAYS, *(f"{CAMERA}{camera}" for camera in index.cameras)]:
                _write_array(fresh / f"{array}.npy", [each.rows[array] for each in ordered], ROW_ARRAYS.get(array))
            (fresh / INDEX).write_bytes(text)
            for path in (*fresh.iterdir(), fresh):
                sync(path)
            if not target.exists():  # else another build has made the same
                fresh.rename(target)
            sync(store)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise DiskError(
            f"a shard of {len(ordered)} episodes could not be written to {store} ({error})",
            "Free the disk and build again: shards that are whole are kept, the pyramid is as it was.",
        ) from error
    return name


def _index(episodes: Sequence[ReadEpisode]) -> Index:
    robots: list[RobotSpec] = []
    tasks: list[TaskSpec] = []
    held, first = [], 0
    for each in episodes:
        rows = len(each.rows["state"])
        held.append(
            Held(
                meta=each.meta,
                origin=each.origin,
                first=first,
                rows=rows,
                digests=digests(each.rows),
                robot=_place(robots, each.robot),
                task=None if each.task is None else _place(tasks, each.task),
                facts=each.facts,
            )
        )
        first += rows
    cameras = {
        name.removeprefix(CAMERA): values.shape[1:3]
        for name, values in episodes[0].rows.items()
        if name.startswith(CAMERA)
    }
    return Index(rows=first, cameras=cameras, robots=tuple(robots), tasks=tuple(tasks), episodes=tuple(held))


def _place(known: list[Any], each: Any) -> int:
    if each not in known:
        known.append(each)
    return known.index(each)


def _write_array(path: Path, parts: Sequence[npt.NDArray[Any]], kind: str | None) -> None:
    """One after the other, so that images need not be in memory twice."""
    dtype = np.dtype(kind or "|u1")
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    with path.open("wb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=dtype).data)
