"""Faults of a simulated robot: what goes wrong, when and how badly, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from xrollout_ros.core.document import Name, Positive, Strict
from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.core.resources import load_yaml
from xrollout_ros.core.robot import RobotSpec

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Trigger = Literal["start", "near", "grasp", "lift"]
"""``near``: the hand is within 0.1 m of the object; ``grasp``: it has the object; ``lift``: and has raised it 3 cm."""
_REMEDY = "docs/failures.md lists every fault and its fields."


class FaultSpec(Strict):
    """What every fault has. The seed of an attempt decides all that is random in it."""

    STRENGTH: ClassVar[str]
    """The field that says how bad it is."""

    probability: Share = Field(default=1.0, description="share of the attempts that have it")
    after: Trigger = Field(default="start", description="what must have happened first")
    delay_s: tuple[Seconds, Seconds] = Field(
        default=(0.0, 0.0), description="how long after that it begins, drawn from this range, s of simulated time"
    )
    lasts_s: Annotated[float, Field(gt=0, le=3600)] | None = Field(
        default=None, description="how long it lasts, s; none: to the end of the attempt"
    )
    spares_operator: bool = Field(
        default=False, description="over for the rest of the attempt when an operator or a recovery drives"
    )

    @model_validator(mode="after")
    def _check(self) -> FaultSpec:
        if self.delay_s[0] > self.delay_s[1]:
            raise ValueError(f"delay_s is inverted: {self.delay_s[0]} is above {self.delay_s[1]}")
        return self


class ObjectBump(FaultSpec):
    """Something pushes the object away, along the table and in a random direction."""

    STRENGTH = "distance_m"
    kind: Literal["object_bump"] = "object_bump"
    after: Trigger = "near"
    delay_s: tuple[Seconds, Seconds] = (0.0, 0.1)
    lasts_s: Annotated[float, Field(gt=0, le=3600)] | None = 0.1
    distance_m: Annotated[float, Field(gt=0, le=1)] = Field(default=0.08, description="how far it is pushed, m")

    @model_validator(mode="after")
    def _ends(self) -> ObjectBump:
        if self.lasts_s is None:
            raise ValueError("lasts_s must say how long the push takes")
        return self


class GripperSlip(FaultSpec):
    """The fingers lose their grip: friction between them and the object goes."""

    STRENGTH = "loss"
    kind: Literal["gripper_slip"] = "gripper_slip"
    after: Trigger = "grasp"
    delay_s: tuple[Seconds, Seconds] = (0.05, 0.2)
    lasts_s: Annotated[float, Field(gt=0, le=3600)] | None = 0.4
    loss: Annotated[float, Field(gt=0, le=1)] = Field(default=1.0, description="share of the friction that is lost")


class ActionNoise(FaultSpec):
    """What reaches the motors is not what was sent."""

    STRENGTH = "share"
    kind: Literal["action_noise"] = "action_noise"
    share: Annotated[float, Field(gt=0, le=10)] = Field(
        default=0.6, description="standard deviation of what is added, as a share of half the range of each value"
    )
    correlation: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.9, description="of the noise of a step with that of the step before"
    )


class ActionDelay(FaultSpec):
    """Commands reach the motors late; until the first one does, nothing moves."""

    STRENGTH = "steps"
    kind: Literal["action_delay"] = "action_delay"
    steps: Annotated[int, Field(ge=1, le=1000)] = Field(default=8, description="policy steps")


class SensorDropout(FaultSpec):
    """Sensors say what they said last, for a while."""

    STRENGTH = "lasts_s"
    kind: Literal["sensor_dropout"] = "sensor_dropout"
    delay_s: tuple[Seconds, Seconds] = (0.1, 0.5)
    lasts_s: Annotated[float, Field(gt=0, le=3600)] | None = 0.8
    observations: tuple[Name, ...] = Field(default=(), description="of the RobotSpec; none: all")


class WrongGoal(FaultSpec):
    """The goal is told in the wrong place, in a random direction along the table; success keeps the right one."""

    STRENGTH = "distance_m"
    kind: Literal["wrong_goal"] = "wrong_goal"
    distance_m: Positive = Field(default=0.15, description="how far off, m")
    observation: Name = Field(default="goal_position", description="of the RobotSpec, three values in m")


Fault = Annotated[
    ObjectBump | GripperSlip | ActionNoise | ActionDelay | SensorDropout | WrongGoal, Field(discriminator="kind")
]
_FAULTS: tuple[type[FaultSpec], ...] = (ObjectBump, GripperSlip, ActionNoise, ActionDelay, SensorDropout, WrongGoal)
_BY_NAME: dict[str, type[FaultSpec]] = {str(each.model_fields["kind"].default): each for each in _FAULTS}
FAULT_NAMES = tuple(_BY_NAME)
_LIST: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(tuple[Fault, ...])


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Faults from one line: names, each with its strength if wanted, or a file, or JSON.

    Args:
        text: ``gripper_slip``, ``object_bump:0.05,action_noise``, ``faults.yaml`` (a list), a JSON list, or nothing.

    Raises:
        SpecError: a name is unknown, a value is not allowed, or the file cannot be read.
    """
    text = text.strip()
    if not text:
        return ()
    try:
        if text.startswith("["):
            return _LIST.validate_json(text)
        if text.endswith((".yaml", ".yml")):
            return _LIST.validate_python(load_yaml(Path(text), "list of faults"))
        return _LIST.validate_python([_named(word.strip()) for word in text.split(",")])
    except ValidationError as error:
        raise from_validation(error, "list of faults", repr(text[:80]), _REMEDY) from error


