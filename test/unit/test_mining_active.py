"""Starts chosen by a policy's scores: by rank, far apart, and a plan that a collection can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.task import TaggingSpec
from xrollout_ros.mining.active import Candidate, chosen, plan_of, unsure
from xrollout_ros.mining.collection import listed
from xrollout_ros.mining.plan import CollectionPlan, read_plan, write_plan

ROBOT, TASK = load_robot("metaworld_sawyer"), load_task("pick_and_place")
OBJECT = ROBOT.state_slices()["object_position"]


def candidate(score: float, place: tuple[float, float] = (0.0, 0.6), **values: Any) -> Candidate:
    state = np.zeros(ROBOT.state_dim)
    state[OBJECT] = (*place, 0.02)
    return Candidate(**{"start": "wide", "seed": 3, "state": state, "scores": {"novelty": score}, **values})


def plan(candidates: list[Candidate], demonstrations: int = 3, **values: Any) -> CollectionPlan:
    known: dict[str, Any] = {"demonstrations": demonstrations, "data": "raw", "clock": SystemClock()}
    return plan_of(candidates, ROBOT, TASK, "01JD0000000000000000000001", **{**known, **values})


def test_ranks_are_means_over_detectors_whatever_their_units() -> None:
    scores = [{"novelty": 1.0, "loss": 3e6}, {"novelty": 2.0, "loss": 2e6}, {"novelty": 3.0, "loss": 9e6}]
    assert unsure([candidate(0, scores=each) for each in scores]) == pytest.approx([0.25, 0.25, 1.0])
    assert unsure([candidate(1), candidate(1), candidate(1)]) == pytest.approx([0.5] * 3)
    some = [candidate(0, scores=each) for each in ({"a": 1.0, "b": 1.0}, {"a": 2.0, "b": np.nan}, {"a": 3.0})]
    assert unsure(some) == pytest.approx([0, 0.5, 1])


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=40), st.integers(1, 10))
@settings(max_examples=40, deadline=None)
def test_the_choice_is_among_the_least_sure_and_begins_with_the_least_sure_of_all(
    scores: list[float], count: int
) -> None:
    drawn = np.random.default_rng(len(scores)).uniform(-0.2, 0.2, (len(scores), 2))
    every = [candidate(score, (x, 0.6 + y)) for score, (x, y) in zip(scores, drawn, strict=True)]
    places = chosen(every, ROBOT, TASK, count)
    figures = unsure(every)
    assert len(set(places)) == len(places) <= count
    assert figures[places[0]] == figures.max()
    pool = sorted(figures, reverse=True)[: max(count, -(-len(every) // 3))]
    assert all(figures[place] >= pool[-1] for place in places)


def test_starts_lie_far_apart() -> None:
    near = [candidate(100 - number, (0.001 * number, 0.6)) for number in range(6)]
    far = [candidate(50, (0.2, 0.6)), candidate(49, (-0.2, 0.6))]
    sure = [candidate(1, (0.05 * number, 0.8)) for number in range(16)]
    places = chosen([*near, *far, *sure], ROBOT, TASK, 3)
    assert places == [0, 6, 7]


def test_a_plan_can_be_written_read_and_collected(tmp_path: Path) -> None:
    made = plan([candidate(number, (0.02 * number, 0.6), seed=500 + number) for number in range(9)])
    write_plan(made, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == made
    assert {warning.kind for warning in made.warnings} == {"not_attempted"}
    starts = listed(made)
    assert [(each.start, each.seed) for each in starts.starts] == [(each.start, each.seed) for each in made.starts]
    starts.check(TASK, ROBOT, "plan.json")
    assert [value.label for value in made.starts[0].values][:2] == ["object_position x", "object_position y"]
    assert "of the 3 candidates in 9" in made.rule


def test_what_recorded_attempts_came_to_is_evidence() -> None:
    tried = [candidate(number, succeeded=number > 2, episode_id=f"e{number}") for number in range(6)]
    made = plan(tried, 1)
    assert (made.evidence.success.count, made.evidence.success.attempts) == (3, 6)
    assert made.starts[0].episode_id == "e5"
    # They all begin at one place.
    assert {warning.kind for warning in plan(tried, 3).warnings} == {"few_starts"}


def test_bad_candidates_are_named() -> None:
    with pytest.raises(DataError, match="too_few_candidates: 1"):
        plan([candidate(1)])
    with pytest.raises(DataError, match="no_detectors"):
        plan([candidate(1, scores={}), candidate(2, scores={})])
    unknown = TASK.model_copy(update={"tagging": TaggingSpec(familiar={"cup": ((0, 1),)})})
    with pytest.raises(SpecError, match="'cup'"):
        plan_of([candidate(1), candidate(2)], ROBOT, unknown, "p", demonstrations=1, data="", clock=SystemClock())


def test_without_a_description_of_starts_the_least_sure_are_taken_and_a_warning_says_so() -> None:
    silent = TASK.model_copy(update={"tagging": TaggingSpec(), "reach": None})
    every = [candidate(number, seed=None) for number in range(6)]
    made = plan_of(every, ROBOT, silent, "p", demonstrations=2, data="", clock=SystemClock())
    assert {warning.kind for warning in made.warnings} == {"not_attempted", "starts_not_known", "no_seed"}
    assert [each.unsure for each in made.starts] == [1.0, 0.8]


def test_fresh_starts_of_the_simulated_robot_are_scored(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("metaworld")
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.sim.candidates import fresh

    from ..checkpoints import make_checkpoint

    policy = load_policy(make_checkpoint(tmp_path / "checkpoint.pt"))
    seen: list[tuple[int, int]] = []
    found = fresh(policy, ROBOT, TASK, "wide", range(500_000, 500_003), lambda *told: seen.append(told))
    again = fresh(policy, ROBOT, TASK, "wide", range(500_000, 500_003))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [each.scores for each in found] == [each.scores for each in again]
    assert len({each.state.tobytes() for each in found}) == 3
    assert set(found[0].scores) == {"policy_loss"}
    with pytest.raises(SpecError, match="no start"):
        fresh(policy, ROBOT, TASK, "nowhere", range(1))
