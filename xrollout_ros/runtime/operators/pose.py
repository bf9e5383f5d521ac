"""A phone or VR controller: what its pose does since the clutch closed, the robot's hand does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Asked, Moment, OperatorAnswer
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.operators.axes import LONGEST_STEP_S, AxisMotion, Posed, check_actions, vector
from xrollout_ros.runtime.operators.joy import Bindings, check_buttons, is_down
from xrollout_ros.runtime.operators.panel import Panel
from xrollout_ros.runtime.operators.specs import PoseSpec

LARGEST_LEAP_M = 0.1
LARGEST_LEAP_RAD = 0.8
"""Poses farther apart than this are a lost track, not a motion: it begins anew from there."""
CATCH_UP_S = 0.1
"""A velocity is what makes up the distance in this time."""
_UNITS = {"m": 1.0, "cm": 100.0, "mm": 1000.0, "rad": 1.0, "deg": 180.0 / math.pi}
_TRANSLATIONS = (("dx", "dy", "dz"), ("linear_x", "linear_y", "linear_z"), ("x", "y", "z"))
_ROTATIONS = (("drx", "dry", "drz"), ("angular_x", "angular_y", "angular_z"), ("rx", "ry", "rz"))
_KINDS = (ActionKind.DELTA, ActionKind.VELOCITY, ActionKind.POSITION)


class _Part:
    """Three actions along or about x, y, z, some of them absent, all of one kind."""

    def __init__(self, robot: RobotSpec, names: Sequence[str | None], units: tuple[str, ...]) -> None:
        dims = {dim.name: (place, dim) for place, dim in enumerate(robot.actions)}
        self.axes = [axis for axis, name in enumerate(names) if name is not None]
        chosen = [dims[name] for name in names if name is not None]
        self.places = [place for place, _ in chosen]
        kinds = {dim.kind for _, dim in chosen}
        if len(kinds) > 1 or not kinds <= set(_KINDS):
            said = ", ".join(f"{dim.name} is a {dim.kind.value}" for _, dim in chosen)
            raise SpecError(
                f"a pose cannot move these actions of robot {robot.id!r}: {said}",
                "They must be all deltas, all velocities or all positions.",
            )
        self.kind = next(iter(kinds), None)
        self.factor = np.ones(len(chosen))
        for index, (_, dim) in enumerate(chosen):
            unit = dim.unit.removesuffix("/s") if dim.kind is ActionKind.VELOCITY else dim.unit
            if unit not in units:
                raise SpecError(
                    f"a pose cannot move {dim.name} of robot {robot.id!r}: its unit is {dim.unit!r}",
                    f"Known are {', '.join(units)} (a velocity's with /s).",
                )
            self.factor[index] = _UNITS[unit]
        self.lower, self.upper = robot.lower[self.places], robot.upper[self.places]

    def pick(self, three: Array) -> Array:
        """Of x, y, z in m or rad: this part's actions in their units."""
        return np.asarray(three[self.axes] * self.factor)

    def spread(self, values: Array) -> Array:
        """The reverse of ``pick``; 0 where there is no action."""
        three = np.zeros(3)
        three[self.axes] = values / self.factor
        return three

    def clip(self, values: Array) -> Array:
        return np.clip(values, self.lower, self.upper)


