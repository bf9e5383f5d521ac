"""Limits of what is about to be sent: clipped to the robot's range, rates, accelerations and jerks."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.braking import (
    Bounds,
    Moving,
    acceleration_span,
    smooth_velocity_towards,
    velocity_span,
    velocity_towards,
)
from xrollout_ros.runtime.checks import Finding

Mask = npt.NDArray[np.bool_]
_SLACK = 1e-9
"""Share of a limit that rounding may exceed it by."""


class Limiter:
    """Clips an action to the limits and rates of the robot, and lets no value start or stop faster than it may.

    Where limits contradict each other the range wins over the rate, the rate over the acceleration, and that over the
    jerk. (What brakes before the end of its range with all its acceleration begins to at once, whatever the jerk.)
    A motion that respects all of them, and could always brake before the end of its range, is sent as it is.

    The first derivative depends on the last action alone; the others on what was sent before it, which is kept here.
    """

    CHECKS = ("limit", "rate", "acceleration", "jerk")
    """Names of what it finds."""

    def __init__(self, robot: RobotSpec) -> None:
        self.lower, self.upper, self.max_rate = robot.lower, robot.upper, robot.max_rate
        self._rated = bool(np.isfinite(self.max_rate).any())
        self._axes = _axes(robot)

    def reset(self) -> None:
        """The robot rests: an attempt begins, or nothing was sent for a while."""
        for axis in self._axes.values():
            axis.reset()

    def beyond(self, action: Array) -> Finding | None:
        """The value ``(A,)`` that is farthest out of the robot's range; None: none is."""
        over = np.maximum(action - self.upper, self.lower - action)
        worst = int(np.argmax(over))
        if over[worst] <= 0:
            return None
        bound = self.upper if action[worst] > self.upper[worst] else self.lower
        return Finding("limit", Severity.CLIP, float(action[worst]), float(bound[worst]), "clipped to the limit")

    def apply(self, action: Array, last: Array, dt_s: float) -> tuple[Array, Mask, list[Finding]]:
        """Limit one action.

        Args:
            action: ``(A,)``, finite.
            last: ``(A,)`` where it comes from: what was sent before, or what is measured; NaN where nothing is known,
                and so no rate. Where it is not what was sent before, the value rests there.
            dt_s: time between the two, s; above 0.

        Returns:
            The action to send, where it was changed ``(A,)``, and what was found.
        """
        beyond = self.beyond(action)
        findings = [beyond] if beyond is not None else []
        sent = goal = np.clip(action, self.lower, self.upper)
        if self._rated:
            step = self.max_rate * dt_s
            rates = np.abs(goal - last) / dt_s
            fast = rates > self.max_rate * (1 + 1e-9)
            if fast.any():
                worst = int(np.argmax(np.where(fast, rates / self.max_rate, 0)))
                findings.append(_slowed("rate", float(rates[worst]), float(self.max_rate[worst])))
                sent = np.where(fast, np.clip(goal, last - step, last + step), goal)
        if self._axes:
            rated, sent, slowed = sent, sent.copy(), []
            for at, axis in self._axes.items():
                sent[at], finding = axis.apply(float(goal[at]), float(rated[at]), float(last[at]), dt_s)
                if finding is not None:
                    slowed.append(finding)
            findings += _worst(slowed)
        return sent, sent != action, findings


