"""The keys of a terminal as an operator; reading the terminal is in ``terminal.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Asked, Moment, OperatorAnswer
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.operators.axes import AxisMotion, check_actions, vector
from xrollout_ros.runtime.operators.panel import Panel
from xrollout_ros.runtime.operators.specs import KeyBinding, KeyboardSpec

_SINGLE = {0x1B: "esc", 0x20: "space", 0x09: "tab", 0x0D: "enter", 0x0A: "enter", 0x7F: "backspace", 0x08: "backspace"}
_ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9;]*([A-Za-z~])|O([A-Za-z]))")
_BEGUN = re.compile(rb"\x1b(?:\[[0-9;]*|O)?$")

_BY_NAME = (
    (r"(d|linear_)?x", ("w", "s")),
    (r"(d|linear_)?y", ("a", "d")),
    (r"(d|linear_)?z", ("r", "f")),
    (r"(d?r|angular_)x", ("u", "o")),
    (r"(d?r|angular_)y", ("i", "k")),
    (r"(d?r|angular_)z", ("j", "l")),
)
_COLUMNS = (("q", "a"), ("w", "s"), ("e", "d"), ("r", "f"), ("t", "g"), ("y", "h"), ("u", "j"), ("i", "k"), ("o", "l"))
_GRIPPER = ("]", "[")


def parse_keys(data: bytes, *, final: bool) -> tuple[list[str], bytes]:
    """Names of the keys that a terminal's bytes mean, and what is left over.

    Args:
        data: as read.
        final: nothing follows, so that a lone escape is the escape key, not the beginning of an arrow key.
    """
    keys: list[str] = []
    while data:
        if data[0] == 0x1B:
            found = _SEQUENCE.match(data)
            if found is not None:
                code = (found.group(1) or found.group(2)).decode()
                if code in _ARROWS:
                    keys.append(_ARROWS[code])
                data = data[found.end() :]
                continue
            if not final and _BEGUN.match(data):
                return keys, data
        name = _SINGLE.get(data[0]) or (chr(data[0]).lower() if 0x20 < data[0] < 0x7F else "")
        if name:
            keys.append(name)
        data = data[1:]
    return keys, b""


def default_motions(robot: RobotSpec, taken: Iterable[str]) -> dict[str, KeyBinding]:
    """Keys for a robot that the file says nothing of: by what the actions are called, else two keys for each in turn.

    Raises:
        SpecError: it has more actions than there are keys, or a key has a function already.
    """
    grippers = [dim.name for dim in robot.actions if dim.kind is ActionKind.GRIPPER]
    others = [dim.name for dim in robot.actions if dim.kind is not ActionKind.GRIPPER]
    pairs = {name: keys for name in others for pattern, keys in _BY_NAME if re.fullmatch(pattern, name)}
    if len(pairs) < len(others):
        pairs = dict(zip(others, _COLUMNS, strict=False))
    if len(pairs) < len(others) or len(grippers) > 1:
        raise SpecError(
            f"robot {robot.id!r} has {robot.action_dim} actions, more than the keyboard's default can move",
            "Write a file that names the keys: copy config/operators/so100_keyboard.yaml.",
        )
    pairs |= dict.fromkeys(grippers, _GRIPPER)
    motions = {}
    for name, (plus, minus) in pairs.items():
        motions[plus], motions[minus] = KeyBinding(action=name, value=1.0), KeyBinding(action=name, value=-1.0)
    both = sorted(set(motions) & set(taken))
    if both:
        raise SpecError(
            f"key {', '.join(both)} has a function already", "Name the keys that move the robot in `motions` too."
        )
    return motions


class KeyboardOperator:
    """Drives while keys repeat. A terminal tells no release, so a key counts as held for `hold_s` after each byte."""

    name = "keyboard"

    def __init__(self, spec: KeyboardSpec, robot: RobotSpec, *, drives: bool = True) -> None:
        """Check the file against the robot.

        Args:
            spec: the file.
            robot: what it drives.
            drives: False: somebody else does, and only the keys with a function count.

        Raises:
            SpecError: a key moves an action that does not exist, or has two meanings.
        """
        self.spec = spec
        self.motions = (spec.motions or default_motions(robot, spec.keys)) if drives else {}
        actions = {bound.action for bound in self.motions.values()}
        check_actions(robot, actions, "the keyboard")
        self._robot = robot
        self._motion = AxisMotion(robot, actions)
        self._panel = Panel(spec.keys, "key")
        self._typed_ns: dict[str, int] = {}
        self._closed = ""

    def typed(self, key: str, steady_ns: int) -> None:
        """A key was pressed, or repeats."""
        if key in self.motions:
            self._typed_ns[key] = steady_ns
        else:
            self._panel.press(key)

    def closed(self, why: str) -> None:
        """The terminal is gone."""
        self._closed = why

    def reset(self, seed: int) -> None:
        """See ``Operator``."""
        self._typed_ns.clear()
        self._motion.release()

    def answer(self, moment: Moment) -> OperatorAnswer:
        """See ``Operator``; without a key the robot is told to stay."""
        values: dict[str, float] = {}
        for key, at_ns in self._typed_ns.items():
            if 0 <= seconds(moment.t_ns - at_ns) <= self.spec.hold_s:
                bound = self.motions[key]
                values[bound.action] = values.get(bound.action, 0.0) + bound.value
        action = self._motion.action(vector(self._robot, values), moment)
        if not moment.driving:
            self._motion.release()
        return OperatorAnswer(action, not self._closed)

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        """See ``Operator``."""
        return self._panel.take(driving)

    def problem(self) -> str:
        """See ``Operator``."""
        return self._closed

    def help(self) -> list[tuple[str, str]]:
        """Keys and what they do, for people."""
        moves = [(key, f"{bound.action} {bound.value:+g}") for key, bound in self.motions.items()]
        return [*moves, *((key, function.replace("_", " ")) for key, function in self.spec.keys.items())]
