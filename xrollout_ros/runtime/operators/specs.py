"""How an operator's device moves a robot: ``config/operators/*.yaml``, or the defaults of a source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from xrollout_ros.core.document import Finite, Name, Positive, Strict
from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.core.resources import load_yaml, share_dir
from xrollout_ros.core.sensing import Topic
from xrollout_ros.runtime.operators.sources import HUMAN, operator_ids

Function = Literal[
    "take_over", "hand_back", "toggle", "drive_while_held", "hold", "success", "failure", "discard",
    "rerecord", "end", "emergency_stop",
]  # fmt: skip
"""What a key, button or pedal does. ``toggle`` takes over or hands back; ``drive_while_held`` takes over when pressed
and hands back when released; ``rerecord`` discards the attempt, or the one just made, and makes it again."""
Index = Annotated[int, Field(ge=0, le=255)]
Triple = tuple[Finite, Finite, Finite]


class AxisBinding(Strict):
    """What moves one action: an axis, or two buttons."""

    axis: Index | None = None
    plus: Index | None = Field(default=None, description="button that moves it up; a gripper goes all the way")
    minus: Index | None = Field(default=None, description="button that moves it down")
    scale: Annotated[float, Field(ge=-1, le=1)] = Field(
        default=1.0, description="share of the most that the robot may do; negative: the other way round"
    )
    deadband: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @model_validator(mode="after")
    def _check(self) -> AxisBinding:
        if (self.axis is None) == (self.plus is None and self.minus is None):
            raise ValueError("name either an `axis`, or a button for `plus` or `minus`")
        return self


class JoySpec(Strict):
    """A joystick or game pad that publishes ``sensor_msgs/Joy``."""

    source: Literal["joy"]
    topic: Topic = "/joy"
    timeout_s: Positive = Field(default=0.5, description="silent for longer counts as let go")
    axes: dict[Name, AxisBinding] = Field(default_factory=dict, description="by action; empty: made from the robot")
    dead_man: Index | None = Field(default=5, description="button held to command; null: none is needed")
    buttons: dict[Function, Index] = Field(
        default={
            "toggle": 7, "emergency_stop": 6, "hold": 9, "success": 0, "failure": 1, "discard": 10,
            "rerecord": 8,
        },
        description="by function; the defaults are an Xbox pad's: start, back, left stick, A, B, right stick, guide",
    )  # fmt: skip


class JointBinding(Strict):
    """Which joint of the leader moves an action: ``offset + scale * position``, in the action's unit."""

    joint: str = Field(min_length=1)
    scale: Finite = 1.0
    offset: Finite = 0.0


class LeaderSpec(Strict):
    """A leader arm that publishes ``sensor_msgs/JointState``."""

    source: Literal["leader"]
    topic: Topic = "/leader/joint_states"
    timeout_s: Positive = 0.25
    joints: dict[Name, JointBinding] = Field(
        default_factory=dict, description="by action; empty: each action follows the joint of its name"
    )
    relative: bool = Field(
        default=False, description="true: the robot moves by what the leader moves since it took over"
    )


class PoseSpec(Strict):
    """A phone or VR controller that publishes ``geometry_msgs/PoseStamped``; a Joy beside it may carry its buttons."""

    source: Literal["pose"]
    topic: Topic = "/phone/pose"
    timeout_s: Positive = Field(default=0.25, description="silent for longer counts as let go")
    translation: tuple[Name | None, Name | None, Name | None] = Field(
        default=(None, None, None), description="actions along x, y, z of the robot's frame; all null: found by name"
    )
    rotation: tuple[Name | None, Name | None, Name | None] = Field(
        default=(None, None, None), description="actions about x, y, z (a rotation vector)"
    )
    scale: Positive = Field(default=1.0, description="metres of the hand for one metre of the phone")
    rotation_scale: Positive = 1.0
    frame_rpy: Triple = Field(
        default=(0.0, 0.0, 0.0), description="roll, pitch, yaw in rad that turn the phone's frame into the robot's"
    )
    buttons_topic: Topic | None = Field(default=None, description="a sensor_msgs/Joy with the device's buttons")
    clutch: Index | None = Field(default=None, description="button held to move; null: moving as long as poses come")
    axes: dict[Name, AxisBinding] = Field(default_factory=dict, description="actions moved by buttons, a gripper say")
    buttons: dict[Function, Index] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> PoseSpec:
        if self.buttons_topic is None and (self.clutch is not None or self.axes or self.buttons):
            raise ValueError("`clutch`, `axes` and `buttons` need a `buttons_topic`")
        return self


