"""The Wilson interval against scipy, and its invariants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.statistics import wilson_interval

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_agrees_with_scipy(count: tuple[int, int], confidence: float) -> None:
    successes, n = count
    theirs = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@given(counts)
def test_holds_the_rate_and_stays_a_probability(count: tuple[int, int]) -> None:
    successes, n = count
    lower, upper = wilson_interval(successes, n)
    assert 0 <= lower <= successes / n <= upper <= 1


def test_nothing_attempted_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (1, 0)])
def test_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(SpecError, match=f"{successes} successes of {n}"):
        wilson_interval(successes, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0])
def test_refuses_an_impossible_confidence(confidence: float) -> None:
    with pytest.raises(SpecError, match="confidence"):
        wilson_interval(1, 2, confidence)
