"""Opens a pyramid that is there: whose it is, and what its last build had to say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from xrollout_ros.core.document import Strict
from xrollout_ros.core.errors import DataError, first_problem
from xrollout_ros.learning.shards.manifest import read_manifest

MARK, REPORT, EPISODES, HISTORY = "pyramid.json", "report.json", "episodes.jsonl", "history.jsonl"
MAKE_ONE = "`xrollout pyramid build --raw-data raw_rollouts --output pyramid` makes one."


class Mark(Strict):
    """``pyramid.json``: says that a folder is a pyramid, and of what."""

    format: Literal["xrollout.pyramid"] = "xrollout.pyramid"
    version: Literal[1] = 1
    task: str
    robot: str = ""
    interface: str = ""


class LevelThen(Strict):
    """A level as a build left it."""

    level: int
    dataset_version: str
    episodes: int
    training_rows: int


class Build(Strict):
    """A build that changed something: a line of ``history.jsonl``."""

    at: str = Field(description="ISO 8601, UTC")
    levels: tuple[LevelThen, ...]


def read_history(folder: Path) -> list[Build]:
    """Builds that changed something, oldest first; none where nothing was kept of them.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / HISTORY
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "Mend its rights.") from error
    try:
        return [Build.model_validate_json(line) for line in text.splitlines()]
    except ValidationError as error:
        raise DataError(
            f"{path} is no history of a pyramid: {first_problem(error)}",
            "Move it away: the levels do not need it, and the next build begins another.",
        ) from error


def read_mark(folder: Path) -> Mark | None:
    """What a folder says it is a pyramid of; None: it is none.

    Raises:
        DataError: a newer version made it, or it is damaged.
    """
    try:
        text = (folder / MARK).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{folder / MARK} cannot be read ({error})", "Mend its rights.") from error
    try:
        return Mark.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{folder / MARK} is no mark of a pyramid", "Name another --output, or delete it.") from error


def read_report(folder: Path) -> dict[str, Any]:
    """What the last build of a pyramid had to say.

    Raises:
        DataError: there is no pyramid, or its report is damaged or of a build that was interrupted.
    """
    _refuse_others(folder)
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        levels = {str(level["folder"]): str(level["dataset_version"]) for level in report["levels"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the report of the pyramid {folder} cannot be read ({error!r})", "Build it again.") from error
    other = [name for name, version in levels.items() if read_manifest(folder / name).dataset_version != version]
    if other:
        raise DataError(
            f"{', '.join(other)} of the pyramid {folder} is newer than its report: a build was interrupted",
            "Build it again; what it had done needs not be done again.",
        )
    return dict(report)


def read_episodes(folder: Path) -> Iterator[dict[str, Any]]:
    """What the last build made of each episode.

    Raises:
        DataError: there is no pyramid, or the file is damaged.
    """
    _refuse_others(folder)
    try:
        for line in (folder / EPISODES).read_text(encoding="utf-8").split("\n"):
            if line:
                yield dict(json.loads(line))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / EPISODES} cannot be read ({error})", "Build the pyramid again.") from error


def _refuse_others(folder: Path) -> None:
    if read_mark(folder) is None:
        raise DataError(f"{folder} is no pyramid", MAKE_ONE)
