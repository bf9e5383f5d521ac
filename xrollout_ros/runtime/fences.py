"""Bounds in space and force: where the robot may be, how hard it may press, what its gripper may do where."""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import Finding


class Fences:
    """Judges what is measured, and clips what would lead out of bounds.

    Nobody is driven by a fence: where a robot is out of bounds already, it may stay and it may come back.
    """

    MEASURED = ("unmeasured", "workspace", "force")
    """Names of the checks on what is measured."""
    COMMANDED = ("workspace_edge", "gripper_zone")
    """Names of the checks on what is to be sent."""

    def __init__(self, robot: RobotSpec) -> None:
        safety = robot.safety
        self._point, self._workspace, self._force = safety.point, safety.workspace, safety.force
        self._zones = safety.gripper_zones
        self._jump = safety.jump
        names = [dim.name for dim in robot.actions]
        self._moves = [names.index(name) for name in self._point.actions] if self._point else []
        self._by_position = bool(self._moves) and robot.actions[self._moves[0]].kind is ActionKind.POSITION
        self._grippers = [names.index(zone.gripper) for zone in self._zones]
        self._jumps = np.array([(self._jump.limits if self._jump else {}).get(name, np.inf) for name in names])
        self._names = names

    def measured(self, values: dict[str, Array]) -> list[Finding]:
        """What is wrong with what is measured, by the newest values of the observations."""
        needed = {
            *((self._point.observation,) if self._point and (self._workspace or self._zones) else ()),
            *((self._force.observation,) if self._force else ()),
        }
        blind = [name for name in sorted(needed) if name not in values or not np.isfinite(values[name]).all()]
        if blind:
            return [Finding("unmeasured", Severity.HOLD, len(blind), 0, f"{', '.join(blind)}: not measured; holding")]
        findings = []
        if self._force is not None:
            newtons = float(np.linalg.norm(values[self._force.observation]))
            if newtons > self._force.limit:
                taken = f"{self._force.observation} is too large"
                findings.append(Finding("force", self._force.severity, newtons, self._force.limit, taken))
        if self._workspace is not None and self._point is not None:
            place = values[self._point.observation].reshape(-1)
            lower, upper = np.array(self._workspace.lower), np.array(self._workspace.upper)
            out = np.maximum(place - upper, lower - place)
            axis = int(np.argmax(out))
            if out[axis] > 0:
                bound = upper if place[axis] > upper[axis] else lower
                taken = f"{self._point.observation} is outside the workspace on axis {axis}"
                findings.append(
                    Finding("workspace", self._workspace.severity, float(place[axis]), float(bound[axis]), taken)
                )
        return findings

    def jump(self, action: Array, origin: Array) -> tuple[Array, Finding | None]:
        """Whether the policy leaps away from what is being sent ``origin`` (NaN: unknown); and the action clipped."""
        if self._jump is None:
            return action, None
        leap = np.nan_to_num(np.abs(action - origin)) / self._jumps
        worst = int(np.argmax(leap))
        if leap[worst] <= 1:
            return action, None
        finding = Finding(
            "jump",
            self._jump.severity,
            float(leap[worst] * self._jumps[worst]),
            float(self._jumps[worst]),
            f"the policy leaps: {self._names[worst]}",
        )
        known = np.where(np.isnan(origin), action, origin)
        return np.clip(action, known - self._jumps, known + self._jumps), finding

    def clip(self, action: Array, origin: Array, values: dict[str, Array]) -> tuple[Array, list[Finding]]:
        """The action with what leads out of bounds taken away, and what was found.

        Args:
            action: (A,) what is wanted.
            origin: (A,) what is being sent; NaN where unknown.
            values: newest values of the observations.
        """
        place = values.get(self._point.observation) if self._point is not None else None
        if place is None or not np.isfinite(place).all():
            return action, []
        place, kept, findings = place.reshape(-1), action.copy(), []
        if self._workspace is not None and self._moves:
            lower, upper = self._edges(place, origin)
            kept[self._moves] = np.clip(action[self._moves], lower, upper)
            over = np.abs(kept - action)[self._moves]
            if over.any():
                axis = int(np.argmax(over))
                taken = "clipped at the edge of the workspace"
                findings.append(
                    Finding(
                        "workspace_edge",
                        Severity.CLIP,
                        float(action[self._moves[axis]]),
                        float(kept[self._moves[axis]]),
                        taken,
                    )
                )
        for zone, gripper in zip(self._zones, self._grippers, strict=True):
            if not (np.array(zone.lower) <= place).all() or not (place <= np.array(zone.upper)).all():
                continue
            now = origin[gripper]
            low, high = np.fmin(zone.allowed[0], now), np.fmax(zone.allowed[1], now)
            held = float(np.clip(kept[gripper], low, high))
            if held != kept[gripper]:
                taken = "the gripper may not do that here"
                findings.append(Finding("gripper_zone", Severity.CLIP, float(kept[gripper]), held, taken))
                kept[gripper] = held
        return kept, findings

    def _edges(self, place: Array, origin: Array) -> tuple[Array, Array]:
        """Bounds of the actions that move the point ``(P,)``."""
        assert self._workspace is not None
        assert self._point is not None
        lower, upper = np.array(self._workspace.lower), np.array(self._workspace.upper)
        if self._by_position:
            now = origin[self._moves]
            return np.fmin(lower, now), np.fmax(upper, now)
        scale = self._point.scale
        return np.minimum(0, (lower - place) / scale), np.maximum(0, (upper - place) / scale)
