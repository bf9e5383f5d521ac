"""Comparisons: verdicts, the log that they go on from, and what is left out of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.cycle.comparing.evidence import Pairs
from xrollout_ros.cycle.comparing.result import posterior_better, read_result, result_of, write_result
from xrollout_ros.cycle.comparing.run import Tried, compare
from xrollout_ros.cycle.comparing.trials import (
    LOG,
    Arm,
    ComparisonPlan,
    Log,
    PlannedPair,
    PolicyRef,
    in_turn,
    planned,
)
from xrollout_ros.cycle.comparing.verdict import Judge, Kind, Rules

A, B = (
    PolicyRef(checkpoint=f"/{name}.pt", checkpoint_hash=name * 64, policy_id=f"01M8PBYC62YX6110J76X1R1QX{name.upper()}")
    for name in "ab"
)


def plan(rules: Rules | None = None, **values: object) -> ComparisonPlan:
    known = {
        "comparison_id": "01M8PM3DZNKW7XKSP02YQ6ZNK6", "a": A, "b": B, "task": "push", "robot": "metaworld_sawyer",
        "starts": {"nominal": 1.0, "wide": 1.0}, "engine": "rtc", "where": "process", "rules": rules or Rules(),
        "created_at": "2026-01-01T00:00:00+00:00", "software_version": "test",
    }  # fmt: skip
    return ComparisonPlan.model_validate({**known, **values})


class Rates:
    """``Trials`` that succeed so often, by start; the same again for the same pair."""

    def __init__(self, a: dict[str, float], b: dict[str, float], at_once: int = 4, **odd: Tried) -> None:
        self.rates: dict[Arm, dict[str, float]] = {"A": a, "B": b}
        self.at_once, self.odd, self.made = at_once, odd, 0

    def run(self, pairs: Sequence[PlannedPair]) -> Iterator[tuple[PlannedPair, dict[Arm, Tried]]]:
        for pair in pairs:
            self.made += 1
            yield pair, {arm: self._one(pair, arm) for arm in pair.order}

    def _one(self, pair: PlannedPair, arm: Arm) -> Tried:
        if (odd := self.odd.get(f"{arm}{pair.number}")) is not None:
            return odd
        good = random.Random(f"{pair.seed}{arm}").random() < self.rates[arm][pair.start]
        return Tried(Outcome.SUCCESS if good else Outcome.FAILURE, 40)


def everywhere(rate: float) -> dict[str, float]:
    return {"nominal": rate, "wide": rate}


# --- verdicts -------------------------------------------------------------------------------------------------------


def judged(rules: Rules, outcomes: Sequence[tuple[str, bool, bool]]) -> Judge:
    judge = Judge(rules, ("nominal", "wide"))
    for start, a, b in outcomes:
        judge.add(start, a, b)
    return judge


def test_a_better_policy_is_promoted_when_it_is_shown_to_be_no_worse_from_any_start() -> None:
    better = [("wide", False, True)] * 9
    judge = judged(Rules(), better)
    assert judge.e_value > judge.bound
    assert judge.verdict is None, "nothing is known of nominal starts yet"
    assert judge.not_shown() == ("nominal",)
    for _ in range(80):
        judge.add("nominal", True, True)
        if judge.verdict is not None:
            break
    assert judge.verdict is not None
    assert judge.verdict.kind is Kind.PROMOTE
    assert "9 won and 0 lost" in judge.verdict.reason


def test_a_verdict_stays_whatever_comes_after() -> None:
    judge = judged(Rules(margin=0.9), [("wide", False, True)] * 12 + [("nominal", False, True)] * 12)
    first = judge.verdict
    assert first is not None
    assert first.kind is Kind.PROMOTE
    for _ in range(50):
        judge.add("wide", True, False)
    assert judge.verdict is first
    assert judge.e_value < judge.bound <= judge.largest_e_value


def test_a_worse_policy_is_rejected_also_where_it_is_worse_from_one_kind_of_start_alone() -> None:
    judge = judged(Rules(), [("wide", True, False)] * 12)
    assert judge.verdict is not None
    assert judge.verdict.kind is Kind.REJECT
    mixed = [("wide", False, True), ("nominal", True, False)] * 30
    judge = judged(Rules(), mixed)
    assert judge.verdict is not None
    assert judge.verdict.kind is Kind.REJECT
    assert "from these starts: nominal" in judge.verdict.reason


def test_what_cannot_be_shown_any_more_is_inconclusive_before_the_end() -> None:
    judge = judged(Rules(most=40), [("wide", True, True), ("nominal", False, False)] * 20)
    assert judge.verdict is not None
    assert judge.verdict.kind is Kind.INCONCLUSIVE
    assert judge.verdict.pairs < 40
    assert "not even" in judge.verdict.reason


def test_better_and_not_shown_to_be_no_worse_is_inconclusive_at_the_end() -> None:
    rules = Rules(most=30)
    judge = judged(rules, [("wide", False, True)] * 20 + [("nominal", True, True)] * 10)
    assert judge.verdict is not None
    assert judge.verdict.kind is Kind.INCONCLUSIVE
    assert "not shown to be within 10%" in judge.verdict.reason
    assert "nominal" in judge.verdict.reason


def test_a_fixed_number_is_judged_once_by_mcnemar_or_boschloo() -> None:
    rules = Rules(trials=24, margin=0.5)
    judge = judged(rules, [("wide", False, True), ("nominal", True, True)] * 11)
    assert judge.verdict is None, "not before the end"
    judge.add("wide", False, True)
    verdict = judge.add("nominal", True, True)
    assert verdict is not None
    assert verdict.kind is Kind.PROMOTE
    assert "McNemar's exact test p 0.000244" in verdict.reason
    unpaired = judged(rules.model_copy(update={"design": "unpaired"}), [("wide", True, False)] * 24)
    assert unpaired.verdict is not None
    assert unpaired.verdict.kind is Kind.REJECT
    assert "Boschloo" in unpaired.verdict.reason
    equal = judged(rules, [("wide", True, True), ("nominal", False, False)] * 12)
    assert equal.verdict is not None
    assert equal.verdict.kind is Kind.INCONCLUSIVE


def test_unpaired_trials_have_an_e_value_of_their_own() -> None:
    outcomes = [("wide", place % 5 == 0, place % 5 != 0) for place in range(30)]
    paired, unpaired = (judged(Rules(design=design), outcomes) for design in ("paired", "unpaired"))
    assert paired.largest_e_value > 20
    assert unpaired.largest_e_value > 20
    assert paired.largest_e_value != unpaired.largest_e_value


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"alpha": 1}, {"margin": 0}, {"most": 0}, {"trials": 0}])
def test_impossible_rules_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Rules.model_validate(wrong)


# --- trials ---------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from("abc"), st.floats(0.1, 5), min_size=1), st.integers(0, 60))
def test_starts_come_as_often_as_their_shares_say(shares: dict[str, float], count: int) -> None:
    found = in_turn(shares, count)
    total = sum(shares.values())
    for name, share in shares.items():
        assert abs(found.count(name) - count * share / total) <= len(shares)


def test_pairs_have_seeds_of_their_own_and_an_order_by_chance() -> None:
    pairs = [planned(plan(), number) for number in range(1, 201)]
    assert len({pair.seed for pair in pairs}) == 200
    first = sum(pair.order[0] == "A" for pair in pairs)
    assert 70 < first < 130
    assert pairs == [planned(plan(), number) for number in range(1, 201)], "the same again"


def test_the_log_does_not_say_who_is_who(tmp_path: Path) -> None:
    compare(plan(Rules(most=6)), tmp_path, Rates(everywhere(0.5), everywhere(0.5)))
    lines = (tmp_path / LOG).read_text().splitlines()
    assert {json.loads(line)["code"] for line in lines[1:]} == {"X", "Y"}
    assert not any(A.policy_id in line or B.policy_id in line for line in lines[1:])
    codes = {plan(comparison_id=f"01M8PM3DZNKW7XKSP02YQ6ZNK{letter}").coded("A") for letter in "0123456789"}
    assert codes == {"X", "Y"}, "nobody can learn it once for all"


def test_a_comparison_goes_on_where_it_was_and_comes_to_the_same(tmp_path: Path) -> None:
    rates = (everywhere(0.3), everywhere(0.8))
    whole = compare(plan(), tmp_path / "whole", Rates(*rates))
    assert whole.verdict is not None
    assert whole.verdict.kind is Kind.PROMOTE

    class Dies(Rates):
        def run(self, pairs: Sequence[PlannedPair]) -> Iterator[tuple[PlannedPair, dict[Arm, Tried]]]:
            for pair, tried in super().run(pairs):
                if pair.number == 7:
                    raise KeyboardInterrupt
                yield pair, tried

    with pytest.raises(KeyboardInterrupt):
        compare(plan(), tmp_path / "cut", Dies(*rates))
    log = tmp_path / "cut" / LOG
    # Killed in the middle of a line, and with one trial of a pair alone.
    torn = log.read_text() + '{"pair":7,"code":"X","start":"nominal","seed":700006,"outcome":"success","steps":40}\n'
    log.write_text(torn + '{"pair":7,"co')
    begun = plan(comparison_id="01M8PM3DZNKW7XKSP02YQ6ZNK7", created_at="2026-02-02T00:00:00+00:00")
    again = Rates(*rates)
    resumed = compare(begun, tmp_path / "cut", again)
    assert resumed.plan.comparison_id == plan().comparison_id
    assert resumed.judge.strata == whole.judge.strata
    assert resumed.verdict == whole.verdict
    assert again.made < whole.judge.pairs.count
    finished = Rates(*rates)
    assert compare(begun, tmp_path / "cut", finished).verdict == whole.verdict
    assert finished.made == 0, "all of it is there"


def test_another_comparison_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    trials = Rates(everywhere(0.2), everywhere(0.9))
    compare(plan(), tmp_path, trials)
    with pytest.raises(DataError, match=r"another comparison \(different: rules\)"):
        compare(plan(Rules(alpha=0.01)), tmp_path, trials)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / LOG).write_text("no comparison\nat all\n")
    with pytest.raises(DataError, match="is no log of a comparison"):
        compare(plan(), tmp_path / "foreign", trials)
    with pytest.raises(DataError, match="there is no comparison"):
        Log(tmp_path / "nothing").read_plan()


def test_a_log_whose_first_line_was_torn_begins_anew(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"comparison_id":"01M8PM3DZ')
    made = compare(plan(Rules(most=6)), tmp_path, Rates(everywhere(0.5), everywhere(0.5)))
    assert made.verdict is not None
    assert Log(tmp_path).read_plan() == plan(Rules(most=6))


def test_successes_at_once_and_unknown_outcomes_are_left_out(tmp_path: Path) -> None:
    odd = {"A2": Tried(Outcome.SUCCESS, 1), "B3": Tried(Outcome.UNKNOWN, 40)}
    made = compare(plan(Rules(trials=8)), tmp_path, Rates(everywhere(0.5), everywhere(0.5), **odd))
    assert (made.quarantined, made.unknown) == ([2], [3])
    assert made.judge.pairs.count == 8
    assert made.number == 11
    result = result_of(made, SystemClock())
    assert {each.pair for each in result.trials if not each.counted} == {2, 3}


def test_where_no_pair_can_be_judged_it_ends_with_an_error(tmp_path: Path) -> None:
    class AtOnce(Rates):
        def _one(self, pair: PlannedPair, arm: Arm) -> Tried:
            return Tried(Outcome.SUCCESS, 0)

    with pytest.raises(DataError, match="cannot be judged: 6 were a success at once"):
        compare(plan(Rules(most=2)), tmp_path, AtOnce({}, {}, at_once=1))


def test_no_trial_beyond_the_verdict_is_counted_however_many_are_made_at_once(tmp_path: Path) -> None:
    rates = (everywhere(0.1), everywhere(0.9))
    one, many = (compare(plan(), tmp_path / str(n), Rates(*rates, at_once=n)) for n in (1, 16))
    assert one.judge.strata == many.judge.strata


# --- the result -----------------------------------------------------------------------------------------------------


def test_the_result_says_it_all_and_is_read_again(tmp_path: Path) -> None:
    made = compare(plan(), tmp_path, Rates(everywhere(0.3), everywhere(0.9)))
    found = result_of(made, SystemClock())
    write_result(found, tmp_path)
    assert read_result(tmp_path) == found == read_result(tmp_path / "comparison.json")
    assert found.verdict is Kind.PROMOTE
    assert found.decided_after == found.pairs == len(found.course)
    assert max(found.course) == found.largest_e_value
    assert found.overall.b.successes == sum(each.b.successes for each in found.strata)
    assert 0 < found.overall.low < found.overall.high
    assert found.mcnemar_p < 0.05
    assert found.posterior_better > 0.99
    assert {each.arm for each in found.trials} == {"A", "B"}
    with pytest.raises(DataError, match="cannot be read"):
        read_result(tmp_path / "nowhere")
    (tmp_path / "comparison.json").write_text("{}")
    with pytest.raises(DataError, match="is no comparison"):
        read_result(tmp_path)


def test_a_result_without_a_verdict_is_none() -> None:
    from xrollout_ros.cycle.comparing.run import Comparison

    with pytest.raises(ValueError, match="not clear yet"):
        result_of(Comparison(plan(), Judge(Rules(), ("wide",))), SystemClock())


def test_the_posterior_is_a_half_for_equal_policies() -> None:
    assert posterior_better(Pairs()) == 0.5
    assert posterior_better(Pairs(both=5, neither=5)) == pytest.approx(0.5, abs=1e-3)
    assert posterior_better(Pairs(only_b=10)) > 0.99
