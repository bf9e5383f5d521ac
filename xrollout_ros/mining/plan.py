"""The collection plan: which failure to collect for, from which starts, how many demonstrations, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from xrollout_ros.core.document import Finite, Strict
from xrollout_ros.core.errors import DataError, first_problem
from xrollout_ros.core.files import write_texts

FORMAT: Literal["xrollout.collection_plan"] = "xrollout.collection_plan"
VERSION = 1
_MAKE_ONE = "`xrollout mine --output plan.json` makes one."
UNSURE = "unsure"
"""The target of a plan whose starts were chosen by the policy's scores there, not by failures."""
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
EpisodeId = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
"""A ULID; bags that others wrote may have other ids."""
Caution = Literal[
    "already_succeeds",  # attempts from these starts succeed nearly always
    "plateaued",  # demonstrations were added, and the mode did not get rarer
    "demonstrated_already",  # most of these starts lie where demonstrations lie
    "no_demonstration_helps",  # the mode is none of the policy's making
    "not_judged",  # nobody said why these attempts failed
    "few_failures",
    "few_starts",  # fewer starts than demonstrations were asked for
    "starts_not_known",  # the TaskSpec names nothing that describes a start
    "no_seed",  # a simulated start cannot be made again
    "unknown_outcomes",
    "unreadable_bags",
    "not_attempted",  # starts chosen by scores: whether it would fail there, nobody knows
]


class PlanWarning(Strict):
    """What to think of before collecting."""

    kind: Caution
    text: str


class Interval(Strict):
    """A share of attempts with its Wilson interval."""

    count: Count
    attempts: Count
    low: Share
    high: Share


class Target(Strict):
    """The failures that are collected for; or ``UNSURE``, starts at which nobody has seen it fail."""

    mode: str
    meaning: str
    cluster: int | None = Field(description="number inside the mode, as `xrollout mine` lists it; none: unclustered")
    stability: Share | None = Field(description="of the cluster")
    medoid: EpisodeId | Literal[""] = Field(
        description="the most typical failure: the one to look at; empty: there is none"
    )
    members: tuple[EpisodeId, ...] = Field(description="the failures; none: starts were chosen by scores")


class Evidence(Strict):
    """Why this target."""

    success: Interval = Field(description="of all attempts that were looked at")
    frequency: Interval = Field(description="of the target among them; also the most that success can rise")
    severity: Share
    score: Share = Field(description="lower bound of the frequency × severity; what the groups are ranked by")
    around: Interval | None = Field(description="success among the attempts that began nearest to the chosen starts")
    near_demonstrations: Interval | None = Field(description="success of attempts that began near a demonstration")
    far_from_demonstrations: Interval | None
    course: str = Field(description="how the mode's frequency changed from policy to policy")
    confidence: Share


class StartValue(Strict):
    """One number of a start, as it was observed first."""

    observation: str
    label: str
    value: Finite
    unit: str


class PlannedStart(Strict):
    """A start to demonstrate from."""

    number: Annotated[int, Field(ge=1)]
    episode_id: EpisodeId | Literal[""] = Field(
        description="of the attempt that failed from it; chosen by scores: that began from it, empty: none has"
    )
    start: str = Field(description="named start distribution")
    seed: int | None = Field(description="with `start` the very same start, where the robot is simulated")
    values: tuple[StartValue, ...] = Field(description="to place things by, where it is not")
    failed_at_s: float | None
    evidence: str
    from_demonstrations: Annotated[float, Field(ge=0)] | None = Field(
        description="distance to the nearest demonstrated start; 1: the widest axis of all starts"
    )
    novelty: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="the most up to the failure; 1: as unlike as one in a hundred states of demonstrations",
    )
    novel_since_s: float | None = Field(default=None, description="when it first was above 1")
    unsure: Share | None = Field(
        default=None, description="chosen by scores: mean share of the candidates that the policy is surer of"
    )
    demonstrations: Annotated[int, Field(ge=1)] = 1


class CollectionPlan(Strict):
    """What to collect next; ``xrollout mine --output plan.json``."""

    format: Literal["xrollout.collection_plan"] = FORMAT
    version: Literal[1] = 1
    plan_id: Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")] = Field(description="ULID")
    created_at: str = Field(description="ISO 8601, UTC")
    software_version: str
    data: str
    task: str
    robot: str
    scene: str
    simulated: bool
    policies: tuple[str, ...]
    target: Target
    evidence: Evidence
    starts: tuple[PlannedStart, ...] = Field(min_length=1)
    demonstrations: Annotated[int, Field(ge=1)] = Field(description="in all")
    rule: str = Field(description="why so many")
    warnings: tuple[PlanWarning, ...]


def write_plan(plan: CollectionPlan, path: Path) -> None:
    """Write it as JSON, whole or not at all.

    Raises:
        DataError: the disk refuses.
    """
    write_texts({path: plan.model_dump_json(indent=2) + "\n"})


def read_plan(path: Path) -> CollectionPlan:
    """Read what :func:`write_plan` wrote.

    Raises:
        DataError: there is none, it is damaged, or a newer version made it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the plan {path} cannot be read ({error})", _MAKE_ONE) from error
    try:
        return CollectionPlan.model_validate_json(text)
    except ValidationError as error:
        if any(item["loc"] == ("version",) for item in error.errors()):
            raise DataError(
                f"the plan {path} has another version than {VERSION}", "Make it again with `xrollout mine`."
            ) from error
        raise DataError(f"{path} is no collection plan: {first_problem(error)}", _MAKE_ONE) from error