class _Axis:
    """One value whose acceleration is limited, and perhaps its jerk; it knows how it has moved.

    For a velocity the acceleration of the value is what its spec calls the jerk.
    """

    def __init__(self, bounds: Bounds, name: str) -> None:
        self._bounds, self._name = bounds, name
        self._smooth = math.isfinite(bounds.jerk)
        self.reset()

    def reset(self) -> None:
        self._sent = self._goal = math.nan
        self._velocity = self._acceleration = self._goal_velocity = 0.0

    def apply(self, goal: float, rated: float, last: float, dt_s: float) -> tuple[float, Finding | None]:
        """Limit ``rated``, which is the goal with its rate limited already."""
        if math.isnan(last):
            self.reset()
            self._sent = self._goal = rated
            return rated, None
        if last != self._sent:
            self.reset()
            self._goal = last
        now = Moving(last, self._velocity, self._acceleration)
        goal_velocity = (goal - self._goal) / dt_s
        velocity, reached = self._choose(goal, self._steady(goal_velocity), now, last == self._goal, dt_s)
        sent = goal if reached else min(max(last + velocity * dt_s, self._bounds.lower), self._bounds.upper)
        finding = None if reached or sent == rated else self._finding((rated - last) / dt_s, now, dt_s)
        self._goal, self._goal_velocity, self._sent = goal, goal_velocity, sent
        self._velocity = (sent - last) / dt_s
        self._acceleration = (self._velocity - now.velocity) / dt_s
        return sent, finding

    def _steady(self, goal_velocity: float) -> float:
        """How fast the goal moves on: the smaller of its last two velocities, so that a leap is none."""
        before = self._goal_velocity
        if goal_velocity * before <= 0:
            return 0.0
        smaller = min(goal_velocity, before, key=abs)
        return min(max(smaller, -self._bounds.rate), self._bounds.rate)

    def _choose(
        self, goal: float, goal_velocity: float, now: Moving, following: bool, dt_s: float
    ) -> tuple[float, bool]:
        """The velocity of the next tick, and whether it ends at the goal.

        At the goal may be what follows it already, and what could move on with it in the next tick.
        """
        bounds = self._bounds
        wanted = (goal - now.place) / dt_s
        least, most = velocity_span(now, bounds, dt_s)
        slack = _SLACK * max(bounds.acceleration * dt_s, abs(wanted))
        reached = least - slack <= wanted <= most + slack
        if not self._smooth:
            reached = reached and (following or abs(wanted - goal_velocity) <= bounds.acceleration * dt_s)
            velocity = wanted if reached else velocity_towards(goal, goal_velocity, now, bounds, dt_s)
        else:
            reached = reached and self._smoothly(wanted, goal_velocity, now, following, dt_s)
            velocity = wanted if reached else smooth_velocity_towards(goal, goal_velocity, now, bounds, dt_s)
        return min(max(velocity, least), most), reached

    def _smoothly(self, wanted: float, goal_velocity: float, now: Moving, following: bool, dt_s: float) -> bool:
        """Whether the jerk allows this velocity, and to move on with the goal in the next tick."""
        least, most = acceleration_span(now, self._bounds, dt_s)
        needed, apart = (wanted - now.velocity) / dt_s, (wanted - goal_velocity) / dt_s
        change = self._bounds.jerk * dt_s
        slack = _SLACK * (change + abs(wanted) / dt_s)
        if not least - slack <= needed <= most + slack:
            return False
        return following or (abs(apart) <= change and abs(apart + needed) <= change)

    def _finding(self, wanted: float, now: Moving, dt_s: float) -> Finding:
        """What objects to the velocity that the rate alone would allow."""
        bounds = self._bounds
        acceleration = (wanted - now.velocity) / dt_s
        # What is slowed though it could go faster now could not stop in time; say what stopping at once would take.
        halt = abs(wanted) / dt_s
        if self._smooth and abs(acceleration) <= bounds.acceleration:
            jerk = abs(acceleration - now.acceleration) / dt_s
            return _slowed("jerk", jerk if jerk > bounds.jerk else halt / dt_s, bounds.jerk)
        value = abs(acceleration) if abs(acceleration) > bounds.acceleration else halt
        return _slowed(self._name, value, bounds.acceleration)


def _axes(robot: RobotSpec) -> dict[int, _Axis]:
    """The values whose acceleration or jerk is limited, by their place in the action."""
    axes = {}
    for at, dim in enumerate(robot.actions):
        first, second, third = dim.derivative_limits
        if math.isfinite(second):
            name = "jerk" if dim.kind is ActionKind.VELOCITY else "acceleration"
            axes[at] = _Axis(Bounds(dim.lower, dim.upper, first, second, third), name)
    return axes


def _slowed(check: str, value: float, limit: float) -> Finding:
    return Finding(check, Severity.CLIP, value, limit, f"slowed to the {check}")


def _worst(findings: list[Finding]) -> list[Finding]:
    """For each check the one that is farthest from its limit."""
    worst: dict[str, Finding] = {}
    for finding in findings:
        before = worst.get(finding.check)
        if before is None or finding.value / finding.limit > before.value / before.limit:
            worst[finding.check] = finding
    return list(worst.values())
