"""The recipe of a pyramid: by which rules episodes rise, which gates they pass, how they are balanced. A document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import Field, ValidationError, model_validator

from xrollout_ros.core.document import Name, Strict
from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.core.resources import load_yaml, share_dir
from xrollout_ros.learning.augment.spec import AugmentSpec
from xrollout_ros.learning.frames import FRAME_NAMES, PRE_INTERVENTION_S
from xrollout_ros.learning.pyramid.conditions import Condition

FORMAT: Literal["xrollout.recipe"] = "xrollout.recipe"
LEVELS = (1, 2, 3, 4)
NAMES = {1: "raw", 2: "challenge", 3: "validated", 4: "expert synthesis"}
Level = Annotated[int, Field(ge=1, le=4)]
Share = Annotated[float, Field(ge=0, le=1)]
REMOVE = "remove"
"""Key by which a file takes a shipped rule or gate away: `{name: smooth, remove: true}`."""
_REMEDY = "`xrollout pyramid recipe` prints the one that is used without --recipe; docs/pyramid.md explains it."


class Rule(Strict):
    """Why an episode belongs into a level. One rule that holds is enough."""

    name: Name
    level: Annotated[int, Field(ge=2, le=4)]
    about: str = ""
    when: tuple[Condition, ...] = Field(min_length=1, description="all must hold")


class Gate(Condition):
    """What an episode must pass to be taken, once a rule holds."""

    name: Name
    about: str = ""
    exempt: tuple[Literal["recoveries", "demonstrations", "attempts"], ...] = Field(
        default=(), description="those of whom it is not asked"
    )


class Balance(Strict):
    """How much the episodes of a level weigh beside one another, and how many there may be."""

    demonstrations: Share = Field(default=0.5, description="least share of the weight that demonstrated rows have")
    cluster_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="most of the weight that the episodes of one failure mode have"
    )
    strata: Share = Field(
        default=0.5, description="1: starts weigh as many rows as they have, 0: all the same; between: in between"
    )
    failure_gain: Annotated[float, Field(ge=0, le=100)] = Field(
        default=1.0,
        description="the failure mode that costs most weighs so much more, others in proportion to what they cost",
    )
    modes: dict[Name, Annotated[float, Field(ge=0, le=100)]] = Field(
        default_factory=dict, description="weight by failure mode, in the place of what failure_gain makes of it"
    )
    most: Annotated[int, Field(ge=1)] | None = Field(default=None, description="episodes, at the most")
    most_per_cluster: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="episodes of one failure mode, at the most"
    )


class LevelRecipe(Strict):
    """One level."""

    filter: str = Field(description="stage that says which episodes are taken: all, successes, gates")
    gates: tuple[Gate, ...] = Field(default=(), description="of the filter `gates`")
    frames: tuple[str, ...] = Field(description="classes of rows that train, where the outcome allows it")
    balance: Balance | None = Field(default=Balance(), description="none: every row weighs the same")

    @model_validator(mode="after")
    def _check(self) -> LevelRecipe:
        from xrollout_ros.learning.pyramid.stages.filtering import FILTERS

        if self.filter not in FILTERS:
            raise ValueError(f"unknown filter {self.filter!r}; known are {', '.join(FILTERS)}")
        unknown = sorted(set(self.frames) - set(FRAME_NAMES))
        if unknown:
            raise ValueError(f"unknown frames {', '.join(unknown)}; known are {', '.join(FRAME_NAMES)}")
        _unique("gates", [gate.name for gate in self.gates])
        return self


class Recipe(Strict):
    """``recipe.yaml``; what a file does not name is as in the shipped one."""

    format: Literal["xrollout.recipe"] = FORMAT
    version: Literal[1] = 1
    name: Name
    pre_intervention_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=PRE_INTERVENTION_S, description="rows of the policy so shortly before an intervention never train"
    )
    rules: tuple[Rule, ...]
    levels: dict[Level, LevelRecipe]
    mutual_information: bool = Field(
        default=False, description="measure the score `mutual_information`, which some gates may ask for"
    )
    augment: AugmentSpec = Field(default=AugmentSpec(), description="how the data are varied while a policy trains")

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        _unique("rules", [rule.name for rule in self.rules])
        missing = sorted(set(LEVELS) - set(self.levels))
        if missing:
            raise ValueError(f"levels {missing} are missing")
        asked = {each.fact for level in self.levels.values() for each in level.gates}
        asked |= {each.fact for rule in self.rules for each in rule.when}
        if "mutual_information" in asked and not self.mutual_information:
            raise ValueError("a gate or rule asks for mutual_information: say `mutual_information: true`, too")
        return self

    def rules_of(self, level: int) -> tuple[Rule, ...]:
        """In the order in which they are tried."""
        return tuple(rule for rule in self.rules if rule.level == level)


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} named twice: {', '.join(twice)}")


def default_recipe() -> Recipe:
    """The shipped one.

    Raises:
        SpecError: it is missing.
    """
    return _recipe(load_yaml(shipped_recipe(), "recipe"), shipped_recipe())


def shipped_recipe() -> Path:
    """Its file.

    Raises:
        SpecError: nothing that is shipped was found.
    """
    return share_dir() / "config" / "recipes" / "default.yaml"


def load_recipe(path: Path) -> Recipe:
    """A recipe from a YAML file; what it does not name is as in the shipped one.

    Rules and gates of a name that is shipped are changed in place, others are added.

    Raises:
        SpecError: it cannot be read, or is not valid: naming each field.
    """
    given = load_yaml(path, "recipe")
    if not isinstance(given, dict):
        raise SpecError(f"recipe {path} is no mapping of names to values", _REMEDY)
    return changed_recipe(given, path)


def changed_recipe(given: dict[Any, Any], origin: Path) -> Recipe:
    """The shipped recipe with these changes, as a file of one's own would make them.

    Raises:
        SpecError: it is not valid then: naming each field.
    """
    given = dict(given)
    if isinstance(levels := given.get("levels"), dict):  # "4" is 4, so that what is shipped of it is kept
        given["levels"] = {int(key) if str(key).isdecimal() else key: value for key, value in levels.items()}
    shipped = load_yaml(shipped_recipe(), "recipe")
    assert isinstance(shipped, dict)
    return _recipe(merged(shipped, given), origin)


def _recipe(document: object, origin: Path) -> Recipe:
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise from_validation(error, "recipe", origin, _REMEDY, lambda location: _place(document, location)) from error


def _place(document: object, location: Sequence[int | str]) -> str:
    """Where in a recipe; rules and gates by name, since their places are those after merging."""
    parts: list[str] = []
    at: Any = document
    for part in location:
        try:
            at = at[part]
        except (KeyError, IndexError, TypeError):
            at = None
        named = isinstance(part, int) and isinstance(at, dict) and "name" in at
        parts.append(str(at["name"] if named else part))
    return ".".join(parts)


def merged(shipped: dict[Any, Any], given: dict[Any, Any]) -> dict[Any, Any]:
    """A recipe as it is written, with changes: sections one by one, rules and gates by name, other values as given."""
    found = dict(shipped)
    for name, value in given.items():
        before = shipped.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            found[name] = merged(before, value)
        elif _named(before) and _named(value):
            found[name] = _merged_by_name(before, value)
        else:
            found[name] = value
    return found


def _named(value: object) -> TypeGuard[list[dict[Any, Any]]]:
    return isinstance(value, list) and all(isinstance(each, dict) and "name" in each for each in value)


def _merged_by_name(shipped: list[dict[Any, Any]], given: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """Those shipped, as changed; then new ones. One that is given twice stays twice, which is refused later."""
    changes = {each["name"]: each for each in given}
    known = {each["name"] for each in shipped}
    found = [merged(each, changes.get(each["name"], {})) for each in shipped]
    seen: set[Any] = set()
    for each in given:
        if each["name"] not in known or each["name"] in seen:
            found.append(each)
        seen.add(each["name"])
    return [
        {key: value for key, value in each.items() if key != REMOVE} for each in found if each.get(REMOVE) is not True
    ]
