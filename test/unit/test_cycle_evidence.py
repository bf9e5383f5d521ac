"""E-values keep what they promise, counted out exactly; intervals and tests against what is known of them."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy")

from scipy import integrate, stats

from xrollout_ros.cycle.comparing import evidence
from xrollout_ros.cycle.comparing.evidence import Pairs

COUNTS = st.integers(0, 40)


def binomial(successes: int, trials: int, rate: float) -> float:
    return math.comb(trials, successes) * rate**successes * (1 - rate) ** (trials - successes)


@given(COUNTS, COUNTS)
def test_the_closed_form_is_the_integral(wins: int, losses: int) -> None:
    density, _ = integrate.quad(lambda rate: rate**wins * (1 - rate) ** losses * 2 ** (wins + losses + 1), 0.5, 1)
    assert evidence.e_better(Pairs(only_b=wins, only_a=losses)) == pytest.approx(density, rel=1e-6)


def test_nothing_seen_is_no_evidence_and_pairs_that_agree_say_nothing_of_better() -> None:
    assert evidence.e_better(Pairs()) == pytest.approx(1)
    assert evidence.e_better(Pairs(both=50, neither=50)) == pytest.approx(1)
    assert evidence.e_not_worse(Pairs(), 0.1) == pytest.approx(1)
    assert evidence.e_two_sample(0, 0, 0) == pytest.approx(1)
    assert evidence.e_fell((9, 10), (0, 0)) == 1
    assert evidence.e_not_worse(Pairs(both=60), 0.1) > 20
    assert evidence.e_better(Pairs(only_b=1000)) > 1e200
    assert evidence.e_better(Pairs(only_a=3000)) == 0


@pytest.mark.parametrize("pairs", [1, 5, 12])
def test_better_has_the_expectation_1_under_equal_policies(pairs: int) -> None:
    mean = sum(
        binomial(wins, pairs, 0.5) * evidence.e_better(Pairs(only_b=wins, only_a=pairs - wins))
        for wins in range(pairs + 1)
    )
    assert mean == pytest.approx(1)


@pytest.mark.parametrize(("win", "loss"), [(0.0, 0.1), (0.2, 0.3), (0.4, 0.55), (0.05, 0.6)])
def test_not_worse_has_an_expectation_of_1_at_most_where_it_is_worse_by_the_margin(win: float, loss: float) -> None:
    count, mean = 8, 0.0
    for wins, losses in itertools.product(range(count + 1), repeat=2):
        if wins + losses > count:
            continue
        likely = (
            math.comb(count, wins)
            * math.comb(count - wins, losses)
            * win**wins
            * loss**losses
            * (1 - win - loss) ** (count - wins - losses)
        )
        pairs = Pairs(only_b=wins, only_a=losses, both=count - wins - losses)
        mean += likely * evidence.e_not_worse(pairs, 0.1)
    assert mean <= 1 + 1e-9


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.9, 0.9), (0.02, 0.02), (0.7, 0.4), (0.99, 0.95)])
def test_two_samples_have_an_expectation_of_1_at_most_where_b_is_not_better(a: float, b: float) -> None:
    count = 7
    mean = sum(
        binomial(one, count, a) * binomial(two, count, b) * evidence.e_two_sample(one, two, count)
        for one, two in itertools.product(range(count + 1), repeat=2)
    )
    assert mean <= 1 + 1e-9


@pytest.mark.parametrize(("before", "since"), [(0.5, 0.5), (0.9, 0.9), (0.2, 0.6), (0.95, 0.95)])
def test_a_fall_has_an_expectation_of_1_at_most_where_there_is_none(before: float, since: float) -> None:
    n0, n1 = 12, 9
    mean = sum(
        binomial(one, n0, before) * binomial(two, n1, since) * evidence.e_fell((one, n0), (two, n1))
        for one, two in itertools.product(range(n0 + 1), range(n1 + 1))
    )
    assert mean <= 1 + 1e-9


def test_a_fall_of_twenty_points_is_found_and_a_rise_is_not() -> None:
    assert evidence.e_fell((90, 100), (36, 60)) > 20
    assert evidence.e_fell((60, 100), (55, 60)) < 1


@given(st.integers(0, 25), st.integers(0, 25), st.integers(0, 25), st.integers(0, 25))
def test_the_interval_of_the_difference_holds_what_was_seen_and_turns_with_the_policies(
    both: int, only_b: int, only_a: int, neither: int
) -> None:
    pairs = Pairs(both, only_b, only_a, neither)
    low, high = evidence.difference(pairs)
    seen = (only_b - only_a) / pairs.count if pairs.count else 0.0
    assert -1 <= low <= seen + 1e-3
    assert seen - 1e-3 <= high <= 1
    other_low, other_high = evidence.difference(pairs.swapped)
    assert (other_low, other_high) == pytest.approx((-high, -low), abs=1e-3)


def test_the_interval_of_the_difference_narrows_with_what_is_seen() -> None:
    narrow = evidence.difference(Pairs(both=80, only_b=20, only_a=10, neither=50))
    wide = evidence.difference(Pairs(both=8, only_b=2, only_a=1, neither=5))
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    assert evidence.difference(Pairs(both=20, only_b=30))[0] > 0


@given(COUNTS, COUNTS)
def test_the_sequence_of_a_rate_holds_the_rate_and_is_wider_than_that_of_a_fixed_number(good: int, bad: int) -> None:
    low, high = evidence.rate_sequence(good, good + bad)
    if good + bad == 0:
        assert (low, high) == (0, 1)
        return
    rate = good / (good + bad)
    assert 0 <= low <= rate + 1e-3
    assert rate - 1e-3 <= high <= 1
    fixed = stats.binomtest(good, good + bad).proportion_ci(0.95, "wilson")
    assert high - low >= fixed.high - fixed.low - 1e-3


def test_the_tests_for_a_fixed_number_are_scipys() -> None:
    pairs = Pairs(both=10, only_b=9, only_a=2, neither=4)
    assert evidence.mcnemar(pairs) == pytest.approx(stats.binomtest(9, 11, 0.5, alternative="greater").pvalue)
    assert evidence.mcnemar(Pairs(both=5)) == 1
    table = [[15, 8], [5, 12]]
    assert evidence.boschloo(8, 15, 20) == pytest.approx(stats.boschloo_exact(table, alternative="greater").pvalue)
    assert evidence.barnard(8, 15, 20) == pytest.approx(stats.barnard_exact(table, alternative="greater").pvalue)
    assert evidence.boschloo(20, 20, 20) == evidence.barnard(0, 0, 0) == 1


def test_holm_adjusts_in_the_order_given() -> None:
    assert evidence.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert evidence.holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_makes_none_smaller_and_keeps_their_order(values: list[float]) -> None:
    adjusted = evidence.holm(values)
    assert all(one >= other for one, other in zip(adjusted, values, strict=True))
    order = sorted(range(len(values)), key=lambda place: values[place])
    assert [adjusted[place] for place in order] == sorted(adjusted)


def test_a_p_value_of_an_e_value() -> None:
    assert evidence.p_of(0.5) == evidence.p_of(1) == 1
    assert evidence.p_of(20) == pytest.approx(0.05)
