"""Finds out what of a data folder has changed since the catalog last looked, without opening a bag."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from xrollout_ros.core.clock import NS
from xrollout_ros.episodes.catalog.live import Reading
from xrollout_ros.episodes.rosbag2 import METADATA_FILE

RACY_NS = NS
"""What was changed so short a time ago may have been changed once more since, at the same time by its stamp."""

AGAIN = 0
"""The time of a folder that is to be looked at again in any case."""


class State(NamedTuple):
    """A bag as the catalog knows it."""

    bytes: int
    mtime_ns: int
    readable: bool


class Known:
    """What a catalog knows of the disk, folder by folder. All paths are below the data folder, itself the empty one."""

    def __init__(self, reading: Reading) -> None:
        """
        Args:
            reading: of its store, which must last as long as this is used.
        """
        self.folders: dict[str, int] = dict(reading.rows("SELECT path, mtime_ns FROM folders"))
        """When each folder of bags was changed last, ns."""
        self._reading = reading
        self._states: dict[str, dict[str, State]] = {}

    def right_in(self, folder: str) -> Mapping[str, State]:
        """The bags whose folders lie right in this one."""
        if folder not in self._states:
            test, values = _right_in(folder)
            self._states[folder] = {
                path: State(size, mtime_ns, readable)
                for table, readable in (("problems", False), ("episodes", True))
                for path, size, mtime_ns in self._reading.rows(
                    f"SELECT path, bytes, mtime_ns FROM {table} WHERE {test}", values
                )
            }
        return self._states[folder]

    def bag(self, path: str) -> State | None:
        """A bag; None: it is not known."""
        return self.right_in(path.rpartition("/")[0]).get(path)


def _right_in(folder: str) -> tuple[str, tuple[object, ...]]:
    if not folder:
        return "instr(path, '/') = 0", ()
    begin = f"{folder}/"
    # The character after the slash is 0: what lies between is found by the index.
    return "path > ? AND path < ? AND instr(substr(path, ?), '/') = 0", (begin, f"{folder}0", len(begin) + 1)


def folders_above(path: str) -> list[str]:
    """All folders that a bag lies in, the data folder last."""
    above = []
    while path:
        path = path.rpartition("/")[0]
        above.append(path)
    return above


@dataclass
class Changes:
    """What is to be done."""

    look: list[str] = field(default_factory=list)
    """Bags to be read."""
    gone: list[str] = field(default_factory=list)
    """Bags that are no longer there."""
    folders: dict[str, int] = field(default_factory=dict)
    """Times of folders to be remembered: looked at before them, so that what comes meanwhile is seen next time."""
    forget: list[str] = field(default_factory=list)
    """Folders that are gone, or have become bags."""
    open: list[str] = field(default_factory=list)
    """Bags that are being recorded."""


def changes(data: Path, known: Known, now_ns: int, *, every: bool = False) -> Changes:
    """What has changed.

    Args:
        data: the data folder.
        known: what the catalog knows.
        now_ns: wall-clock time.
        every: look at every bag's size and time, and into every folder; else only into folders that were changed.
    """
    found = Changes()
    _Walk(data, known, now_ns - RACY_NS, every, found).folder("")
    return found


class _Walk:
    def __init__(self, data: Path, known: Known, settled_ns: int, every: bool, found: Changes) -> None:
        self._data, self._known, self._every, self._found = data, known, every, found
        self._settled_ns = settled_ns
        self._folders_below = _by_parent(path for path in known.folders if path)

    def folder(self, path: str) -> None:
        """A folder that is no bag, as far as is known."""
        try:
            mtime_ns = (self._data / path).stat().st_mtime_ns
        except OSError:
            return
        if not self._every and self._known.folders.get(path) == mtime_ns:
            for each in self._folders_below[path]:
                self.folder(each)
            return
        before_open = len(self._found.open)
        children = self._children(path)
        if children is None:
            return
        there = set(children)
        for child in children:
            self._child(child)
        self._found.gone += [each for each in self._known.right_in(path) if each not in there]
        for each in self._folders_below[path]:
            if each not in there:
                self._gone_folder(each)
        # A bag that is closed later does not change its folder's time, and a file system's clock is a coarse one.
        settled = len(self._found.open) == before_open and mtime_ns <= self._settled_ns
        self._found.folders[path] = mtime_ns if settled else AGAIN

    def _children(self, path: str) -> list[str] | None:
        """Folders right in one; None: it cannot be listed. Links are not followed: they may lead back here."""
        prefix = f"{path}/" if path else ""
        try:
            with os.scandir(self._data / path) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".") and _is_text(entry.name) and entry.is_dir(follow_symlinks=False)
                ]
        except OSError:
            return None
        return [prefix + name for name in sorted(names)]

    def _child(self, path: str) -> None:
        from xrollout_ros.episodes.store import being_written

        known = self._known.bag(path)
        if known is not None and known.readable and not self._every:
            return
        try:
            files = {entry.name: entry.stat() for entry in os.scandir(self._data / path) if entry.is_file()}
        except FileNotFoundError:
            return
        except OSError:
            if known is None:
                self._found.look.append(path)  # which says why it cannot be read
            return
        metadata = files.get(METADATA_FILE)
        if metadata is None and not any(name.endswith(".mcap") for name in files):
            if known is not None:
                self._found.gone.append(path)
            self.folder(path)
        elif metadata is None and being_written(self._data / path):
            self._found.open.append(path)
        else:
            size, mtime_ns = sum(each.st_size for each in files.values()), metadata.st_mtime_ns if metadata else 0
            if known is None or (known.bytes, known.mtime_ns) != (size, mtime_ns):
                self._found.look.append(path)
            if path in self._known.folders:
                self._found.forget.append(path)

    def _gone_folder(self, path: str) -> None:
        self._found.forget.append(path)
        self._found.gone += self._known.right_in(path)
        for each in self._folders_below[path]:
            self._gone_folder(each)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False
    return True


def _by_parent(paths: Iterable[str]) -> defaultdict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[path.rpartition("/")[0]].append(path)
    return found
