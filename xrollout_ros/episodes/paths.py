"""Where bags lie: ``<data>/<day>/<time>_<task>_<ULID>/``, discarded ones in ``<data>/.trash``.

The name of a clip's folder says so: ``<time>_<task>_clip_<ULID>``.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from xrollout_ros.core.errors import BagError
from xrollout_ros.core.ids import check_id

if TYPE_CHECKING:
    from xrollout_ros.core.episode import EpisodeMeta

DEFAULT_DATA = "raw_rollouts"
TRASH = ".trash"
TORN = ".torn"
"""Where the originals of repaired bags are kept."""
JOURNAL = "journal.jsonl"


def data_dir(given: str | Path | None = None) -> Path:
    """The data folder: the one given, else ``XROLLOUT_DATA``, else ``./raw_rollouts``."""
    return Path(given or os.environ.get("XROLLOUT_DATA") or DEFAULT_DATA).expanduser()


def writable_data_dir(given: str | Path | None = None) -> Path:
    """The data folder as a full path, which is there and may be written, or can be made. Nothing is made.

    Raises:
        BagError: naming what is in the way.
    """
    data = data_dir(given).resolve()
    place = next(folder for folder in (data, *data.parents) if folder.exists())
    remedy = "Give a folder that can be written with data:=FOLDER or XROLLOUT_DATA."
    if not place.is_dir():
        raise BagError(f"the data folder {data} cannot be: {place} is a file", remedy)
    if not os.access(place, os.W_OK | os.X_OK):
        raise BagError(f"the data folder {data} cannot be written: {place} does not allow it", remedy)
    return data


def episode_dir(data: Path, meta: EpisodeMeta) -> Path:
    """The folder of an episode; its name sorts by time (UTC) and ends in the id.

    Raises:
        BagError: ``started_at`` is no ISO 8601 time.
        SpecError: the id is no ULID.
    """
    from xrollout_ros.core.episode import EpisodeKind  # and with it pydantic, which few that ask for a folder need

    try:
        # Python 3.10 does not know the Z of ISO 8601.
        started = datetime.fromisoformat(meta.started_at.replace("Z", "+00:00")).astimezone(timezone.utc)
    except ValueError as error:
        raise BagError(
            f"started_at {meta.started_at!r} of the episode is no time",
            "Give ISO 8601, e.g. 2026-01-31T12:00:00+00:00.",
        ) from error
    task = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in meta.task) or "no_task"
    clip = "clip_" if meta.kind is EpisodeKind.CLIP else ""
    return data / f"{started:%Y-%m-%d}" / f"{started:%H%M%S}_{task}_{clip}{check_id(meta.episode_id)}"


def disk_free(data: Path) -> int:
    """Bytes left on the disk of the data folder, which need not be there yet."""
    place = data
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def discard(data: Path, bag: Path) -> Path:
    """Move a closed bag to the trash, from where a person can take it back.

    Returns:
        Where it lies now.

    Raises:
        BagError: it cannot be moved.
    """
    target = data / TRASH / bag.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise FileExistsError(f"{target} exists already")
        bag.rename(target)
    except OSError as error:
        raise BagError(
            f"the bag {bag} cannot be moved to the trash ({error})",
            f"Check {target.parent}; the bag stays where it is.",
        ) from error
    return target
