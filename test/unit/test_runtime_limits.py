"""The limiter: what is really sent stays within its range, rate, acceleration and jerk, and still arrives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import Finding
from xrollout_ros.runtime.limits import Limiter

from .robots import dim, robot

DT = 0.01
limits = st.floats(0.05, 50.0)
actions = st.lists(st.floats(-3, 3), min_size=1, max_size=80)
dts = st.floats(0.002, 0.05)


def axis(kind: str = "position", **values: float) -> RobotSpec:
    if kind == "position":
        measured = {"measured": {"observation": "joints", "index": 0}}
        return robot([dim("a", kind, "measured", **values, **measured)])
    return robot([dim("a", kind, "keep" if kind == "gripper" else "zero", **values)])


class Sent:
    """What a limiter lets through, and the derivatives of it."""

    def __init__(self, spec: RobotSpec, wanted: Any, times_s: Any = DT, begin: float = 0.0) -> None:
        limiter = Limiter(spec)
        last = np.array([begin])
        values, found = [begin], []
        self.dt = np.broadcast_to(np.asarray(times_s, dtype=np.float64), (len(wanted),))
        for value, dt_s in zip(wanted, self.dt, strict=True):
            last, _, findings = limiter.apply(np.array([value]), last, float(dt_s))
            values.append(float(last[0]))
            found.append(findings)
        self.found: list[list[Finding]] = found
        self.values = np.array(values)
        self.rate = np.diff(self.values) / self.dt
        self.acceleration = np.diff(self.rate, prepend=0.0) / self.dt
        self.jerk = np.diff(self.acceleration, prepend=0.0) / self.dt

    @property
    def checks(self) -> set[str]:
        return {finding.check for findings in self.found for finding in findings}


def over(values: npt.NDArray[np.float64], limit: float, noise: npt.NDArray[np.float64] | float = 0.0) -> bool:
    return bool((np.abs(values) > limit * (1 + 1e-6) + noise).any())


@settings(max_examples=300)
@given(actions, st.data(), st.none() | limits, st.none() | limits, st.booleans(), st.floats(-1, 1))
def test_no_sequence_of_actions_is_sent_faster_than_allowed_however_long_ticks_last(
    wanted: list[float],
    data: st.DataObject,
    max_rate: float | None,
    max_acceleration: float | None,
    jerked: bool,
    begin: float,
) -> None:
    given_limits = {"max_rate": max_rate, "max_acceleration": max_acceleration}
    if jerked and max_acceleration is not None:
        given_limits["max_jerk"] = data.draw(limits) * 10
    times = data.draw(st.lists(dts, min_size=len(wanted), max_size=len(wanted)))
    spec = axis(**{name: value for name, value in given_limits.items() if value is not None})
    sent = Sent(spec, wanted, times, begin)
    assert np.isfinite(sent.values).all()
    assert (np.abs(sent.values) <= 1).all()
    rounding = 1e-12 / sent.dt
    assert not over(sent.rate, max_rate or math.inf, rounding)
    # No limit of the range or the rate ever asks for more than the acceleration allows.
    assert not over(sent.acceleration, max_acceleration or math.inf, 4 * rounding / sent.dt.min())


@settings(max_examples=200)
@given(st.lists(st.floats(-0.4, 0.4), min_size=1, max_size=80), st.floats(0.2, 2), st.floats(1, 20), st.floats(10, 500))
def test_the_jerk_is_limited_where_the_range_does_not_ask_for_more(
    wanted: list[float], max_rate: float, max_acceleration: float, max_jerk: float
) -> None:
    sent = Sent(axis(max_rate=max_rate, max_acceleration=max_acceleration, max_jerk=max_jerk), wanted)
    near = np.abs(sent.values[:-1]) + sent.rate**2 / max_acceleration + np.abs(sent.rate) * 0.2 > 0.9
    assume(not near.any())
    assert not over(sent.jerk, max_jerk, 1e-12 / DT**3)


@settings(max_examples=30)
@given(
    st.lists(st.floats(-2, 2), max_size=30),
    st.floats(-1.5, 1.5),
    st.floats(0.5, 5),
    st.floats(0.5, 50),
    st.none() | st.floats(5, 5000),
    st.none() | st.lists(st.floats(0.004, 0.02), min_size=2000, max_size=2000),
)
def test_it_arrives_at_a_goal_that_stays(
    before: list[float],
    goal: float,
    max_rate: float,
    max_acceleration: float,
    max_jerk: float | None,
    times: list[float] | None,
) -> None:
    more = {} if max_jerk is None else {"max_jerk": max_jerk}
    spec = axis(max_rate=max_rate, max_acceleration=max_acceleration, **more)
    wanted = [*before, *[goal] * (2000 - len(before))]
    sent = Sent(spec, wanted, DT if times is None else times)
    inside = min(max(goal, -1), 1)
    assert (np.abs(sent.values[-100:] - inside) < 1e-6).all()


@settings(max_examples=200)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.floats(0.5, 3), st.floats(3, 20), st.floats(40, 2000))
def test_a_motion_that_respects_the_limits_is_sent_as_it_is(
    jerks: list[float], max_rate: float, max_acceleration: float, max_jerk: float
) -> None:
    spec = axis(max_rate=max_rate, max_acceleration=max_acceleration, max_jerk=max_jerk)
    place = velocity = acceleration = 0.0
    motion = []
    for share in jerks:
        least, most = -0.9 * max_acceleration, 0.9 * max_acceleration
        acceleration = min(max(acceleration + 0.9 * share * max_jerk * DT, least), most)
        velocity += acceleration * DT
        place += velocity * DT
        # It could end its acceleration before the rate, and brake before the end of the range.
        assume(abs(velocity) + acceleration**2 / (2 * max_jerk) + abs(acceleration) * DT < 0.95 * max_rate)
        assume(abs(place) + velocity**2 / (2 * max_acceleration) + abs(velocity) * DT < 0.95)
        motion.append(place)
    sent = Sent(spec, motion)
    assert sent.values[1:].tolist() == motion
    assert sent.checks == set()


def test_it_brakes_before_the_end_of_its_range_and_does_not_pass_a_goal() -> None:
    for goal, end in ((3.0, 1.0), (0.7, 0.7)):
        sent = Sent(axis(max_rate=2.0, max_acceleration=5.0), [goal] * 200)
        assert sent.values.max() == end
        assert sent.values[-1] == end
        assert (np.diff(sent.values) >= 0).all()
        assert np.argmax(sent.values == end) < 110  # 0.9 s is what the acceleration takes there and back


def test_a_limited_jerk_passes_a_goal_by_less_than_a_tick_makes() -> None:
    sent = Sent(axis(max_rate=1.0, max_acceleration=5.0, max_jerk=50.0), [0.7] * 200)
    assert sent.values.max() - 0.7 < 0.5 * 5.0 * DT**2
    assert np.abs(sent.jerk).max() <= 50 * (1 + 1e-6)
    assert sent.values[-1] == 0.7


def test_findings_say_which_limit_slowed_and_by_how_much() -> None:
    first = Sent(axis(max_rate=1.0, max_acceleration=5.0), [0.5]).found[0]
    assert [(finding.check, finding.limit) for finding in first] == [("rate", 1.0), ("acceleration", 5.0)]
    assert first[0].value == pytest.approx(50.0)
    assert first[1].value == pytest.approx(100.0)  # the rate alone would have sent 1 unit/s in the first tick
    slow = Sent(axis(max_acceleration=5.0, max_jerk=50.0), [0.0001]).found[0]
    assert [(finding.check, finding.limit) for finding in slow] == [("jerk", 50.0)]
    assert slow[0].value == pytest.approx(100.0)


def test_the_jerk_of_a_velocity_is_the_change_of_its_acceleration() -> None:
    sent = Sent(axis("velocity", max_rate=2.0, max_jerk=20.0), [0.8] * 100)
    assert sent.rate.max() <= 2.0 * (1 + 1e-9)
    assert np.abs(sent.acceleration).max() <= 20 * (1 + 1e-6)
    assert sent.checks == {"rate", "jerk"}
    assert sent.values[-1] == 0.8


def test_a_reset_begins_at_rest_and_so_does_what_was_moved_by_another() -> None:
    spec = axis(max_acceleration=5.0)
    limiter, last = Limiter(spec), np.zeros(1)
    for _ in range(20):
        last, _, _ = limiter.apply(np.ones(1), last, DT)
    limiter.reset()
    again, _, _ = limiter.apply(np.ones(1), last, DT)
    assert again[0] - last[0] <= 5 * DT**2 * (1 + 1e-9)
    elsewhere, _, _ = limiter.apply(np.ones(1), np.array([-0.5]), DT)
    assert elsewhere[0] + 0.5 <= 5 * DT**2 * (1 + 1e-9)


def test_where_nothing_is_known_there_is_no_rate_to_keep() -> None:
    limiter = Limiter(axis("gripper", max_rate=1.0, max_acceleration=5.0))
    sent, clipped, findings = limiter.apply(np.array([0.5]), np.array([math.nan]), DT)
    assert (sent.tolist(), clipped.tolist(), findings) == ([0.5], [False], [])
    assert limiter.apply(np.array([1.0]), sent, DT)[0][0] == pytest.approx(0.5, abs=5 * DT**2)
