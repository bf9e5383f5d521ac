"""What a node measures of itself, and how observations are put together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.assembler import ObservationAssembler
from xrollout_ros.runtime.meter import Meter

from .robots import dim, robot

MS = 1_000_000


def test_a_report_covers_what_came_since_the_one_before() -> None:
    meter = Meter(0.01)
    for spent_s in (0.001, 0.003, 0.002):
        meter.note(spent_s, late_s=spent_s / 2)
    first = meter.report()
    assert (first.ticks, first.worst_s, first.worst_late_s, first.late_ticks) == (3, 0.003, 0.0015, 0)
    assert meter.report().ticks == 0
    assert meter.report().worst_s == 0.0


def test_late_ticks_and_missed_ones_are_counted_from_the_start() -> None:
    meter = Meter(0.01)
    meter.note(0.001, late_s=0.0051)
    meter.note(0.001, late_s=0.005)
    meter.missed(3)
    assert meter.report().late_ticks == 4
    assert meter.report().late_ticks == 4


def test_nothing_is_late_where_nothing_is_scheduled() -> None:
    meter = Meter()
    meter.note(0.001, late_s=10.0)
    assert meter.report().late_ticks == 0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_the_percentile_lies_between_the_median_and_the_worst(spent: list[float]) -> None:
    meter = Meter()
    for value in spent:
        meter.note(value)
    report = meter.report()
    assert report.worst_s == max(spent)
    assert sorted(spent)[len(spent) // 2] <= report.p99_s <= report.worst_s


def entry(name: str, topic: str, rate_hz: float) -> dict[str, object]:
    return {
        "name": name,
        "topic": topic,
        "type": "std_msgs/msg/Float64",
        "field": "data",
        "shape": [1],
        "unit": "m",
        "rate_hz": rate_hz,
        "max_age_s": 1.0,
    }


ROBOT: RobotSpec = robot(
    [dim("a", "velocity")],
    observations=[entry("arm", "/arm", 100.0), entry("hand", "/hand", 100.0), entry("slow", "/slow", 10.0)],
)


def message(value: float) -> SimpleNamespace:
    return SimpleNamespace(data=value)


def test_a_stepped_observation_waits_for_every_topic_of_its_step() -> None:
    assembler = ObservationAssembler(ROBOT)
    assembler.update("/arm", message(1), 5)
    assembler.update("/hand", message(2), 5)
    assert assembler.at(5, 0, "e") is None
    assert assembler.missing() == ["/slow"]
    assembler.update("/slow", message(3), 4)
    assert assembler.at(5, 0, "e") is None
    assembler.update("/slow", message(3), 5)
    observation = assembler.at(5, 7, "e")
    assert observation is not None
    assert (observation.state.tolist(), observation.step, observation.stamp_ns) == ([1, 2, 3], 7, 5)


def test_in_real_time_the_fastest_sensors_lead() -> None:
    assembler = ObservationAssembler(ROBOT)
    assembler.update("/slow", message(3), 0)
    assembler.update("/arm", message(1), 100 * MS)
    assert not assembler.aligned
    assert assembler.latest("e") is None
    assembler.update("/hand", message(2), 101 * MS)
    assert assembler.aligned
    observation = assembler.latest("e")
    assert observation is not None
    assert observation.stamp_ns == 100 * MS
    assert not assembler.aligned
    assembler.update("/arm", message(1), 110 * MS)
    assert not assembler.aligned, "the hand's value is of the moment before"
    assembler.update("/hand", message(2), 111 * MS)
    assert assembler.aligned


def test_a_message_without_the_field_names_it() -> None:
    with pytest.raises(SpecError, match="has no field 'data'"):
        ObservationAssembler(ROBOT).update("/arm", SimpleNamespace(value=1), 0)
