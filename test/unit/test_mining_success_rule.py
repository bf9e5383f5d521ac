"""The 5/10-point rule: which state follows from what people say of the sample."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import new_id
from xrollout_ros.mining.review.queue import to_check
from xrollout_ros.mining.success.checks import SALT, Checked, tally
from xrollout_ros.mining.success.rule import Rule, RuleState, Tally, standing

GOOD, BAD = Outcome.SUCCESS, Outcome.FAILURE


def told(agreed: int, wrong: int) -> Tally:
    return Tally(labels=1000, drawn=200, agreed=agreed, false_successes=wrong)


@pytest.mark.parametrize(
    ("agreed", "wrong", "state"),
    [
        (0, 0, RuleState.GATHERING),
        (29, 0, RuleState.GATHERING),
        (30, 0, RuleState.HOLD),  # the interval still reaches 11 %
        (35, 0, RuleState.WIDEN),
        (95, 5, RuleState.HOLD),  # 5 % of 100: the interval reaches 11 %
        (96, 4, RuleState.WIDEN),
        (190, 10, RuleState.WIDEN),
        (186, 14, RuleState.HOLD),
        (180, 20, RuleState.HOLD),  # 10 % is not more than 10 %
        (179, 21, RuleState.RETRAIN),
        (26, 4, RuleState.RETRAIN),
        (7, 5, RuleState.RETRAIN),  # too few to say anything else, but it is plain
        (11, 1, RuleState.GATHERING),
    ],
)
def test_each_state(agreed: int, wrong: int, state: RuleState) -> None:
    found = standing(told(agreed, wrong))
    assert found.state is state
    assert found.labels_go_on is (state is not RuleState.RETRAIN)
    assert found.share == (0.1 if state is RuleState.WIDEN else 0.2)
    assert found.reason
    assert found.next_step


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_rule_is_kept_whatever_was_said(agreed: int, wrong: int) -> None:
    found, rule = standing(told(agreed, wrong)), Rule()
    n = agreed + wrong
    if n == 0:
        assert math.isnan(found.disagreement)
    if found.state is RuleState.WIDEN:
        assert n >= rule.least
        assert found.disagreement <= rule.within
        assert found.high <= rule.beyond
    if n >= rule.least and wrong / n > rule.beyond:
        assert found.state is RuleState.RETRAIN
    if found.state is RuleState.GATHERING:
        assert n < rule.least
    # One more that is wrong never widens.
    if found.state is not RuleState.WIDEN:
        assert standing(told(agreed, wrong + 1)).state is not RuleState.WIDEN


@pytest.mark.parametrize(
    "values",
    [
        {"within": 0.2},
        {"sample": 1.5},
        {"widened": 0.5},
        {"least": 0},
        {"newest": 20},
        {"confidence": 1.0},
        {"beyond": math.nan},
    ],
)
def test_a_rule_that_is_none_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(DataError):
        Rule(**values)  # type: ignore[arg-type]


def label(label: Outcome, said: Outcome | None, probability: float = 0.95, *, inside: bool = True) -> Checked:
    name = next(name for name in iter(new_id, None) if to_check(name, "c", 0.2, SALT) is inside)
    return Checked("t", "r", "c", name, label, probability, said)


def test_only_what_was_drawn_and_decided_counts() -> None:
    found = tally(
        [
            label(GOOD, GOOD),
            label(GOOD, BAD),
            label(GOOD, Outcome.ABORT),
            label(BAD, GOOD, 0.02),
            label(BAD, BAD, 0.02),
            label(GOOD, Outcome.UNKNOWN),
            label(GOOD, None),
            label(GOOD, BAD, inside=False),
        ]
    )
    assert (found.labels, found.drawn, found.checked, found.undecided) == (8, 7, 5, 1)
    assert (found.agreed, found.false_successes, found.false_failures) == (2, 2, 1)
    assert found.expected == pytest.approx((3 * 0.05 + 2 * 0.02) / 5)


def test_the_newest_labels_count() -> None:
    good = [label(GOOD, GOOD) for _ in range(200)]
    bad = [label(GOOD, BAD) for _ in range(20)]
    late, early = tally([*good, *bad]), tally([*bad, *good])
    assert (late.checked, late.disagreed, late.older) == (100, 20, 120)
    assert (early.checked, early.disagreed) == (100, 0)
    assert (standing(late).state, standing(early).state) == (RuleState.RETRAIN, RuleState.WIDEN)
