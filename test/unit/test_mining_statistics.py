"""The success rate and how sure it is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from xrollout_ros.core.episode import Outcome, Result
from xrollout_ros.core.errors import DataError
from xrollout_ros.mining.statistics import success_rate, success_rate_of


@pytest.mark.parametrize(
    ("successes", "attempts", "low", "high"),
    [(0, 20, 0.0, 0.1611), (13, 20, 0.4329, 0.8188), (20, 20, 0.8389, 1.0), (1, 10, 0.0179, 0.4042)],
)
def test_known_intervals(successes: int, attempts: int, low: float, high: float) -> None:
    """Computed by hand from Wilson's formula with z = 1.95996."""
    found = success_rate(successes, attempts)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_rate_lies_inside(counts: tuple[int, int]) -> None:
    found = success_rate(*counts)
    assert -1e-12 <= found.low <= found.rate + 1e-12
    assert found.rate - 1e-12 <= found.high <= 1 + 1e-12


def test_unknown_outcomes_are_left_out_and_counted() -> None:
    outcomes = [Outcome.SUCCESS, Outcome.ABORT, Outcome.FAILURE, Outcome.UNKNOWN, Outcome.SUCCESS]
    found = success_rate_of(map(Result, outcomes))
    assert (found.successes, found.attempts, found.unknown, found.rate) == (2, 4, 1, 0.5)
    assert "2/4 = 50%" in str(found)
    assert "1 unknown" in str(found)


@given(st.lists(st.builds(Result, st.sampled_from(Outcome), st.booleans())))
def test_what_a_policy_was_helped_with_is_an_attempt_and_no_success(results: list[Result]) -> None:
    found = success_rate_of(results)
    alone = success_rate_of(result for result in results if not result.helped)
    assert found.successes == alone.successes
    assert found.attempts == sum(result.outcome is not Outcome.UNKNOWN for result in results)
    assert found.helped == len(results) - alone.attempts - alone.unknown
    if found.attempts:
        said = str(found)
        assert said.startswith(f"{found.successes}/{found.attempts} ")
        assert ("autonomous" in said) == (f"{found.helped} helped by an operator" in said) == bool(found.helped)


def test_nothing_is_known_without_attempts() -> None:
    found = success_rate_of([])
    assert (found.low, found.high) == (0.0, 1.0)
    assert math.isnan(found.rate)
    assert str(found) == "no attempts with a known outcome"


@pytest.mark.parametrize("counts", [(-1, 3), (4, 3), (0, -1)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="successes among"):
        success_rate(*counts)
    with pytest.raises(DataError, match="confidence"):
        success_rate(1, 2, confidence=1.0)


@given(
    st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99])
)
def test_agrees_with_scipy(counts: tuple[int, int], confidence: float) -> None:
    theirs = binomtest(*counts).proportion_ci(confidence, method="wilson")
    found = success_rate(*counts, confidence=confidence)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
