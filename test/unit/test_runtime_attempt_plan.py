"""Which attempts a run makes, and which it does not make a second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xrollout_ros.core.episode import InterventionSpan, Outcome, Result
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.resume import made_before
from xrollout_ros.runtime.attempt_plan import AttemptPlan, Tally
from xrollout_ros.runtime.start_list import parse_starts


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 100), st.integers(1, 20), st.sets(st.integers(90, 130)), st.lists(st.booleans(), max_size=60))
def test_every_seed_is_made_once_whatever_is_made_again(
    first: int, total: int, made: set[int], again: list[bool]
) -> None:
    wanted = set(range(first, first + total))
    plan = AttemptPlan(first, total, made & wanted)
    kept, fates = sorted(made & wanted), iter(again)
    while (seed := plan.next_key()) is not None:
        assert seed in wanted
        if next(fates, False):
            plan.again(seed)
        else:
            kept.append(seed)
            assert plan.number == len(kept)
    assert sorted(kept) == sorted(wanted)


def test_a_run_without_an_end_counts_on_and_makes_what_is_asked_for() -> None:
    plan = AttemptPlan(5, 0, [5, 7])
    assert [plan.asked_for(seed) for seed in (-1, 99, -1)] == [6, 99, 8]
    plan.again(8)
    assert plan.asked_for(-1) == 8
    assert plan.number == 5


def test_a_tally_counts_no_help_as_a_success_and_takes_back_what_it_counted(bags: Any) -> None:
    span = [InterventionSpan(operator="anna", begin_s=0, end_s=1)]
    helped = bags.meta(policy_id="p", outcome=Outcome.SUCCESS, interventions=span)
    demonstrated = bags.meta(policy_id="", outcome=Outcome.SUCCESS, interventions=span)
    tally = Tally()
    for meta in (helped, demonstrated, bags.meta(policy_id="p", outcome=Outcome.FAILURE)):
        tally.add(meta.result())
    assert tally == Tally(successes=1, helped=1)
    assert tally.text("/", 3) == "1/3 succeeded, 1 helped"
    tally.add(helped.result(), -1)
    assert tally.text(" of ", 2) == "1 of 2 succeeded"
    # A reviewer's word on the outcome does not make it the policy's.
    assert helped.result(Outcome.FAILURE) == Result(Outcome.FAILURE, helped=True)


def bag(bags: Any, **meta: Any) -> Path:
    name = f"bag{len(list(bags.data.glob('*/*')))}"
    values = np.zeros((2, bags.robot.state_dim)), np.zeros((2, bags.robot.action_dim))
    return Path(bags.episode(*values, path=bags.data / "2026-01-31" / name, **meta).path)


def test_attempts_of_the_same_command_are_found(bags: Any) -> None:
    ended = {"outcome": "failure", "outcome_source": "time_limit", "parameters": {"control_rate_hz": 80.0}}
    like = bags.meta(seed=10, parameters={"control_rate_hz": 80.0})
    assert made_before(bags.data, like, 5).results == {}  # no folder yet
    bag(bags, seed=10, **{**ended, "outcome": "success", "outcome_source": "robot"})
    bag(bags, seed=12, **ended)
    bag(bags, seed=13, **{**ended, "outcome": "abort", "outcome_source": "system"})  # cut short
    bag(bags, seed=11, **{**ended, "task": "push"})
    bag(bags, seed=11, **{**ended, "kind": "evaluation"})
    bag(bags, seed=11, **{**ended, "kind": "clip"})
    bag(bags, seed=11, **{**ended, "policy_id": "another"})
    bag(bags, seed=9, **ended)
    bag(bags, seed=15, **ended)
    paths.discard(bags.data, bag(bags, seed=14, **ended))
    made = made_before(bags.data, like, 5)
    assert made.results == {10: Result(Outcome.SUCCESS), 12: Result(Outcome.FAILURE)}
    assert set(made_before(bags.data, like, 0).results) == {10, 12, 15}
    bag(bags, seed=10, **ended)  # made again by hand: the seed counts once, as it was made last
    assert set(made_before(bags.data, like, 5).results) == {10, 12}


def test_another_rate_is_refused(bags: Any) -> None:
    bag(bags, seed=10, outcome="success", outcome_source="robot", parameters={"control_rate_hz": 50.0})
    with pytest.raises(DataError, match="at 50 Hz, and now it is commanded at 80 Hz"):
        made_before(bags.data, bags.meta(seed=10, parameters={"control_rate_hz": 80.0}), 5)


def test_of_a_list_of_starts_its_entries_count_whoever_operated(bags: Any) -> None:
    ended = {"outcome": "failure", "outcome_source": "time_limit"}
    starts = parse_starts("wide:7,wide:7,nominal:3")
    kept = [starts.parameters_of(place) for place in range(3)]
    bag(bags, seed=7, start="wide", parameters=kept[0], operator="ann", **ended)
    bag(bags, seed=3, start="nominal", parameters=kept[2], **{**ended, "outcome": "success"})
    bag(bags, seed=7, start="wide", parameters=parse_starts("wide:7").parameters_of(0), **ended)  # another list
    bag(bags, seed=7, start="wide", parameters={**kept[1], "temperature": 1.5}, **ended)  # tried otherwise
    bag(bags, seed=7, start="wide", parameters=kept[1], policy_id="another", **ended)
    bag(bags, seed=7, start="wide", **ended)
    like = bags.meta(operator="ben", parameters={"temperature": 1.0, "control": "limits"})
    assert made_before(bags.data, like, 3, starts).results == {0: Result(Outcome.FAILURE), 2: Result(Outcome.SUCCESS)}
    # What a list has made is none of a run's that counts seeds up.
    assert set(made_before(bags.data, bags.meta(seed=7, start="wide"), 1).results) == {7}
    assert made_before(bags.data, bags.meta(seed=3), 1).results == {}