class KeyBinding(Strict):
    """What a key moves while it is held."""

    action: Name
    value: Annotated[float, Field(ge=-1, le=1)] = Field(description="share of the most; a gripper goes all the way")


class KeyboardSpec(Strict):
    """The keys of a terminal."""

    source: Literal["keyboard"]
    hold_s: Positive = Field(
        default=0.15, le=1.0, description="how long a key counts as held; terminals tell no release, only repetition"
    )
    motions: dict[str, KeyBinding] = Field(default_factory=dict, description="by key; empty: made from the robot")
    keys: dict[str, Function] = Field(
        default={
            "space": "toggle", "tab": "hold", "1": "success", "0": "failure", "x": "discard",
            "backspace": "rerecord", "esc": "emergency_stop",
        }
    )  # fmt: skip

    @model_validator(mode="after")
    def _check(self) -> KeyboardSpec:
        both = sorted(set(self.motions) & set(self.keys))
        if both:
            raise ValueError(f"key {', '.join(both)} has two meanings, in `motions` and in `keys`")
        held = sorted(key for key, function in self.keys.items() if function == "drive_while_held")
        if held:
            raise ValueError(f"key {', '.join(held)}: a terminal tells no release; use toggle, or a pedal")
        return self


class PedalSpec(Strict):
    """A USB foot pedal, which Linux takes for a keyboard."""

    source: Literal["pedal"]
    device: str = Field(default="", description="/dev/input/…, or a part of its name; empty: the only foot pedal")
    pedals: dict[str, Function] = Field(
        default={"KEY_B": "toggle", "KEY_A": "failure", "KEY_C": "success"},
        min_length=1,
        description="by key name or number of linux/input-event-codes.h",
    )


class ScriptedSpec(Strict):
    """A scripted operator: it takes over, corrects, and hands back or finishes."""

    source: Literal["scripted"]
    expert: str = Field(default="scripted", description="scripted: the one that the task names")
    on_help: bool = Field(default=True, description="takes over when an alarm asks for an operator")
    at_step: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="takes over at this policy step of the attempt, asked or not"
    )
    for_steps: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="hands back after so many policy steps; null: stays until the attempt ends"
    )


OperatorSpec = Annotated[
    JoySpec | LeaderSpec | PoseSpec | KeyboardSpec | PedalSpec | ScriptedSpec, Field(discriminator="source")
]
_ADAPTER: TypeAdapter[OperatorSpec] = TypeAdapter(OperatorSpec)


def functions() -> tuple[str, ...]:
    """What a button can do."""
    return get_args(Function)


def load_operator(name: str) -> OperatorSpec:
    """A source with its defaults, a shipped document, or a YAML file. Any other name is a scripted expert's.

    Raises:
        SpecError: the file cannot be read or is not valid.
    """
    if name in HUMAN:
        return _ADAPTER.validate_python({"source": name})
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in operator_ids():
            return ScriptedSpec(source="scripted", expert=name)
        path = share_dir() / "config" / "operators" / f"{name}.yaml"
    try:
        return _ADAPTER.validate_python(load_yaml(path, "OperatorSpec"))
    except ValidationError as error:
        raise from_validation(
            error, "OperatorSpec", path, "Mend the file; docs/operators.md lists every field."
        ) from error


def load_operators(names: str) -> tuple[OperatorSpec, ...]:
    """The documents that an argument like ``leader,pedal`` names.

    Raises:
        SpecError: one is not valid, or is named twice.
    """
    words = [word.strip() for word in names.split(",") if word.strip()]
    if not words:
        raise SpecError("no operator was named", f"Name one of {', '.join(HUMAN)}, scripted, or a YAML file.")
    specs = tuple(load_operator(word) for word in words)
    sources = [spec.source for spec in specs]
    twice = sorted({source for source in sources if sources.count(source) > 1})
    if twice:
        raise SpecError(f"operator {names!r} names two of {', '.join(twice)}", "Name each source once.")
    return specs
