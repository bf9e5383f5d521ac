"""A joystick or game pad: ``sensor_msgs/Joy`` to actions and requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Asked, Moment, OperatorAnswer
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.operators.axes import AxisMotion, check_actions, deadband, vector
from xrollout_ros.runtime.operators.panel import Panel
from xrollout_ros.runtime.operators.specs import AxisBinding, JoySpec

_AXES = (1, 0, 4, 3, 7, 6)
"""Left stick, right stick, cross: what the actions get in turn, where the file names none."""
_GRIPPER_BUTTONS = (2, 3)
_NAMED = {"linear_x": 1, "angular_z": 0, "linear_y": 3, "linear_z": 4, "angular_x": 6, "angular_y": 7}


def default_axes(robot: RobotSpec) -> dict[str, AxisBinding]:
    """Bindings for a robot that the file says nothing of.

    Raises:
        SpecError: it has more actions than a pad has axes.
    """
    grippers = [dim.name for dim in robot.actions if dim.kind is ActionKind.GRIPPER]
    others = [dim.name for dim in robot.actions if dim.kind is not ActionKind.GRIPPER]
    if len(others) > len(_AXES) or len(grippers) > 1:
        raise SpecError(
            f"robot {robot.id!r} has {robot.action_dim} actions, more than the default of a joystick can move",
            "Write a file that names the axes: copy config/operators/sawyer_joy.yaml.",
        )
    named = all(name in _NAMED for name in others)
    axes = {name: AxisBinding(axis=_NAMED[name] if named else _AXES[place]) for place, name in enumerate(others)}
    plus, minus = _GRIPPER_BUTTONS
    return axes | {name: AxisBinding(plus=plus, minus=minus) for name in grippers}


class Bindings:
    """Axes and buttons of a Joy message as deflections."""

    def __init__(self, robot: RobotSpec, axes: Mapping[str, AxisBinding], what: str) -> None:
        check_actions(robot, axes.keys(), what)
        self._robot = robot
        self._axes = dict(axes)

    @property
    def snap(self) -> list[str]:
        """Actions that buttons move."""
        return [name for name, bound in self._axes.items() if bound.axis is None]

    def deflections(self, axes: Sequence[float], buttons: Sequence[int]) -> dict[str, float]:
        """By action, -1 to 1; what the message does not have counts as not moved."""
        values = {}
        for name, bound in self._axes.items():
            if bound.axis is not None:
                raw = axes[bound.axis] if bound.axis < len(axes) else 0.0
                values[name] = bound.scale * deadband(raw, bound.deadband)
            else:
                values[name] = bound.scale * (is_down(buttons, bound.plus) - is_down(buttons, bound.minus))
        return values


def is_down(buttons: Sequence[int], index: int | None) -> bool:
    """Whether a button is pressed."""
    return index is not None and index < len(buttons) and bool(buttons[index])


class JoyOperator:
    """Drives by a joystick; a Joy that is silent for `timeout_s` or whose dead-man button is up commands nothing."""

    name = "joy"

    def __init__(self, spec: JoySpec, robot: RobotSpec, *, drives: bool = True) -> None:
        """Check the file against the robot.

        Args:
            spec: the file.
            robot: what it drives.
            drives: False: somebody else does, and only the buttons with a function count.

        Raises:
            SpecError: an axis is bound to an action that does not exist, or a button has two meanings.
        """
        self.spec = spec
        axes = (spec.axes or default_axes(robot)) if drives else {}
        self._bindings = Bindings(robot, axes, "the joystick")
        used = [("dead_man", spec.dead_man), *spec.buttons.items()]
        used += [(name, b) for name, bound in axes.items() for b in (bound.plus, bound.minus)]
        check_buttons(used, "the joystick")
        self._needs = needs(axes.values(), used)
        self._robot = robot
        self._panel = Panel({index: function for function, index in spec.buttons.items()}, "joystick button")
        self._motion = AxisMotion(robot, self._bindings.snap)
        self._axes: Sequence[float] = ()
        self._buttons: Sequence[int] = ()
        self._heard_ns: int | None = None
        self._silent = True

    def heard(self, axes: Sequence[float], buttons: Sequence[int], steady_ns: int) -> None:
        """A Joy message has come."""
        self._axes, self._buttons, self._heard_ns = axes, buttons, steady_ns
        self._panel.down([index for index, value in enumerate(buttons) if value])

    def reset(self, seed: int) -> None:
        """See ``Operator``."""
        self._motion.release()

    def answer(self, moment: Moment) -> OperatorAnswer:
        """See ``Operator``."""
        heard_ns = self._heard_ns
        self._silent = heard_ns is None or seconds(moment.t_ns - heard_ns) > self.spec.timeout_s
        enabled = not self._silent and (self.spec.dead_man is None or is_down(self._buttons, self.spec.dead_man))
        values = self._bindings.deflections(self._axes, self._buttons) if enabled else {}
        action = self._motion.action(vector(self._robot, values), moment)
        if not enabled:
            self._motion.release()
        return OperatorAnswer(action, enabled)

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        """See ``Operator``."""
        return self._panel.take(driving)

    def problem(self) -> str:
        """See ``Operator``."""
        if self._heard_ns is None:
            return f"no message came on {self.spec.topic}"
        return f"{self.spec.topic} is silent" if self._silent else self.unfit()

    def unfit(self) -> str:
        """Why the device that was heard will not do; empty: it will."""
        axes, buttons = self._needs
        if len(self._axes) >= axes and len(self._buttons) >= buttons:
            return ""
        return (
            f"the joystick on {self.spec.topic} has {len(self._axes)} axes and {len(self._buttons)} buttons; "
            f"needed are {axes} and {buttons}"
        )


def needs(axes: Iterable[AxisBinding], used: Sequence[tuple[str, int | None]]) -> tuple[int, int]:
    """How many axes and buttons a message must have."""
    named = [bound.axis for bound in axes if bound.axis is not None]
    buttons = [index for _, index in used if index is not None]
    return max(named, default=-1) + 1, max(buttons, default=-1) + 1


def check_buttons(used: Sequence[tuple[str, int | None]], what: str) -> None:
    """Refuse a button with two meanings.

    Raises:
        SpecError: naming the button and both.
    """
    meanings: dict[int, str] = {}
    for meaning, index in used:
        if index is None:
            continue
        if index in meanings:
            raise SpecError(
                f"button {index} of {what} means both {meanings[index]} and {meaning}", "Give each button one meaning."
            )
        meanings[index] = meaning
