"""Writes a guessed RobotSpec as commented YAML that loads; what must be filled in says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml
from pydantic import ValidationError

from xrollout_ros.core.action import MotionSpec
from xrollout_ros.core.errors import from_validation
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.ui.robot_guess import ActionGuess, CameraGuess, Guess, ObservationGuess, RobotGuess

FILL_IN = "FILL IN"


@dataclass
class _Text:
    lines: list[str] = field(default_factory=list)
    open_ends: list[str] = field(default_factory=list)

    def add(self, line: str = "", *, comment: str = "", commented_out: bool = False) -> None:
        mark = "# " if commented_out else ""
        self.lines.append(f"{mark}{line}  # {_shown(comment)}" if comment else f"{mark}{line}".rstrip())

    def remark(self, text: str) -> None:
        self.lines.append(f"# {_shown(text)}")

    def must(self, what: str) -> None:
        """Name something that a person must fill in."""
        self.open_ends.append(what)


@dataclass(frozen=True)
class Written:
    """The document and what is still open in it."""

    text: str
    open_ends: tuple[str, ...]
    """What a person must fill in, each with where it is."""
    spec: RobotSpec


def write_spec(name: str, guess: RobotGuess) -> Written:
    """The YAML document of a RobotSpec.

    Args:
        name: its id.
        guess: what was guessed.

    Raises:
        SpecError: the name is not allowed; or what was heard makes no valid RobotSpec.
    """
    out = _Text()
    out.remark(f"Guessed by `xrollout init` from {guess.duration_s:.0f} s of ROS domain {guess.domain}.")
    out.remark(
        f"Read every line before a robot moves. {FILL_IN}: nothing that was heard says it; the value that stands"
    )
    out.remark("there is small, so that little happens meanwhile. docs/specs.md explains the fields;")
    out.remark("`xrollout doctor --robot <this file>` compares it with the robot.")
    for remark in guess.remarks:
        out.remark(f"Note: {remark}.")
    out.add(f"id: {_word(name)}")
    out.add("description: " + _quoted(f"{name}, as heard by xrollout init"), comment="a line for people")
    out.add(f"control_rate_hz: {_number(guess.control_rate_hz)}", comment="guessed: as often as the state comes")
    out.add(f"policy_rate_hz: {_number(guess.policy_rate_hz)}", comment="guessed: no faster than the slowest sensor")
    out.add()
    _observations(out, guess.observations)
    _cameras(out, guess.cameras)
    _actions(out, guess)
    _command(out, guess)
    _motion(out, guess)
    out.add()
    out.add("safety: {hold_abort_s: 1.0, manager_timeout_s: 1.0}")
    text = "\n".join(out.lines) + "\n"
    try:
        spec = RobotSpec.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise from_validation(
            error, "the RobotSpec", "guessed from the graph", "Give another --name, or write it."
        ) from error
    return Written(text, tuple(out.open_ends), spec)


def _observations(out: _Text, entries: Iterable[ObservationGuess]) -> None:
    out.remark("What the policy sees, in the order of the state vector. Delete what the task does not need.")
    out.add("observations:")
    for entry in entries:
        out.add(
            f"  - {{name: {_word(entry.name)}, topic: {_quoted(entry.topic)}, type: {entry.type}, "
            f"field: {entry.field},",
            commented_out=not entry.wanted,
        )
        if entry.names:
            out.add(f"     names: [{', '.join(map(_quoted, entry.names))}],", commented_out=not entry.wanted)
        age = _comment(out, entry.max_age_s, f"stamps of {entry.topic}") if entry.wanted else ""
        out.add(
            f"     shape: [{entry.size}], unit: {_quoted(entry.unit)}, rate_hz: {_number(entry.rate_hz)}, "
            f"max_age_s: {_number(entry.max_age_s.value)}}}",
            comment=age,
            commented_out=not entry.wanted,
        )


def _cameras(out: _Text, cameras: Iterable[CameraGuess]) -> None:
    known = list(cameras)
    if not known:
        out.remark("No camera was heard (sensor_msgs/msg/Image).")
        return
    if any(camera.wanted for camera in known):
        out.add("cameras:")
    for camera in known:
        out.add(
            f"  - {{name: {_word(camera.name)}, topic: {_quoted(camera.topic)}, width: {camera.width}, "
            f"height: {camera.height}, rate_hz: {_number(camera.rate_hz)}}}",
            comment=camera.note,
            commented_out=not camera.wanted,
        )


def _actions(out: _Text, guess: RobotGuess) -> None:
    out.add()
    out.remark("What the robot is told, in the order of the action. Limits are what the supervisor clips to.")
    if guess.command.encoding == "float64_multi_array":
        out.remark(
            f"{FILL_IN}: the order of the values is guessed from the joint states; see the controller's parameters."
        )
        out.must(f"actions: their order, as the listener on {guess.command.topic.value} expects it")
    elif guess.command.encoding.startswith("joint"):
        out.remark("These are the joints of the joint states: delete those that the listener does not drive.")
    out.add("actions:")
    for action in guess.actions:
        _action(out, action)


def _action(out: _Text, action: ActionGuess) -> None:
    where = f"actions: {action.name}"
    out.add(f"  - name: {_word(action.name)}")
    _line(out, "kind", action.kind, where)
    out.add(f"    unit: {_quoted(action.unit)}")
    _line(out, "lower", action.lower, where)
    _line(out, "upper", action.upper, where)
    if action.max_rate.value is not None:
        _line(out, "max_rate", action.max_rate, where)
    out.add(f"    hold: {action.hold}", comment="what holding still means")
    if action.measured is not None:
        observation, index = action.measured
        out.add(f"    measured: {{observation: {_word(observation)}, index: {index}}}")


def _line(out: _Text, key: str, guess: Guess, where: str) -> None:
    value = guess.value if isinstance(guess.value, str) else _number(guess.value)
    out.add(f"    {key}: {value}", comment=_comment(out, guess, f"{where}: {key}"))


def _command(out: _Text, guess: RobotGuess) -> None:
    command = guess.command
    out.add()
    listeners = f"listened to by {', '.join(command.listeners)}" if command.listeners else ""
    comment = ", ".join(
        part for part in (_comment(out, command.topic, "command: topic and encoding"), listeners) if part
    )
    out.add(f"command: {{topic: {_quoted(str(command.topic.value))}, encoding: {command.encoding}}}", comment=comment)
    for other in guess.other_commands:
        out.add(
            f"command: {{topic: {_quoted(str(other.topic.value))}, encoding: {other.encoding}}}",
            comment=f"listened to by {', '.join(other.listeners)}",
            commented_out=True,
        )


def _motion(out: _Text, guess: RobotGuess) -> None:
    """How rows become a motion, where there are positions or velocities."""
    if not any(action.kind.value in ("position", "velocity") for action in guess.actions):
        return
    out.add()
    out.remark(
        "Between two rows: linear, cubic or minimum_jerk. Nothing that was heard says what accelerations the robot"
    )
    out.remark("takes: give a position's max_acceleration (and max_jerk) from its data sheet beside its max_rate.")
    motion = MotionSpec()
    out.add(
        f"motion: {{interpolation: {motion.interpolation.value}, blend_s: {motion.blend_s}, "
        f"fade_out_s: {motion.fade_out_s}}}"
    )


def _comment(out: _Text, guess: Guess, where: str) -> str:
    if not guess.fill_in:
        return guess.note
    out.must(f"{where}" + (f" ({guess.note})" if guess.note else ""))
    return f"{FILL_IN}: {guess.note}" if guess.note else FILL_IN


def _number(value: object) -> str:
    """A float that YAML reads as one."""
    number = float(str(value))
    return repr(number) if number != 0 else "0.0"


def _quoted(text: str) -> str:
    """A string that YAML reads as the same one, whatever is in it."""
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6)).rstrip("\n")


def _word(name: str) -> str:
    """A name, quoted only where YAML would read something else (`null`, `yes`)."""
    return name if yaml.safe_load(name) == name else _quoted(name)


def _shown(text: str) -> str:
    """Text for a comment, which must stay on its line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
