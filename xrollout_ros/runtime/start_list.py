"""An explicit list of starts: what a run's attempts begin with, one after the other, instead of seeds that count up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError, model_validator

from xrollout_ros.core.document import Name, Strict
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec

LIST, NUMBER, POLICY_SEED = "start_list", "start_number", "policy_seed"
"""Where an episode's parameters say which list it was made from, at which number, and with which randomness of the
policy where that is not the seed of its start."""
FORMAT: Literal["xrollout.starts"] = "xrollout.starts"
REMEDY = "docs/collecting.md shows a list of starts; in one line it is start:seed,start:seed, e.g. wide:1006,nominal:3."
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr


class ListedStart(Strict):
    """One attempt to make."""

    start: Name = Field(description="named start distribution of the task")
    seed: Seed | None = Field(
        default=None, description="with `start` the very same start, where the robot is simulated"
    )
    policy_seed: Seed | None = Field(default=None, description="of the policy's randomness; none: `seed`")
    number: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="by which it is known; none: its place"
    )
    model: str = Field(default="", description="checkpoint of the policy that drives it; empty: the run's")
    tags: tuple[Annotated[str, Field(min_length=1, pattern=r"^[^,\x00-\x1f\x7f]+$")], ...] = ()
    parameters: dict[Name, Scalar] = Field(default_factory=dict, description="kept with the episode")


class StartList(Strict):
    """A document like this, or only the list under ``starts``, is what ``starts:=FILE.json`` names."""

    format: Literal["xrollout.starts"] = FORMAT
    version: Literal[1] = 1
    list_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = Field(
        default="", description="what a resumed run knows the list by; empty: a hash of the starts"
    )
    tags: tuple[str, ...] = Field(default=(), description="of all their episodes")
    parameters: dict[Name, Scalar] = Field(default_factory=dict, description="kept with all their episodes")
    starts: tuple[ListedStart, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, document: Any) -> Any:
        return {"starts": document} if isinstance(document, list) else document

    @model_validator(mode="after")
    def _check(self) -> StartList:
        seen: dict[int, int] = {}
        for place, number in enumerate(self.numbers, 1):
            if number in seen:
                raise ValueError(f"starts {seen[number]} and {place} have the same number {number}")
            seen[number] = place
        return self

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def numbers(self) -> tuple[int, ...]:
        """By which each is known."""
        return tuple(each.number or place for place, each in enumerate(self.starts, 1))

    @property
    def id(self) -> str:
        """What a resumed run knows the list by."""
        if self.list_id:
            return self.list_id
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def without(self, numbers: Collection[int]) -> StartList | None:
        """The same list, but for these numbers; None: none is left."""
        left = [
            each.model_copy(update={"number": number})
            for each, number in zip(self.starts, self.numbers, strict=True)
            if number not in numbers
        ]
        return self.model_copy(update={"list_id": self.id, "starts": tuple(left)}) if left else None

    def parameters_of(self, place: int) -> dict[str, Any]:
        """What is kept with the episode of the start at this place, counted from 0."""
        chosen, number = self.starts[place], self.numbers[place]
        # Without any seed the attempts of a policy would all have the same randomness.
        noise = number if chosen.seed is None and chosen.policy_seed is None else chosen.policy_seed
        seeded = {} if noise is None else {POLICY_SEED: noise}
        return {**self.parameters, **chosen.parameters, **seeded, LIST: self.id, NUMBER: number}

    def check(self, task: TaskSpec, robot: RobotSpec, origin: str) -> None:
        """Whether the robot can be put to each of them.

        Raises:
            SpecError: naming the first that it cannot.
        """
        for place, each in enumerate(self.starts, 1):
            if each.start not in task.starts:
                raise SpecError(
                    f"start {place} of {origin}: task {task.id!r} has no start {each.start!r}",
                    f"It has {', '.join(sorted(task.starts))}.",
                )
            if robot.sim is not None and each.seed is None:
                raise SpecError(
                    f"start {place} of {origin} has no seed, so robot {robot.id!r} cannot be put there",
                    "A simulated robot needs `seed`; only a real one is put to its start by people.",
                )


def parse_starts(text: str) -> StartList:
    """The list in one line: ``start:seed,start:seed``; a real robot needs no seeds.

    Raises:
        SpecError: an entry is wrong; the message names it.
    """
    words = [word.strip() for word in text.split(",")]
    return starts_from([_inline(word) for word in words], repr(text if len(text) <= 80 else text[:77] + "…"))


def read_json(path: Path, what: str) -> Any:
    """What a JSON file holds.

    Raises:
        SpecError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{what} {path} cannot be read ({error})", REMEDY) from error
    except ValueError as error:
        raise SpecError(f"{what} {path} is not JSON: {error}", REMEDY) from error


def starts_from(document: Any, origin: str) -> StartList:
    """A list of starts out of what a file holds.

    Args:
        document: as JSON gives it.
        origin: where it comes from, for errors.

    Raises:
        SpecError: an entry is wrong; the message names it.
    """
    try:
        return StartList.model_validate(document)
    except ValidationError as error:
        lines = []
        wrong = error.errors(include_url=False)
        # Where entries are wrong pydantic says of the list, too, that it is too short.
        for item in [each for each in wrong if each["type"] != "too_short"] or wrong:
            value = item.get("input")
            shown = f" (value {value!r})" if not isinstance(value, (dict, list)) else ""
            lines.append(f"{_where(item['loc'])}{shown}: {item['msg'].removeprefix('Value error, ')}")
        raise SpecError(f"the list of starts {origin} is not valid: " + "; ".join(lines), REMEDY) from error


def _where(location: tuple[int | str, ...]) -> str:
    if len(location) > 1 and location[0] == "starts" and isinstance(location[1], int):
        rest = ".".join(map(str, location[2:]))
        return f"start {location[1] + 1}" + (f", {rest}" if rest else "")
    return ".".join(map(str, location)) or "the whole list"


def _inline(word: str) -> Mapping[str, object]:
    """``wide:1006``, or ``table`` for a real robot."""
    start, colon, seed = word.partition(":")
    return {"start": start, "seed": seed} if colon else {"start": start}