class PoseOperator:
    """Drives while the clutch is closed: by displacements, velocities, or the target pose, as the robot's actions are.

    What a limit cut off one displacement is made up for in the next ones, until the clutch opens.
    """

    name = "pose"

    def __init__(self, spec: PoseSpec, robot: RobotSpec) -> None:
        """Check the file against the robot.

        Raises:
            SpecError: it names an action that does not exist, or that no pose can move.
        """
        self.spec = spec
        translation, rotation = _named(spec, robot)
        names = [name for name in (*translation, *rotation) if name is not None]
        check_actions(robot, [*names, *spec.axes], "the pose")
        twice = sorted({name for name in names if names.count(name) > 1 or name in spec.axes})
        if twice:
            raise SpecError(f"the pose moves {', '.join(twice)} twice", "Name each action once.")
        if not names:
            raise SpecError(
                f"it is not known which actions of robot {robot.id!r} a pose moves",
                f"Name them in `translation` and `rotation`; it has {', '.join(dim.name for dim in robot.actions)}.",
            )
        self._place = _Part(robot, translation, ("m", "cm", "mm"))
        self._turn = _Part(robot, rotation, ("rad", "deg"))
        self._bindings = Bindings(robot, spec.axes, "the pose's buttons")
        used = [("clutch", spec.clutch), *spec.buttons.items()]
        used += [(name, index) for name, bound in spec.axes.items() for index in (bound.plus, bound.minus)]
        check_buttons(used, "the pose's device")
        self._panel = Panel({index: function for function, index in spec.buttons.items()}, "button")
        self._motion = AxisMotion(robot, self._bindings.snap)
        self._posed = Posed(robot)
        self._robot = robot
        self._lower, self._upper = robot.lower, robot.upper
        self._frame = Rotation.from_euler("xyz", spec.frame_rpy)
        self._pose: tuple[Array, Rotation] | None = None
        self._heard_ns = 0
        self._leaps = False
        self._axes: Sequence[float] = ()
        self._buttons: Sequence[int] = ()
        self._silent = True
        self._driving = False
        self._anchor: tuple[Array, Rotation] | None = None

    def heard(self, position: Sequence[float], orientation: Sequence[float], steady_ns: int) -> None:
        """A pose has come: x, y, z in m, and a quaternion x, y, z, w. One that is not finite counts as none."""
        place, quaternion = np.asarray(position, dtype=np.float64), np.asarray(orientation, dtype=np.float64)
        norm = float(np.linalg.norm(quaternion))
        if not np.isfinite(place).all() or not math.isfinite(norm) or norm < 1e-6:
            return
        turn = Rotation.from_quat(quaternion / norm)
        if self._pose is not None:
            before, turned = self._pose
            far = float(np.linalg.norm(place - before)) > LARGEST_LEAP_M
            self._leaps |= far or float((turn * turned.inv()).magnitude()) > LARGEST_LEAP_RAD
        self._pose, self._heard_ns = (place, turn), steady_ns

    def heard_buttons(self, axes: Sequence[float], buttons: Sequence[int]) -> None:
        """A Joy message of the device's buttons has come."""
        self._axes, self._buttons = axes, buttons
        self._panel.down([index for index, value in enumerate(buttons) if value])

    def reset(self, seed: int) -> None:
        """See ``Operator``."""
        self._anchor = None
        self._motion.release()

    def answer(self, moment: Moment) -> OperatorAnswer:
        """See ``Operator``."""
        pose = self._pose
        self._silent = pose is None or seconds(moment.t_ns - self._heard_ns) > self.spec.timeout_s
        engaged = not self._silent and (self.spec.clutch is None or is_down(self._buttons, self.spec.clutch))
        if not engaged or moment.driving != self._driving:
            self._anchor = None
            self._motion.release()
        self._driving = moment.driving
        buttons = self._bindings.deflections(self._axes, self._buttons) if engaged else {}
        action = self._motion.action(vector(self._robot, buttons), moment)
        if engaged and pose is not None:
            if self._anchor is None or self._leaps:
                self._begin(pose, moment)
            self._move(pose, moment, action)
        else:
            self._motion.release()
        self._leaps = False
        return OperatorAnswer(np.clip(action, self._lower, self._upper), engaged)

    def _begin(self, pose: tuple[Array, Rotation], moment: Moment) -> None:
        """The clutch closes: what follows counts from here."""
        origin = self._posed.origin(moment)
        self._anchor = pose
        self._at_ns = moment.t_ns
        self._given = np.zeros(3)
        self._turned = Rotation.identity()
        self._base = origin[self._place.places]
        self._base_turn = Rotation.from_rotvec(self._turn.spread(origin[self._turn.places]))
        self._last_turn = self._base_turn.as_rotvec()

    def _move(self, pose: tuple[Array, Rotation], moment: Moment, action: Array) -> None:
        assert self._anchor is not None
        place, turn = pose
        anchored, anchored_turn = self._anchor
        dt_s = min(LONGEST_STEP_S, max(0.0, seconds(moment.t_ns - self._at_ns)))
        self._at_ns = moment.t_ns
        wanted = self.spec.scale * self._frame.apply(place - anchored)
        about = self._frame.apply((turn * anchored_turn.inv()).as_rotvec())
        wanted_turn = Rotation.from_rotvec(self.spec.rotation_scale * about)
        if self._place.places:
            action[self._place.places] = self._translate(wanted, dt_s)
        if self._turn.places:
            action[self._turn.places] = self._rotate(wanted_turn, dt_s)

    def _translate(self, wanted: Array, dt_s: float) -> Array:
        part = self._place
        if part.kind is ActionKind.POSITION:
            return part.clip(self._base + part.pick(wanted))
        left = part.pick(wanted - self._given)
        if part.kind is ActionKind.DELTA:
            sent = part.clip(left)
            self._given = self._given + part.spread(sent)
        else:
            sent = part.clip(left / CATCH_UP_S)
            self._given = self._given + part.spread(sent) * dt_s
        return sent

    def _rotate(self, wanted: Rotation, dt_s: float) -> Array:
        part = self._turn
        if part.kind is ActionKind.POSITION:
            self._last_turn = _nearest((wanted * self._base_turn).as_rotvec(), self._last_turn)
            return part.clip(part.pick(self._last_turn))
        left = (wanted * self._turned.inv()).as_rotvec()
        if part.kind is ActionKind.DELTA:
            sent = part.clip(part.pick(left))
            self._turned = Rotation.from_rotvec(part.spread(sent)) * self._turned
        else:
            sent = part.clip(part.pick(left / CATCH_UP_S))
            self._turned = Rotation.from_rotvec(part.spread(sent) * dt_s) * self._turned
        return sent

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        """See ``Operator``."""
        return self._panel.take(driving)

    def problem(self) -> str:
        """See ``Operator``."""
        if self._pose is None:
            return f"no message came on {self.spec.topic}"
        return f"{self.spec.topic} is silent" if self._silent else ""


def _named(spec: PoseSpec, robot: RobotSpec) -> tuple[Sequence[str | None], Sequence[str | None]]:
    """The actions that a pose moves: those of the file, else by their names."""
    if any(spec.translation) or any(spec.rotation):
        return spec.translation, spec.rotation
    known = {dim.name for dim in robot.actions}

    def find(triples: Sequence[Sequence[str]]) -> list[str | None]:
        best = max(triples, key=lambda triple: len(known & set(triple)))
        return [name if name in known else None for name in best]

    return find(_TRANSLATIONS), find(_ROTATIONS)


def _nearest(turn: Array, last: Array) -> Array:
    """Of the rotation vectors that mean the same rotation, the one nearest to ``last``."""
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return turn
    others = [turn, turn * (1.0 - 2.0 * math.pi / angle), turn * (1.0 + 2.0 * math.pi / angle)]
    return min(others, key=lambda each: float(np.linalg.norm(each - last)))
