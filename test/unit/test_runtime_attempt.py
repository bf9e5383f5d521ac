"""When an attempt has ended, and its first outcome."""

from __future__ import annotations

import itertools

import pytest

from xrollout_ros.core.chunk import SafetyEvent
from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.modes import Mode, Request, Severity
from xrollout_ros.core.resources import load_task
from xrollout_ros.runtime.attempt import AttemptWatch, Verdict

TASK = load_task("pick_and_place")
START = 1000 * NS


def watch(*, stepped: bool = True) -> AttemptWatch:
    return AttemptWatch(TASK, stepped, 0, START)


def verdict(seen: AttemptWatch, at_s: float = 0.0) -> Verdict:
    found = seen.verdict(int(at_s * NS))
    assert found is not None
    return found


def abort(severity: Severity = Severity.ABORT, *, began: bool = True) -> SafetyEvent:
    return SafetyEvent(START + NS, "e", "starved", severity, 1.5, 1.0, "holding", began)


HAPPENINGS = {
    OutcomeSource.SAFETY: lambda seen: seen.safety(abort()),
    OutcomeSource.HUMAN: lambda seen: seen.request(Request.MARK_FAILURE, "anna", "dropped it"),
    OutcomeSource.ROBOT: lambda seen: seen.step(START, success=True, done=True, steady_ns=0),
    OutcomeSource.TIME_LIMIT: lambda seen: seen.step(START, success=False, done=True, steady_ns=0),
    OutcomeSource.NONE: lambda seen: seen.request(Request.END, "anna", ""),
}


@pytest.mark.parametrize("order", itertools.permutations(HAPPENINGS, 2))
def test_the_first_outcome_follows_the_order_of_precedence_not_of_time(order: tuple[OutcomeSource, ...]) -> None:
    seen = watch()
    assert seen.verdict(0) is None
    for source in order:
        HAPPENINGS[source](seen)
    precedence = list(HAPPENINGS)
    assert verdict(seen).source is min(order, key=precedence.index)


def test_outcomes() -> None:
    expected = {
        OutcomeSource.SAFETY: Outcome.ABORT,
        OutcomeSource.HUMAN: Outcome.FAILURE,
        OutcomeSource.ROBOT: Outcome.SUCCESS,
        OutcomeSource.TIME_LIMIT: Outcome.FAILURE,
        OutcomeSource.NONE: Outcome.UNKNOWN,
    }
    for source, outcome in expected.items():
        seen = watch()
        HAPPENINGS[source](seen)
        assert (verdict(seen).outcome, verdict(seen).source) == (outcome, source)


def test_milder_events_and_ends_of_events_do_not_abort() -> None:
    seen = watch()
    seen.safety(abort(Severity.HOLD))
    seen.safety(abort(began=False))
    assert seen.verdict(0) is None
    assert [event.began for event in seen.events] == [True, False]
    assert seen.events[0].at_s == 1.0


def test_success_counts_only_when_it_has_lasted() -> None:
    seen = watch()
    seen.step(START, success=True, done=False, steady_ns=0)
    assert seen.verdict(0) is None


def test_where_only_people_judge_the_robots_signal_is_no_outcome() -> None:
    task = TASK.model_copy(update={"success": TASK.success.model_copy(update={"signal": "human"})})
    seen = AttemptWatch(task, True, 0, START)
    seen.step(START, success=True, done=True, steady_ns=0)
    assert (verdict(seen).outcome, verdict(seen).source) == (Outcome.UNKNOWN, OutcomeSource.TIME_LIMIT)


def test_real_time_has_its_limit_on_the_steady_clock() -> None:
    seen = watch(stepped=False)
    assert seen.verdict(int((TASK.time_limit_s - 0.01) * NS)) is None
    assert verdict(seen, TASK.time_limit_s + 0.01).source is OutcomeSource.TIME_LIMIT


def test_a_stepped_attempt_that_is_stuck_ends() -> None:
    seen = watch()
    seen.step(START, success=False, done=False, steady_ns=5 * NS)
    assert seen.verdict(14 * NS) is None
    assert verdict(seen, 15.1).source is OutcomeSource.SYSTEM


def test_intervention_spans() -> None:
    seen = watch()
    seen.mode(Mode.AUTONOMOUS, "", START)
    seen.mode(Mode.TELEOP, "anna", START + NS)
    seen.mode(Mode.TELEOP, "anna", START + 2 * NS)
    seen.mode(Mode.TELEOP, "ben", START + 3 * NS)
    seen.mode(Mode.AUTONOMOUS, "", START + 4 * NS)
    seen.mode(Mode.TELEOP, "anna", START + 5 * NS)
    assert seen.finish(START + 6 * NS) == 6.0
    spans = [(span.operator, span.begin_s, span.end_s) for span in seen.interventions]
    assert spans == [("anna", 1, 3), ("ben", 3, 4), ("anna", 5, 6)]


def test_emergency_stop_aborts() -> None:
    seen = watch()
    seen.mode(Mode.ESTOP, "", START)
    assert (verdict(seen).outcome, verdict(seen).source) == (Outcome.ABORT, OutcomeSource.SAFETY)


def test_discard_is_a_mark() -> None:
    seen = watch()
    seen.request(Request.DISCARD, "anna", "camera covered")
    assert verdict(seen).discard
    assert verdict(seen).reason == "anna: camera covered"


def test_a_handover_to_the_operator_is_part_of_the_intervention_and_one_back_is_not() -> None:
    seen = watch()
    modes = [
        (Mode.AUTONOMOUS, ""),
        (Mode.HANDOVER, "anna"),
        (Mode.TELEOP, "anna"),
        (Mode.HANDOVER, ""),
        (Mode.AUTONOMOUS, ""),
        (Mode.HANDOVER, "anna"),
        (Mode.HOLD, ""),
        (Mode.RECOVERING, ""),
    ]
    for second, (mode, operator) in enumerate(modes):
        seen.mode(mode, operator, START + second * NS)
    seen.finish(START + 10 * NS)
    assert [(span.operator, span.begin_s, span.end_s) for span in seen.interventions] == [
        ("anna", 1.0, 3.0),
        ("anna", 5.0, 6.0),
    ]


def test_in_real_time_the_supervisors_first_word_is_the_moment_from_which_is_counted() -> None:
    # On a busy machine it comes some tenths of a second after the manager has begun; readers count from the first
    # command, so a span that was counted from the manager's beginning would lie beside the rows that it is about.
    late = START + NS // 10
    seen = watch(stepped=False)
    seen.mode(Mode.AUTONOMOUS, "", late)
    seen.mode(Mode.TELEOP, "keyboard", late + NS)
    seen.mode(Mode.AUTONOMOUS, "", late + 2 * NS)
    assert [(span.begin_s, span.end_s) for span in seen.interventions] == [(1.0, 2.0)]
    stepped = watch()
    stepped.mode(Mode.TELEOP, "script", late)
    stepped.mode(Mode.AUTONOMOUS, "", late + NS)
    assert [span.begin_s for span in stepped.interventions] == [0.1], "there all count from the same simulated moment"
