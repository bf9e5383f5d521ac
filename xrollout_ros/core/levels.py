"""Environment levels: how near to production a robot is. Limits get tighter from level to level."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from xrollout_ros.core.document import Strict
from xrollout_ros.core.errors import SpecError

Level = Literal["L0", "L1", "L2", "L3", "L4"]
LEVELS: tuple[Level, ...] = get_args(Level)
MEANING: dict[Level, str] = {
    "L0": "simulation",
    "L1": "test stand: nobody in reach, a person at the stop",
    "L2": "lab: things as in production, supervised",
    "L3": "pilot: in production's place, watched",
    "L4": "production",
}
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class LevelSpec(Strict):
    """How much of the RobotSpec's limits holds at a level."""

    speed: Share = Field(default=1.0, description="share of each limit of speed, acceleration and jerk")
    force: Share = Field(default=1.0, description="share of the force limit")
    alarms: Literal["log", "hold", "recover", "abort"] = Field(
        default="log", description="what an alarm leads to at least; log: as the RobotSpec says"
    )


USUAL: dict[Level, LevelSpec] = {
    "L0": LevelSpec(),
    "L1": LevelSpec(),
    "L2": LevelSpec(speed=0.9, force=0.9),
    "L3": LevelSpec(speed=0.8, force=0.8, alarms="hold"),
    "L4": LevelSpec(speed=0.7, force=0.7, alarms="hold"),
}


def refuse_looser(levels: dict[Level, LevelSpec]) -> None:
    """Refuse a level that allows more than the one before it.

    Raises:
        ValueError: naming it.
    """
    order = list(LevelSpec.model_fields["alarms"].annotation.__args__)  # type: ignore[union-attr]
    before, name = USUAL["L0"], "L0"
    for level in LEVELS:
        now = levels.get(level, USUAL[level])
        for what in ("speed", "force"):
            if getattr(now, what) > getattr(before, what):
                told = (
                    f"levels: {what} {getattr(now, what):g} of {level} is more than {getattr(before, what):g} of {name}"
                )
                raise ValueError(f"{told}: limits get tighter from level to level")
        if order.index(now.alarms) < order.index(before.alarms):
            raise ValueError(
                f"levels: alarms {now.alarms!r} of {level} are less than {before.alarms!r} of {name}: they get graver "
                "from level to level"
            )
        before, name = now, level


def check_level(level: str) -> Level:
    """The level of this name.

    Raises:
        SpecError: there is none.
    """
    for known in LEVELS:
        if level == known:
            return known
    told = ", ".join(f"{name} ({meaning})" for name, meaning in MEANING.items())
    raise SpecError(f"level {level!r} is unknown", f"Known are {told}.")


def level_before(level: Level) -> Level | None:
    """None: there is none."""
    place = LEVELS.index(level)
    return LEVELS[place - 1] if place else None
