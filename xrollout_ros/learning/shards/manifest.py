"""The manifest of a training dataset: episodes, spans, weights, recipe and content hash; immutable once written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from xrollout_ros.core.document import Strict
from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.core.errors import DataError, first_problem
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.learning.frames import FRAME_NAMES, Frame

FORMAT: Literal["xrollout.dataset"] = "xrollout.dataset"
VERSION = 1
FILE = "manifest.json"
SHARDS = "shards"
MAKE_ONE = "`xrollout pyramid build --raw-data raw_rollouts --output pyramid` makes one."
Count = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Span(Strict):
    """Consecutive rows of one class."""

    begin: Count = Field(description="first row, of the episode")
    end: Annotated[int, Field(ge=1)] = Field(description="first row that is no more of it")
    frame: str = Field(description=f"class of its rows: {', '.join(FRAME_NAMES)}")
    trains: bool = Field(description="whether a policy imitates these rows")

    @model_validator(mode="after")
    def _check(self) -> Span:
        if self.frame not in FRAME_NAMES:
            raise ValueError(f"frame {self.frame!r}; allowed are {', '.join(FRAME_NAMES)}")
        if self.end <= self.begin:
            raise ValueError(f"span [{self.begin}, {self.end}) is empty")
        return self

    @property
    def kind(self) -> Frame:
        """Its class."""
        return Frame[self.frame.upper()]


class DatasetEpisode(Strict):
    """One episode of a dataset: where its rows lie, which of them train, how much they weigh, and why it is here."""

    episode_id: str
    kind: EpisodeKind
    start: str
    seed: int | None = None
    outcome: Outcome = Field(description="as it held when the dataset was made")
    outcome_basis: str = Field(default="", description="what the outcome rests on")
    policy_id: str = ""
    operator: str = ""
    shard: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(description="folder below `shards`")
    first: Count = Field(description="its first row in the shard")
    rows: Annotated[int, Field(ge=1)]
    digest: Digest = Field(description="SHA-256 of its rows in the shard")
    spans: tuple[Span, ...] = Field(description="all rows in order, without gaps")
    weight: Weight = Field(default=1.0, description="how much each of its rows counts beside those of others")
    level: Annotated[int, Field(ge=1, le=4)] = Field(description="of the pyramid, the highest that it reached")
    stratum: str = Field(default="", description="group that is balanced against others, e.g. task and start")
    cluster: str = Field(default="", description="failure mode that it was collected for or shows; empty: none")
    difficulty: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="of its start: share of attempts from around there that fail; none: not known"
    )
    why: str = Field(description="the rule or reviewer that put it here, and by what figures")

    @model_validator(mode="after")
    def _check(self) -> DatasetEpisode:
        row = 0
        for span in self.spans:
            if span.begin != row:
                raise ValueError(f"episode {self.episode_id}: spans leave a gap or overlap at row {row}")
            row = span.end
        if row != self.rows:
            raise ValueError(f"episode {self.episode_id}: spans cover {row} of {self.rows} rows")
        return self

    @property
    def trained_rows(self) -> int:
        """Rows that a policy imitates."""
        return sum(span.end - span.begin for span in self.spans if span.trains)


class Manifest(Strict):
    """What a training dataset is; ``levelN/manifest.json``."""

    format: Literal["xrollout.dataset"] = FORMAT
    version: Literal[1] = 1
    name: str
    level: Annotated[int, Field(ge=1, le=4)] | None = None
    task: str = Field(description="TaskSpec id")
    robot: RobotSpec
    cameras: dict[str, tuple[int, int]] = Field(default_factory=dict, description="height and width as kept, by name")
    recipe: dict[str, Any] = Field(description="by what rules it was made")
    episodes: tuple[DatasetEpisode, ...] = Field(description="in order of id")
    left_out: dict[str, int] = Field(default_factory=dict, description="number of episodes by reason")
    missing: str = Field(default="", description="why nothing in it trains, and what is missing; empty: something does")
    source: str = Field(default="", description="data folder that it was made from")
    dataset_version: Digest = Field(description="SHA-256 of task, robot, recipe and episodes: the content hash")
    software_version: str
    created_at: str = Field(description="ISO 8601, UTC")

    @property
    def rows(self) -> int:
        """Rows that a policy imitates."""
        return sum(episode.trained_rows for episode in self.episodes)


def content_hash(
    name: str,
    task: str,
    robot: RobotSpec,
    cameras: dict[str, tuple[int, int]],
    recipe: dict[str, Any],
    episodes: tuple[DatasetEpisode, ...],
) -> str:
    """The same for the same data and recipe, wherever, whenever and in whichever shards they lie."""
    told = [each.model_dump(mode="json", exclude={"shard", "first"}) for each in episodes]
    document = [name, task, robot.model_dump(mode="json"), cameras, recipe, told]
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds a dataset, and no bags."""
    return (folder / FILE).is_file()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a dataset folder; its content hash is checked.

    Raises:
        DataError: there is none, it is damaged, was altered, or a newer version made it.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the dataset {folder} cannot be read ({error})", MAKE_ONE) from error
    try:
        found = Manifest.model_validate_json(text)
    except ValidationError as error:
        if any(item["loc"] == ("version",) for item in error.errors()):
            raise DataError(f"{path} has another version than {VERSION}", "Build the pyramid again.") from error
        raise DataError(f"{path} is no manifest of a dataset: {first_problem(error)}", MAKE_ONE) from error
    content = content_hash(found.name, found.task, found.robot, found.cameras, found.recipe, found.episodes)
    if content != found.dataset_version:
        raise DataError(
            f"{path} was altered: its content has the hash {content[:12]}…, it says {found.dataset_version[:12]}…",
            "A dataset is never changed: build the pyramid again.",
        )
    return found
