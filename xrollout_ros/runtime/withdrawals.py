"""Recovery policies that nobody has to train: hold, retreat to a safe posture, backtrack along the path travelled."""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.recoveries import BacktrackSpec, HoldSpec, RetreatSpec
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.recovery import Now
from xrollout_ros.runtime.trail import Waypoint


class Steering:
    """Moves towards positions of actions, and towards a point that deltas move, at a share of the largest speed."""

    def __init__(self, robot: RobotSpec, speed: float) -> None:
        position = np.array([dim.kind is ActionKind.POSITION for dim in robot.actions])
        span_rate = (robot.upper - robot.lower) / robot.safety.handover.approach_s
        self._rate = np.where(position, np.minimum(speed * robot.max_rate, span_rate), 0.0)
        self.position = position
        self._named = robot.safety.point
        names = [dim.name for dim in robot.actions]
        moves = [names.index(name) for name in self._named.actions] if self._named else []
        by_delta = bool(moves) and robot.actions[moves[0]].kind is ActionKind.DELTA
        self.moves = np.array(moves if by_delta else [], dtype=np.intp)
        self.point_moves = np.array(moves, dtype=np.intp)
        self._lower, self._upper = speed * robot.lower, speed * robot.upper

    def here(self, now: Now) -> Array | None:
        """Measured value of the point ``(P,)``; None: not known."""
        value = now.values.get(self._named.observation) if self._named is not None else None
        return None if value is None or not np.isfinite(value).all() else value.reshape(-1)

    def towards(self, target: Array, point: Array | None, now: Now) -> Array:
        """One step from where the robot is.

        Args:
            target: (A,) where positions are to go; other values count for nothing.
            point: (P,) where the point is to go that deltas move; None: stay.
            now: this tick.
        """
        step = self._rate * now.dt_s
        origin = np.where(np.isnan(now.origin), now.hold, now.origin)
        action = np.where(self.position, np.clip(target, origin - step, origin + step), now.hold)
        here = self.here(now)
        if self.moves.size and point is not None and here is not None and self._named is not None:
            wanted = (point - here) / self._named.scale
            action[self.moves] = np.clip(wanted, self._lower[self.moves], self._upper[self.moves])
        return action


class Hold:
    """Stands still until nothing objects."""

    name = "hold"

    def __init__(self, spec: HoldSpec) -> None:
        self._spec = spec

    def begin(self, robot: RobotSpec, path: list[Waypoint]) -> bool:
        return True

    def act(self, now: Now) -> Array | None:
        return None if now.t_s >= self._spec.duration_s and now.clear else now.hold


class Retreat:
    """Goes to a safe posture."""

    name = "retreat"

    def __init__(self, spec: RetreatSpec) -> None:
        self._spec = spec

    def begin(self, robot: RobotSpec, path: list[Waypoint]) -> bool:
        self._steering = Steering(robot, self._spec.speed)
        self._dims = robot.actions
        self._point = np.array(self._spec.point) if self._spec.point else None
        names = [dim.name for dim in robot.actions]
        self._target = np.full(robot.action_dim, np.nan)
        for name, value in self._spec.pose.items():
            self._target[names.index(name)] = value
        if self._point is not None and not self._steering.moves.size:
            self._target[self._steering.point_moves] = self._point
        self._goes = ~np.isnan(self._target)
        return True

    def act(self, now: Now) -> Array | None:
        target = np.where(self._goes, self._target, now.hold)
        if self._reached(now):
            return None
        return self._steering.towards(target, self._point, now)

    def _reached(self, now: Now) -> bool:
        tolerance = self._spec.tolerance
        if self._point is not None and self._steering.moves.size:
            here = self._steering.here(now)
            return here is not None and bool(np.abs(self._point - here).max() <= tolerance)
        place = now.origin.copy()
        for index, dim in enumerate(self._dims):
            value = now.values.get(dim.measured.observation) if dim.measured is not None else None
            if value is not None and dim.measured is not None:
                place[index] = value.reshape(-1)[dim.measured.index]
        return bool((np.abs(self._target - place)[self._goes] <= tolerance).all())


class Backtrack:
    """Goes back along the path travelled: positions through what was sent, deltas through where the point was.

    Deltas are steered by where the point is measured; to send them again with the sign turned would not lead back,
    since what was sent is not what was moved, least of all where something was in the way.
    """

    name = "backtrack"

    def __init__(self, spec: BacktrackSpec) -> None:
        self._spec = spec

    def begin(self, robot: RobotSpec, path: list[Waypoint]) -> bool:
        self._steering = Steering(robot, self._spec.speed)
        steered = bool(self._steering.moves.size)
        self._path = [waypoint for waypoint in path if waypoint.point is not None or not steered]
        self._next = 0
        return len(self._path) > 1

    def act(self, now: Now) -> Array | None:
        while self._next < len(self._path) and self._reached(self._path[self._next], now):
            self._next += 1
        if self._next == len(self._path):
            return None
        waypoint = self._path[self._next]
        return self._steering.towards(waypoint.sent, waypoint.point, now)

    def _reached(self, waypoint: Waypoint, now: Now) -> bool:
        tolerance, steering = self._spec.tolerance, self._steering
        away = np.abs(waypoint.sent - now.origin)[steering.position]
        if not (away <= tolerance).all():
            return False
        here = steering.here(now)
        if not steering.moves.size or waypoint.point is None:
            return True
        return here is not None and bool(np.abs(waypoint.point - here).max() <= tolerance)
