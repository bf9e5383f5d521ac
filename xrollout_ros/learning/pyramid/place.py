"""The folder of a pyramid: whose it is, and how levels are put into it so that none is ever seen half."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import sync, write_bytes, write_together
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.locking import alone
from xrollout_ros.learning.pyramid.opening import (
    EPISODES,
    HISTORY,
    MARK,
    REPORT,
    Build,
    LevelThen,
    Mark,
    read_history,
    read_mark,
)
from xrollout_ros.learning.shards.index import read_index
from xrollout_ros.learning.shards.manifest import FILE, SHARDS, Manifest, read_manifest
from xrollout_ros.learning.shards.store import check_rows

if TYPE_CHECKING:
    from xrollout_ros.learning.pyramid.build import Built, Progress
    from xrollout_ros.learning.pyramid.levels import Level
    from xrollout_ros.learning.shards.store import Store

LOCK = ".lock"
_NEW, _OLD = ".new-", ".old-"
_EXCHANGE = 2
_AT_CWD = -100


class Pyramid:
    """A folder that is, or is to be, a pyramid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = folder / SHARDS
        self._mark: Mark | None = None
        self._builds: list[Build] = []

    @contextmanager
    def opened(self, task: str) -> Iterator[Pyramid]:
        """Hold it for a build; others wait.

        Raises:
            DataError: something else is there, a pyramid of another task, or it cannot be written.
        """
        self._mark = self._checked(task)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder} cannot be made ({error})", "Name another --output.") from error
        with alone(self.folder, LOCK, "nothing was built"):
            self._mark = self._checked(task)
            self._builds = read_history(self.folder)
            if not (self.folder / MARK).is_file():
                self._keep_mark()
            try:
                self._tidy()
            except OSError as error:
                raise DataError(
                    f"what an interrupted build left in {self.folder} cannot be put in order ({error})",
                    "Mend its rights, or free space.",
                ) from error
            yield self

    def _checked(self, task: str) -> Mark:
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"{self.folder} is a file", "Name a folder as --output.")
        found = read_mark(self.folder)
        if found is None:
            others = [] if not self.folder.is_dir() else [path.name for path in self.folder.iterdir()]
            if set(others) - {LOCK}:
                shown = ", ".join(sorted(others)[:3]) + (", …" if len(others) > 3 else "")
                raise DataError(
                    f"{self.folder} is no pyramid, and holds something else ({shown})",
                    "Name a new or empty folder as --output.",
                )
            return Mark(task=task)
        if found.task != task:
            raise DataError(
                f"{self.folder} is a pyramid of task {found.task!r}, this one is to be of {task!r}",
                "Name another --output, or choose that task with --task.",
            )
        return found

    def check_robot(self, robot: RobotSpec) -> None:
        """Refuse a robot of another interface than the pyramid was begun with.

        Raises:
            DataError: it has another.
        """
        assert self._mark is not None
        if self._mark.interface and self._mark.interface != robot.interface_hash():
            raise DataError(
                f"{self.folder} is a pyramid of robot {self._mark.robot} ({self._mark.interface}), these bags are of "
                f"{robot.id} ({robot.interface_hash()})",
                "Name another --output.",
            )
        if not self._mark.interface:
            self._mark = self._mark.model_copy(update={"robot": robot.id, "interface": robot.interface_hash()})
            self._keep_mark()

    def _keep_mark(self) -> None:
        assert self._mark is not None
        text = self._mark.model_dump_json(indent=1).encode() + b"\n"
        write_together({self.folder / MARK: lambda fresh: write_bytes(fresh, text)})

    def _tidy(self) -> None:
        """Put in order what an interrupted build left: a level that was being swapped gets its name back."""
        for path in sorted(self.folder.glob(f"{_OLD}*")):
            level = self.folder / path.name.removeprefix(_OLD)
            if level.exists():
                shutil.rmtree(path)
            else:
                path.rename(level)
        for path in self.folder.glob(f"{_NEW}*"):
            shutil.rmtree(path)

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, store: Store, built: Built, progress: Progress | None = None) -> None:
        """Put all levels in place, and the report; then let go of shards that nothing needs.

        Raises:
            DataError: the disk refuses; every level is either as it was or new, and whole.
        """
        try:
            changed = []
            for number, level in enumerate(built.levels, 1):
                if not self._same(level):
                    self._make(store, level)
                    changed.append(level)
                if progress is not None:
                    progress("writing levels", number, len(built.levels))
            for level in changed:
                self._swap(level.folder)
        except OSError as error:
            for path in self.folder.glob(f"{_NEW}*"):
                shutil.rmtree(path, ignore_errors=True)
            raise DataError(
                f"the levels could not be written to {self.folder} ({error})",
                "Free the disk and build again: what is there is whole, and bags that were read need no reading.",
            ) from error
        self._keep_report(built)
        store.keep_only(built.shards)

    def _same(self, level: Level) -> bool:
        """Whether the level that is there is the same dataset, and whole."""
        folder = self.folder / level.folder
        try:
            found = read_manifest(folder)
        except DataError:
            return False
        same = ("dataset_version", "left_out", "missing", "source")
        if any(getattr(found, name) != getattr(level.manifest, name) for name in same):
            return False
        if shards_of(found) != shards_of(level.manifest):
            return False  # its own would stay on the disk beside the others
        try:
            for name in shards_of(found):
                check_rows(folder / SHARDS / name, read_index(folder / SHARDS / name))
        except DataError:
            return False
        return True

    def _make(self, store: Store, level: Level) -> None:
        fresh = self.folder / f"{_NEW}{level.folder}"
        (fresh / SHARDS).mkdir(parents=True)
        for name in shards_of(level.manifest):
            target = fresh / SHARDS / name
            target.mkdir()
            for file in sorted((store.folder / name).iterdir()):
                _link(file, target / file.name)
            sync(target)
        text = level.manifest.model_dump_json(indent=1).encode() + b"\n"
        (fresh / FILE).write_bytes(text)
        for path in (fresh / FILE, fresh / SHARDS, fresh):
            sync(path)

    def _swap(self, name: str) -> None:
        """Put a new level in the place of the old one, at once."""
        fresh, level, old = self.folder / f"{_NEW}{name}", self.folder / name, self.folder / f"{_OLD}{name}"
        if not level.exists():
            fresh.rename(level)
        elif exchange(fresh, level):
            shutil.rmtree(fresh)
        else:
            level.rename(old)  # a kill right here is mended by the next build, see `_tidy`
            fresh.rename(level)
            shutil.rmtree(old)
        sync(self.folder)

    def _keep_report(self, built: Built) -> None:
        from xrollout_ros.learning.pyramid.report import lines_of, report_of

        report = json.dumps(report_of(built), indent=1, ensure_ascii=False).encode() + b"\n"
        lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines_of(built)).encode()
        history = self._history(built)
        write_together(
            {
                self.folder / EPISODES: lambda fresh: write_bytes(fresh, lines),
                self.folder / HISTORY: lambda fresh: write_bytes(fresh, history),
                self.folder / REPORT: lambda fresh: write_bytes(fresh, report),
            }
        )

    def _history(self, built: Built) -> bytes:
        """With this build, if it has changed something."""
        levels = tuple(
            LevelThen(
                level=level.number, dataset_version=level.manifest.dataset_version,
                episodes=len(level.manifest.episodes), training_rows=level.manifest.rows,
            )
            for level in built.levels
        )  # fmt: skip
        if not self._builds or self._builds[-1].levels != levels:
            self._builds.append(Build(at=built.levels[0].manifest.created_at, levels=levels))
        return "".join(build.model_dump_json() + "\n" for build in self._builds).encode()


def shards_of(manifest: Manifest) -> list[str]:
    """Names of the shards that a dataset needs."""
    return sorted({episode.shard for episode in manifest.episodes})


def _link(source: Path, target: Path) -> None:
    """A second name for a file that never changes; a copy where the disk knows no links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS):
            raise
        shutil.copyfile(source, target)
        sync(target)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders at once (Linux, ``renameat2``); False: the system cannot.

    Raises:
        OSError: the disk refuses.
    """
    library: Any = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    paths = (os.fsencode(one), os.fsencode(other))
    if library.renameat2(_AT_CWD, paths[0], _AT_CWD, paths[1], _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(one))
