"""The shards of a pyramid: which episodes are in them, and whether they are whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import write_bytes, write_together
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.learning.shards.facts import VERSION, Facts
from xrollout_ros.learning.shards.index import Held, Index, read_index
from xrollout_ros.learning.shards.layout import CAMERA, ROW_ARRAYS
from xrollout_ros.learning.shards.writer import TEMPORARY

_PROBLEMS = "problems.json"
UNREADABLE, NO_IMAGES = "unreadable", "without images of its cameras"


class Problem(NamedTuple):
    """Why a bag is in no shard."""

    reason: str
    """``UNREADABLE`` or ``NO_IMAGES``."""
    words: str


@dataclass(frozen=True)
class Kept:
    """One episode in a shard."""

    shard: str
    held: Held
    robot: RobotSpec
    task: TaskSpec | None
    cameras: Mapping[str, tuple[int, int]]
    together: int
    """Rows of its shard."""

    @property
    def meta(self) -> EpisodeMeta:
        """As the bag has it."""
        return self.held.meta

    @property
    def facts(self) -> Facts:
        """What was measured of it."""
        return self.held.facts


class Store:
    """A folder of shards; for one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[str, str] = {}
        """Shards that were found to be damaged, and why; their episodes are read again."""
        self._indexes: dict[str, Index] = {}
        self._arrays: dict[tuple[str, str], npt.NDArray[Any]] = {}

    def clean(self) -> None:
        """Make the folder; take away what an interrupted build left.

        Raises:
            DataError: the disk refuses.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob(f"{TEMPORARY}*"):
                shutil.rmtree(path)
        except OSError as error:
            raise DataError(f"{self.folder} cannot be written ({error})", "Mend its rights, or free space.") from error

    def look(self) -> None:
        """Look which shards there are; damaged ones are taken away."""
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if path.name in self._indexes or path.name.startswith(".") or not path.is_dir():
                continue
            try:
                index = read_index(path)
                check_rows(path, index)
            except DataError as error:
                self.damaged[path.name] = error.what
                shutil.rmtree(path, ignore_errors=True)
            else:
                self._indexes[path.name] = index

    def episodes(self) -> Iterator[Kept]:
        """All that is kept, some perhaps twice or out of date."""
        for name, index in self._indexes.items():
            for held in index.episodes:
                task = None if held.task is None else index.tasks[held.task]
                yield Kept(name, held, index.robots[held.robot], task, index.cameras, index.rows)

    def rows(self, kept: Kept, array: str) -> npt.NDArray[Any]:
        """Rows ``(T, …)`` of an episode, mapped from disk.

        Raises:
            DataError: the shard has been taken away or damaged meanwhile.
        """
        known = self._arrays.get((kept.shard, array))
        if known is None:
            path = self.folder / kept.shard / f"{array}.npy"
            try:
                known = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"{path} cannot be read ({error})", "Build again.") from error
            self._arrays[kept.shard, array] = known
        return known[kept.held.first : kept.held.first + kept.held.rows]

    def sizes(self) -> dict[str, int]:
        """Bytes of each shard's arrays, by name."""
        return {name: sum(file.stat().st_size for file in (self.folder / name).glob("*.npy")) for name in self._indexes}

    def keep_only(self, shards: Collection[str]) -> int:
        """Take away all other shards; how many there were."""
        gone = [name for name in self._indexes if name not in shards]
        for name in gone:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            del self._indexes[name]
        return len(gone)

    # --- what cannot be read ------------------------------------------------------------------------------------------

    def problems(self) -> dict[str, Problem]:
        """Why bags could not be read, by :func:`bag_key`; they need not be tried again while they are as they were."""
        try:
            found = json.loads((self.folder / _PROBLEMS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: Problem(*why) for key, why in found.items() if isinstance(why, list) and len(why) == 2}

    def keep_problems(self, problems: Mapping[str, Problem]) -> None:
        """Remember them in the place of those before.

        Raises:
            DataError: the disk refuses.
        """
        text = json.dumps(dict(sorted(problems.items())), indent=1).encode()
        write_together({self.folder / _PROBLEMS: lambda fresh: write_bytes(fresh, text)})


def bag_key(path: str, size: int, mtime_ns: int, cameras: tuple[int, int] | None) -> str:
    """Names a bag as it is now, and what was wanted of it.

    Args:
        path: of the bag, below the data folder.
        size: of its files, bytes.
        mtime_ns: of its ``metadata.yaml``.
        cameras: height and width at which images were wanted.
    """
    return f"{path} {size} {mtime_ns} {VERSION} {'x'.join(map(str, cameras or ()))}"


def check_rows(folder: Path, index: Index) -> None:
    """Refuse a shard whose rows are not all there; their content is trusted: it was synced before it got its name.

    Raises:
        DataError: an array is missing or shorter than the index says.
    """
    for name in [*ROW_ARRAYS, *(f"{CAMERA}{camera}" for camera in index.cameras)]:
        path = folder / f"{name}.npy"
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False).shape[0]
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read ({error})") from error
        if found != index.rows:
            raise DataError(f"{path} has {found} rows, its index says {index.rows}")
