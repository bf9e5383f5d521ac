"""Calibration: the promised share of false alarms, and every state in which there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.calibration import ALARM, CONSISTENCY, OVERTIME, Usual
from xrollout_ros.core.errors import SpecError
from xrollout_ros.learning.calibration.audit import Verdict, audit
from xrollout_ros.learning.calibration.calibrating import CannotCalibrateError, State, alarm_of, calibrate
from xrollout_ros.learning.calibration.conformal import conformal, halves, least, needed, rank_of, smoothed, usual
from xrollout_ros.learning.calibration.own_attempts import OwnAttempts
from xrollout_ros.learning.calibration.scored import Scored
from xrollout_ros.runtime.alarm import CLIP, Alarm, Smoothed, combined, in_words

from .calibrations import INFO, attempt, calibration, scored

USUAL = (Usual(detector="a", location=1.0, scale=0.5), Usual(detector="b", location=0.0, scale=2.0))


# --- the rule ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "alpha", "rank"), [(9, 0.1, 9), (10, 0.1, 10), (19, 0.1, 18), (19, 0.05, 19), (3, 0.5, 2)]
)
def test_the_rank_is_exact(n: int, alpha: float, rank: int) -> None:
    assert rank_of(n, alpha) == rank


@given(st.integers(1, 999))
def test_the_least_n_is_the_first_that_gives_a_threshold(thousandths: int) -> None:
    alpha = thousandths / 1000
    n = least(alpha)
    assert rank_of(n, alpha) <= n
    assert n == 1 or rank_of(n - 1, alpha) > n - 1
    first, second = halves([str(number) for number in range(needed(alpha))], 0)
    assert len(second) >= n
    assert first


def test_nine_for_a_tenth() -> None:
    assert (least(0.1), needed(0.1)) == (9, 17)
    with pytest.raises(SpecError, match="8 maxima are too few"):
        conformal(range(8), 0.1)
    assert conformal([5, 1, 4, 2, 3, 9, 8, 7, 6], 0.1) == (9.0, 9)


@given(st.integers(9, 60), st.sampled_from([0.05, 0.1, 0.2, 0.5]), st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_no_more_than_alpha_pass_the_threshold_on_the_average(n: int, alpha: float, seed: int) -> None:
    if n < least(alpha):
        return
    drawn = np.random.default_rng(seed).normal(size=(2000, n + 1))
    passed = [row[-1] > conformal(row[:-1], alpha)[0] for row in drawn]
    # Five standard deviations of the mean of 2000 draws.
    assert np.mean(passed) <= alpha + 5 * np.sqrt(alpha * (1 - alpha) / 2000)


def test_halves_do_not_depend_on_the_order_and_share_nothing() -> None:
    ids = [f"e{number:02d}" for number in range(17)]
    one, other = halves(ids, 3)
    assert (one, other) == halves(list(reversed(ids)), 3)
    assert sorted(one + other) == ids
    assert (len(one), len(other)) == (8, 9)
    assert halves(ids, 4) != (one, other)


def test_what_is_usual_is_robust_and_never_without_a_scale() -> None:
    values = [1.0, 1.1, 0.9, 1.0, 1.2, 0.8, 1e9, float("nan"), float("inf")]
    found = usual("a", [Scored(np.arange(9.0), tuple({"a": value} for value in values))])
    assert found is not None
    assert found.location == pytest.approx(1.0)
    assert found.scale < 1
    still = usual("a", [Scored(np.arange(3.0), ({"a": 2.0},) * 3)])
    assert still is not None
    assert still.scale > 0
    assert usual("b", [scored(1)]) is None
    assert usual("a", []) is None


# --- the combined score -------------------------------------------------------------------------------------------


def test_the_combined_score_is_the_mean_of_those_that_are_there() -> None:
    assert combined({"a": 1.5, "b": 4.0}, USUAL) == pytest.approx(1.5)
    assert combined({"a": 1.5}, USUAL) == pytest.approx(1.0)
    assert combined({"c": 3.0}, USUAL) is None
    for strange in (float("nan"), float("inf"), -float("inf"), 1e300):
        assert combined({"a": strange}, USUAL) == CLIP
    assert combined({"a": -1e300}, USUAL) == -CLIP


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.floats(0.05, 1))
def test_it_never_falls_below_what_is_usual_and_never_passes_the_largest(values: list[float], newest: float) -> None:
    running = Smoothed(USUAL[:1], newest)
    path = [running.update({"a": value}) for value in values]
    assert min(path) >= 0
    assert max(path) <= max(0.0, *((value - 1.0) / 0.5 for value in values)) + 1e-9
    running.reset()
    assert running.update({"a": values[0]}) == pytest.approx(path[0])
    assert running.update({}) == pytest.approx(path[0])


def test_the_alarm_is_above_one_where_the_smoothed_score_passes_the_threshold_and_time_has_its_own() -> None:
    made = calibration()
    alarm = Alarm(made)
    path = [alarm.update({"novelty": value}, 10**9 + step * 10**9) for step, value in enumerate([0.2, 1.0, 1.0, 1.0])]
    assert [each[ALARM] for each in path] == pytest.approx([0, 2, 3, 3.5])
    assert [each[OVERTIME] for each in path] == pytest.approx([0, 0.5, 1.0, 1.5])
    alarm.reset()
    assert alarm.update({"novelty": 0.2}, 5) == {ALARM: 0.0, OVERTIME: 0.0}


# --- from attempts --------------------------------------------------------------------------------------------------


def found(successes: int = 20, failures: int = 5, **others: int) -> OwnAttempts:
    made = [attempt(seed) for seed in range(successes)] + [attempt(seed, False) for seed in range(failures)]
    return OwnAttempts(tuple(made), others=others)


def test_a_calibration_says_all_that_it_was_made_of() -> None:
    data = found(20, 5)
    made = calibrate(data, INFO, seed=2)
    document = made.calibration
    ids = {each.episode_id for each in data.successes}
    assert set(document.normalized_on) | set(document.calibrated_on) == ids
    assert (document.n, document.rank, document.alpha) == (10, 10, 0.1)
    assert document.names == INFO.detectors
    maxima = sorted(
        float(smoothed(each.scored, document.detectors).max())
        for each in data.successes
        if each.episode_id in document.calibrated_on
    )
    assert document.threshold == maxima[9]
    durations = sorted(each.duration_s for each in data.successes)
    assert (document.time_limit_s, document.time_n) == (durations[18], 20)
    assert (made.alarm.failures, made.alarm.alarmed) == (5, 5)
    assert all(0 < lead < 2 for lead in made.alarm.lead_s)
    again = calibrate(data, INFO, seed=2).calibration
    assert again.model_copy(update={"calibration_id": "", "created_at": ""}) == document.model_copy(
        update={"calibration_id": "", "created_at": ""}
    )
    low, high = made.likely_alpha
    assert low < 0.1 < high


def test_further_successes_raise_few_alarms_and_failures_many() -> None:
    raised = []
    for run in range(20):
        data = OwnAttempts(tuple(attempt(1000 * run + seed) for seed in range(30)))
        document = calibrate(data, INFO, seed=run).calibration
        raised += [(alarm_of(scored(10**6 + 100 * run + seed), document) > 1).any() for seed in range(40)]
        assert (alarm_of(scored(run, shift=6.0), document) > 1).any()
    assert 0.01 < np.mean(raised) < 0.13


def test_without_failures_a_calibration_is_made_all_the_same() -> None:
    made = calibrate(found(17, 0), INFO)
    assert made.alarm.failures == 0
    assert made.calibration.n == 9


@pytest.mark.parametrize(
    ("data", "state", "words"),
    [
        (OwnAttempts(()), State.NO_ATTEMPTS, "no attempt of policy"),
        (OwnAttempts((), {"somebody helped": 3}, {"01OTHER": 12}), State.NO_ATTEMPTS, "01OTHER (12)"),
        (found(0, 4), State.NO_SUCCESSES, "none of its 4 attempts"),
        (found(16, 4), State.TOO_FEW_SUCCESSES, "16 successes, alpha 0.1 takes 17"),
    ],
)
def test_too_little_is_a_state_with_a_reason_and_a_next_step(data: OwnAttempts, state: State, words: str) -> None:
    with pytest.raises(CannotCalibrateError) as caught:
        calibrate(data, INFO)
    assert caught.value.state is state
    assert caught.value.needed == 17
    assert caught.value.found == len(data.successes)
    assert words in str(caught.value)
    assert state.value in str(caught.value)
    assert caught.value.remedy


def test_attempts_with_another_engine_are_left_out_and_told() -> None:
    others = [*(attempt(seed, engine="sync") for seed in range(5)), attempt(1, drive="real_time")]
    mixed = OwnAttempts((*found(17, 2).attempts, *others))
    made = calibrate(mixed, INFO)
    assert made.calibration.engine == "rtc"
    assert made.left_out == {"with another engine or drive than rtc, stepped": 6}
    with pytest.raises(CannotCalibrateError, match="5 successes"):
        calibrate(mixed, INFO, engine="sync")
    with pytest.raises(CannotCalibrateError, match="none of its 23 successes was with the engine temporal"):
        calibrate(mixed, INFO, engine="temporal_ensembling")


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0])
def test_alpha_is_a_share(alpha: float) -> None:
    with pytest.raises(SpecError, match="alpha is"):
        calibrate(found(), INFO, alpha=alpha)


def test_a_policy_whose_scores_are_no_numbers_cannot_be_calibrated() -> None:
    nothing = Scored(np.arange(3.0), ({"novelty": float("nan")},) * 3)
    with pytest.raises(CannotCalibrateError, match="no_detectors"):
        calibrate(OwnAttempts(tuple(attempt(seed, scored=nothing) for seed in range(17))), INFO)


# --- the audit --------------------------------------------------------------------------------------------------------


def with_alarm(seed: int, succeeded: bool, value: float, **values: object) -> object:
    chunks = ({ALARM: 0.5, CONSISTENCY: 0.0}, {ALARM: value}, {ALARM: 0.3})
    times = np.array([0.0, 0.4, 0.8])
    known = {"started_at": "2026-02-02T00:00:00.123+00:00", "duration_s": 1.0, "scored": Scored(times, chunks)}
    return attempt(seed, succeeded, **{**known, **values})


def test_an_audit_counts_alarms_of_attempts_since_the_calibration() -> None:
    made = [with_alarm(seed, True, 1.5 if seed < 2 else 0.9) for seed in range(10)]
    made += [with_alarm(seed, False, 1.5 if seed < 3 else 0.9) for seed in range(4)]
    early = with_alarm(1, True, 2.0, started_at="2026-01-31T23:59:59+00:00")
    used = with_alarm(1, True, 2.0, episode_id="b")
    counted = audit(
        OwnAttempts((*made, early, used, attempt(1, started_at="2026-03-01T00:00:00+00:00"))), calibration()
    )
    assert (counted.false_alarms.count, counted.false_alarms.of) == (2, 10)
    assert (counted.alarms_in_vain.count, counted.alarms_in_vain.of) == (2, 5)
    assert (counted.alarm.failures, counted.alarm.alarmed) == (4, 3)
    assert counted.alarm.lead_s == pytest.approx([0.6] * 3)
    assert counted.verdict is Verdict.CONSISTENT
    assert counted.left_out == {"from before the calibration": 2, "made without the calibrated alarm": 1}


def test_an_audit_says_when_the_promise_is_not_kept_and_when_nothing_is_known() -> None:
    many = audit(OwnAttempts(tuple(with_alarm(seed, True, 1.5) for seed in range(8))), calibration())
    assert many.verdict is Verdict.TOO_MANY
    few = audit(OwnAttempts(tuple(with_alarm(seed, True, 0.5) for seed in range(80))), calibration())
    assert few.verdict is Verdict.FEWER
    assert audit(OwnAttempts(()), calibration()).verdict is Verdict.NO_SUCCESSES


def test_in_words() -> None:
    from dataclasses import replace

    assert in_words(INFO, "rtc", "stepped").startswith("not calibrated")
    known = replace(INFO, calibration=calibration())
    assert "alpha 0.1, n 1" in in_words(known, "rtc", "stepped")
    assert "not promised" not in in_words(known, "rtc", "stepped")
    assert "in the drive stepped, so alpha is not promised here" in in_words(known, "rtc", "real_time")
    assert "for engine rtc alone, not for sync" in in_words(known, "sync", "stepped")
