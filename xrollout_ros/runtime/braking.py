"""How fast one value may go so that it still comes to rest in time, its acceleration and jerk limited.

A value moves in ticks: its velocity is its last step by the tick's length, its acceleration the last change of that by
the tick's length. Numbers here are plain floats: for the few values of a robot that is faster than arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_TRIES = 10
"""Most evaluations of one search; each at least about halves what is left."""


@dataclass(frozen=True)
class Bounds:
    """Limits of a value and its derivatives; inf: none."""

    lower: float
    upper: float
    rate: float
    acceleration: float
    jerk: float


@dataclass(frozen=True)
class Moving:
    """Where a value is, and how it came there."""

    place: float
    velocity: float = 0.0
    acceleration: float = 0.0


def stoppable(room: float, deceleration: float, dt_s: float) -> float:
    """The largest velocity for the next tick that leaves room to brake, however long the ticks after it last.

    Args:
        room: distance to what must not be passed.
        deceleration: largest one; inf: none needed.
        dt_s: length of the next tick.

    Returns:
        v with ``v dt + v² / (2 deceleration) = room``; after a tick at v, braking keeps this true for any next ``dt``.
    """
    if room <= 0 or math.isinf(room):
        return max(room, 0.0)
    # The root in the form that stays exact where the deceleration is large.
    return 2 * room / (dt_s + math.sqrt(dt_s * dt_s + 2 * room / deceleration))


def velocity_span(now: Moving, bounds: Bounds, dt_s: float) -> tuple[float, float]:
    """Least and largest velocity of the next tick, by the limits of place, rate and acceleration alone.

    The span is never empty as long as every tick before kept to it.
    """
    change = bounds.acceleration * dt_s
    below = stoppable(now.place - bounds.lower, bounds.acceleration, dt_s)
    above = stoppable(bounds.upper - now.place, bounds.acceleration, dt_s)
    least = max(now.velocity - change, -bounds.rate, -below)
    return least, max(least, min(now.velocity + change, bounds.rate, above))


def acceleration_span(now: Moving, bounds: Bounds, dt_s: float) -> tuple[float, float]:
    """Least and largest acceleration of the next tick, by its own limit and the jerk's.

    It can be brought to zero before the rate is reached.
    """
    change = bounds.jerk * dt_s
    faster = stoppable(bounds.rate - now.velocity, bounds.jerk, dt_s)
    slower = stoppable(bounds.rate + now.velocity, bounds.jerk, dt_s)
    most = min(now.acceleration + change, bounds.acceleration, faster)
    least = max(now.acceleration - change, -bounds.acceleration, -slower)
    return min(least, most), max(least, most)


def velocity_towards(goal: float, goal_velocity: float, now: Moving, bounds: Bounds, dt_s: float) -> float:
    """The velocity of the next tick with which braking ends at a goal that moves on; no jerk limit."""
    gap = goal - now.place - goal_velocity * dt_s
    return goal_velocity + math.copysign(stoppable(abs(gap), bounds.acceleration, dt_s), gap)


def smooth_velocity_towards(goal: float, goal_velocity: float, now: Moving, bounds: Bounds, dt_s: float) -> float:
    """The same with a limited jerk, and such that braking with a limited jerk ends within the limits of the place.

    The place where a motion can stop grows with the acceleration chosen now: of the accelerations that are allowed,
    take the one whose stopping point is the goal.
    """

    def stops(acceleration: float, frame: float) -> float:
        velocity = now.velocity + acceleration * dt_s
        place = now.place + velocity * dt_s
        return place + stopping_distance(velocity - frame, acceleration, bounds, dt_s)

    least, most = acceleration_span(now, bounds, dt_s)
    chosen = _solve(lambda acceleration: stops(acceleration, goal_velocity) - goal, least, most)
    end = stops(chosen, 0.0)
    if end > bounds.upper:
        chosen = _solve(lambda acceleration: stops(acceleration, 0.0) - bounds.upper, least, chosen)
    elif end < bounds.lower:
        chosen = _solve(lambda acceleration: stops(acceleration, 0.0) - bounds.lower, chosen, most)
    return now.velocity + chosen * dt_s


def stopping_distance(velocity: float, acceleration: float, bounds: Bounds, dt_s: float) -> float:
    """How far a value still goes until it rests, with its acceleration and jerk limited (both finite)."""
    jerk = bounds.jerk
    # The motion goes in ticks whose velocity changes at their beginning; a continuous one that begins like this
    # comes to rest at the same place.
    begin = velocity - acceleration * (dt_s / 2)
    sign = 1.0 if begin + acceleration * abs(acceleration) / (2 * jerk) >= 0 else -1.0
    v, a = begin * sign, acceleration * sign
    # Three phases: the deceleration grows to its peak, stays there, and is released.
    peak = min(math.sqrt(max(jerk * v + a * a / 2, 0.0)), bounds.acceleration)
    onset_s = max(a + peak, 0.0) / jerk
    v_braking = v + onset_s * (a - jerk * onset_s / 2)
    v_release = peak * peak / (2 * jerk)
    braking_s = max(v_braking - v_release, 0.0) / peak if peak > 0 else 0.0
    distance = onset_s * (v + onset_s * (a / 2 - jerk * onset_s / 6))
    distance += braking_s * (v_braking + v_release) / 2 + v_release * peak / (3 * jerk)
    return sign * distance - begin * dt_s


def _solve(excess: Callable[[float], float], least: float, most: float) -> float:
    """Where a growing function is zero, or the end of the span that is nearest to it.

    The secant between the ends, and where it is slow half of their distance (the Illinois method).
    """
    high = excess(most)
    if high <= 0:
        return most
    low = excess(least)
    if low >= 0:
        return least
    close = 1e-3 * (most - least)
    side = 0
    for _ in range(_TRIES):
        tried = least - low * (most - least) / (high - low)
        value = excess(tried)
        if value > 0:
            most, high = tried, value
            low = low / 2 if side > 0 else low
            side = 1
        else:
            least, low = tried, value
            high = high / 2 if side < 0 else high
            side = -1
        if most - least <= close or value == 0:
            break
    # The end that stops short.
    return least
