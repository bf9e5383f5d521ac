"""Finds the episodes of a data folder by their metadata; no message is read."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.manifest import manifest_as_written

Progress = Callable[[int, int], None]
"""Told how many of how many are done."""
TORN = f"torn: it has no {rosbag2.METADATA_FILE}"
"""The problem of a bag whose recorder was killed."""
RECORDED = "it is being recorded"
"""The problem of a bag that is not closed yet."""
_ID_LENGTH = 26


@dataclass(frozen=True)
class EpisodeEntry:
    """One bag of a data folder."""

    path: Path
    """Its folder."""
    bytes: int
    """Size of its files."""
    meta: EpisodeMeta | None
    """None where there is a problem."""
    problem: str = ""
    """Why it cannot be read as an episode; empty: it can."""


def find_episodes(data: Path, progress: Progress = lambda done, total: None) -> list[EpisodeEntry]:
    """All bags under ``data``, oldest first; torn and foreign ones too, each with its problem.

    Hidden folders, and so the trash, are left out.

    Args:
        data: the data folder.
        progress: told how many of how many are looked at.

    Raises:
        DataError: the folder is not there.
    """
    check_data(data)
    folders, entries = list(bags_below(data)), []
    for number, folder in enumerate(folders):
        progress(number, len(folders))
        entries.append(entry_of(folder))
    return sorted(entries, key=lambda entry: (entry.meta.started_at if entry.meta else "", entry.path))


def check_data(data: Path) -> None:
    """Make sure that there is a data folder.

    Raises:
        DataError: there is none.
    """
    if not data.is_dir():
        raise DataError(
            f"the data folder {data} is not there",
            "Give the folder that was recorded to (`--data`, XROLLOUT_DATA), or record first.",
        )


def bags_below(data: Path) -> Iterator[Path]:
    """Folders of bags, closed or not; hidden ones, and so the trash, are left out."""
    for folder, below, files in os.walk(data):
        if rosbag2.METADATA_FILE in files or any(name.endswith(".mcap") for name in files):
            below.clear()
            yield Path(folder)
        else:
            below[:] = [name for name in below if not name.startswith(".")]


def _size(file: Path) -> int:
    """Bytes; 0 of what is no file, or is gone since it was seen: a bag that is being closed puts files in place."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def entry_of(folder: Path) -> EpisodeEntry:
    """What one folder holds that is, or should be, a bag."""
    size = sum(map(_size, folder.iterdir()))
    meta, problem = None, ""
    if not (folder / rosbag2.METADATA_FILE).is_file():
        problem = RECORDED if being_written(folder) else TORN
    else:
        try:
            known = manifest_as_written(folder)
            meta = (
                known.meta if known else rosbag2.episode_of(rosbag2.custom_data(rosbag2.read_metadata(folder)), folder)
            )
        except BagError as error:
            problem = error.what
    return EpisodeEntry(folder, size, meta, problem)


def torn_bags(data: Path) -> list[Path]:
    """Folders under ``data`` whose recorder was killed; none that is still being written, and none of the trash.

    Nothing is parsed, so this is quick in a folder of many bags.
    """
    return sorted(
        folder
        for folder in bags_below(data)
        if not (folder / rosbag2.METADATA_FILE).is_file() and not being_written(folder)
    )


def being_written(folder: Path) -> bool:
    """Whether a writer holds one of the folder's files (it does so until the bag is closed, or it dies)."""
    for path in folder.glob("*.mcap"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def find_episode(data: Path, id_or_prefix: str) -> EpisodeEntry:
    """The one episode whose id is, begins or ends with ``id_or_prefix`` (ULIDs of one day begin alike).

    Raises:
        DataError: there is none, or several.
    """
    wanted = id_or_prefix.upper()
    named = _by_folder(data, wanted)
    if named is not None:
        return named
    known = [(entry.meta.episode_id, entry) for entry in find_episodes(data) if entry.meta is not None]
    matches = [(name, entry) for name, entry in known if wanted and (name.startswith(wanted) or name.endswith(wanted))]
    matches = [match for match in matches if match[0] == wanted] or matches
    if not matches:
        raise DataError(
            f"no episode of {data} has an id like {id_or_prefix!r} ({len(known)} looked at)",
            "`xrollout episodes list` shows those there are.",
        )
    if len(matches) > 1:
        shown = ", ".join(name for name, _ in matches[:8]) + (", …" if len(matches) > 8 else "")
        raise DataError(f"{id_or_prefix!r} fits {len(matches)} episodes: {shown}", "Give more of the id.")
    return matches[0][1]


def _by_folder(data: Path, episode_id: str) -> EpisodeEntry | None:
    """The episode whose folder is named after this whole id: a look at names instead of at every bag."""
    if len(episode_id) != _ID_LENGTH or not data.is_dir():
        return None
    for folder in bags_below(data):
        if folder.name.endswith(episode_id):
            entry = entry_of(folder)
            if entry.meta is not None and entry.meta.episode_id == episode_id:
                return entry
    return None