def _named(word: str) -> dict[str, object]:
    name, colon, strength = word.partition(":")
    if name not in _BY_NAME:
        raise SpecError(f"unknown fault {name!r}", f"Known are {', '.join(FAULT_NAMES)}; {_REMEDY}")
    if not colon:
        return {"kind": name}
    field = _BY_NAME[name].STRENGTH
    try:
        return {"kind": name, field: float(strength)}
    except ValueError as error:
        raise SpecError(
            f"fault {name!r} has the strength {strength!r}", f"Give a number, its {field}, e.g. {name}:1. {_REMEDY}"
        ) from error


def sparing(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """The same, but for whoever takes over: they happen to the policy alone."""
    return tuple(fault.model_copy(update={"spares_operator": True}) for fault in faults)


def faults_json(faults: tuple[Fault, ...]) -> str:
    """What :func:`parse_faults` takes, as a robot is sent it."""
    return _LIST.dump_json(faults).decode() if faults else ""


def check_faults(faults: tuple[Fault, ...], robot: RobotSpec, *, movable: bool) -> None:
    """Whether these faults can happen to a robot.

    Args:
        faults: those asked for.
        robot: its spec.
        movable: its simulator knows hand and object, and can move the object.

    Raises:
        SpecError: one of them cannot.
    """
    sizes = {entry.name: entry.size for entry in robot.observations}
    for fault in faults:
        if not movable and (isinstance(fault, (ObjectBump, GripperSlip)) or fault.after != "start"):
            raise SpecError(
                f"fault {fault.kind} (after {fault.after}) cannot happen to robot {robot.id!r}: its simulator knows no "
                "hand and no object",
                "Give action_noise, action_delay, sensor_dropout or wrong_goal, each after start.",
            )
        named = fault.observations if isinstance(fault, SensorDropout) else ()
        unknown = [name for name in named if name not in sizes]
        if unknown:
            raise SpecError(
                f"fault sensor_dropout names {', '.join(unknown)}, which robot {robot.id!r} does not observe",
                f"It observes {', '.join(sizes)}.",
            )
        if isinstance(fault, WrongGoal) and sizes.get(fault.observation) != 3:
            raise SpecError(
                f"fault wrong_goal moves {fault.observation!r}, which is no position that robot {robot.id!r} observes",
                f"Name an observation of three values; it observes {', '.join(sizes)}.",
            )
