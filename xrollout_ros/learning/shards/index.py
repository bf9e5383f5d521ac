"""The index of a shard: which episodes its rows are of, and what was found out when their bags were read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from xrollout_ros.core.document import Strict
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.learning.shards.facts import Facts
from xrollout_ros.learning.shards.layout import INDEX
from xrollout_ros.learning.shards.manifest import Count, Digest

FORMAT: Literal["xrollout.shard"] = "xrollout.shard"


class Origin(Strict):
    """The bag that an episode's rows were read from, as it was then, and by what they were judged."""

    bytes: Count
    mtime_ns: Count = Field(description="of its metadata.yaml")
    facts: str = Field(description="version of what is measured, and of the TaskSpec that it is measured by")


class Held(Strict):
    """One episode of a shard."""

    meta: EpisodeMeta = Field(description="as the bag has it")
    origin: Origin
    first: Count = Field(description="its first row")
    rows: Annotated[int, Field(ge=1)]
    digests: dict[str, Digest] = Field(description="of its rows of each array")
    robot: Count = Field(description="place in the index's robots")
    task: Count | None = Field(description="place in the index's tasks")
    facts: Facts


class Index(Strict):
    """``shards/<name>/index.json``."""

    format: Literal["xrollout.shard"] = FORMAT
    version: Literal[1] = 1
    rows: Annotated[int, Field(ge=1)]
    cameras: dict[str, tuple[int, int]] = Field(default_factory=dict, description="height and width, by name")
    robots: tuple[RobotSpec, ...]
    tasks: tuple[TaskSpec, ...]
    episodes: tuple[Held, ...] = Field(min_length=1)


def read_index(folder: Path) -> Index:
    """The index of a shard's folder.

    Raises:
        DataError: there is none, or it is damaged or of another version.
    """
    path = folder / INDEX
    try:
        return Index.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        what = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
        raise DataError(f"{path} is no index of a shard ({what})", "Build the pyramid again.") from error
