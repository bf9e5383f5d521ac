"""Ranking of failures, and the course of a mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.attempts import UNJUDGED_SEVERITY, UNTAGGED, Row
from xrollout_ros.mining.failures import ranked
from xrollout_ros.mining.looking import Look
from xrollout_ros.mining.trend import LEAST, Course, Round, fall, trend

MODES = ("dropped", "never_reached", "")


def row(number: int, **values: Any) -> Row:
    known: dict[str, Any] = {
        "episode_id": f"{number:026d}", "path": f"bag{number}", "kind": "attempt", "start": "wide", "seed": number,
        "policy_id": "p", "started_at": f"2026-01-31T12:00:{number:07d}", "outcome": "failure", "attempt": True,
        "success": False, "helped": False, "failure_mode": "dropped", "failure_moment_s": 1.0, "failure_severity": 0.6,
        "failure_author": "rule:dropped",
    }  # fmt: skip
    return Row(**{**known, **values})


def look(*values: float) -> Look:
    return Look((0.0,), tuple(f"d{index}" for index in range(len(values))), values)


@settings(deadline=None, max_examples=60)
@given(
    failures=st.lists(st.tuples(st.sampled_from(MODES), st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    others=st.integers(0, 50),
)
def test_every_failure_is_in_one_group_and_the_order_is_that_of_the_scores(
    failures: list[tuple[str, float, bool]], others: int
) -> None:
    rows = [
        row(number, failure_mode=mode, failure_severity=severity if mode else None)
        for number, (mode, severity, _) in enumerate(failures)
    ]
    looks = {
        each.episode_id: look(float(number % 7), 1.0) if described else Look()
        for number, (each, (_, _, described)) in enumerate(zip(rows, failures, strict=True))
    }
    attempts = len(rows) + others
    groups = ranked(rows, looks, attempts)
    members = [name for group in groups for name in group.members]
    assert sorted(members) == sorted(each.episode_id for each in rows)
    assert [group.score for group in groups] == sorted((group.score for group in groups), reverse=True)
    by_id = {each.episode_id: each for each in rows}
    for group in groups:
        assert {by_id[name].mode for name in group.members} == {group.mode}
        assert group.medoid in group.members
        assert (group.low, group.high) == wilson(len(group.members), attempts)
        assert group.score == pytest.approx(group.low * group.severity)
        assert group.low <= group.frequency <= group.high + 1e-12


def test_clusters_are_numbered_inside_their_mode_and_the_rest_is_unclustered() -> None:
    random = np.random.default_rng(0)
    places = [*random.normal(0, 0.1, (14, 3)), *random.normal(9, 0.1, (12, 3)), np.array([90.0, -90.0, 40.0])]
    rows = [row(number) for number in range(len(places))]
    looks = {each.episode_id: look(*place) for each, place in zip(rows, places, strict=True)}
    groups = ranked(rows, looks, 60)
    assert [(group.name, len(group.members)) for group in groups] == [
        ("dropped #1", 14), ("dropped #2", 12), ("dropped, unclustered", 1),
    ]  # fmt: skip
    assert all(group.stability is not None and group.stability > 0.6 for group in groups[:2])
    assert groups[2].stability is None
    assert groups == ranked(rows, looks, 60)


def test_the_most_typical_failure_stands_first() -> None:
    rows = [row(number) for number in range(5)]
    looks = {each.episode_id: look(value, 0.0) for each, value in zip(rows, (0.0, 9.0, 1.1, 1.0, 2.0), strict=True)}
    (group,) = ranked(rows, looks, 10)
    assert group.name == "dropped"
    assert group.medoid == rows[2].episode_id


def test_what_nobody_judged_is_a_group_of_its_own() -> None:
    rows = [row(0, failure_mode="", failure_severity=None), row(1)]
    groups = {group.mode: group for group in ranked(rows, {each.episode_id: Look() for each in rows}, 4)}
    assert groups[UNTAGGED].severity == UNJUDGED_SEVERITY


def history(*policies: tuple[int, int]) -> list[Row]:
    """Attempts and failures of each policy, in order of time."""
    rows = []
    for number, (attempts, failures) in enumerate(policies):
        for index in range(attempts):
            failed = index < failures
            outcome = {"outcome": "failure" if failed else "success", "success": not failed}
            mode = {"failure_mode": "dropped" if failed else ""}
            rows.append(row(1000 * (number + 1) + index, policy_id=f"p{number}", **outcome, **mode))
    return rows


def shown(*moments: int) -> list[Row]:
    return [row(moment, kind="demonstration", outcome="success", policy_id="") for moment in moments]


BETWEEN = shown(1500, 2500)


@pytest.mark.parametrize(
    ("policies", "demonstrations", "course"),
    [
        ([(40, 20)], BETWEEN, Course.ONE_POLICY),
        ([(40, 20), (LEAST - 1, 0)], BETWEEN, Course.ONE_POLICY),
        ([(40, 20), (40, 20)], [], Course.NOTHING_ADDED),
        ([(40, 20), (40, 20)], shown(1, 9_000), Course.NOTHING_ADDED),
        ([(40, 20), (40, 4)], BETWEEN, Course.FALLING),
        ([(200, 100), (200, 98)], BETWEEN, Course.PLATEAUED),
        ([(200, 100), (200, 140)], BETWEEN, Course.PLATEAUED),
        ([(20, 4), (20, 4)], BETWEEN, Course.TOO_FEW),
        ([(200, 190), (200, 100), (200, 99), (200, 98)], shown(3500, 4500), Course.PLATEAUED),
        ([(40, 0), (40, 1)], BETWEEN, Course.TOO_FEW),
    ],
)
def test_the_course_of_a_mode(policies: list[tuple[int, int]], demonstrations: list[Row], course: Course) -> None:
    found = trend("dropped", history(*policies), demonstrations)
    assert found.course is course
    assert found.words
    assert trend("never_reached", history(*policies), demonstrations).course is not Course.PLATEAUED


def test_attempts_from_other_starts_are_not_compared() -> None:
    other = [row(900 + index, policy_id="p0", start="nominal") for index in range(30)]
    found = trend("dropped", [*other, *history((20, 4), (20, 4))], BETWEEN)
    assert [(each.attempts, each.failures, each.added) for each in found.rounds] == [(20, 4, 0), (20, 4, 1)]
    assert trend("dropped", [], []).course is Course.ONE_POLICY


def test_the_course_ends_with_the_policy_that_is_mined() -> None:
    policies = history((40, 20), (40, 4))
    again = [replace(each, episode_id=f"again{each.episode_id}") for each in policies[:20]]
    assert trend("dropped", [*policies, *again], BETWEEN, policy="p1").course is Course.FALLING
    assert trend("dropped", [*policies, *again], BETWEEN, policy="p0").course is Course.ONE_POLICY


def test_added_is_what_the_newer_policy_was_trained_from_where_that_is_known() -> None:
    demonstrations = shown(1500, 1600, 2500)
    names = [each.episode_id for each in demonstrations]
    policies = history((20, 4), (20, 4))
    known = {"p0": frozenset(names[:1]), "p1": frozenset([*names[:2], "elsewhere"])}
    assert [each.added for each in trend("dropped", policies, demonstrations, known).rounds] == [0, 1]
    assert [each.added for each in trend("dropped", policies, demonstrations, {"p1": known["p1"]}).rounds] == [0, 2]


def test_starts_are_compared_from_which_the_mode_occurs() -> None:
    rows = history((12, 6), (12, 3))
    rows = [*rows[:12], *(replace(each, start="nominal", failure_mode="", success=True, outcome="success",
            episode_id=f"n{each.episode_id}") for each in rows[:12]), *rows[12:]]  # fmt: skip
    rows += [replace(each, start="nominal", outcome="success", success=True, episode_id=f"n{each.episode_id}")
             for each in rows[-12:]] * 2  # fmt: skip
    assert trend("dropped", rows, BETWEEN).start == "wide"
    assert trend("never_reached", rows, BETWEEN).start == "nominal"


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_the_fall_lies_within_its_interval(one: int, two: int, data: st.DataObject) -> None:
    first, last = data.draw(st.integers(0, one)), data.draw(st.integers(0, two))
    low, high = fall(Round("a", one, first, 0), Round("b", two, last, 0))
    assert -1 - 1e-9 <= low <= first / one - last / two <= high <= 1 + 1e-9
