"""The generation stage: which starts, how often, with how much noise; and that another one makes other rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.sim.generation import GENERATIONS, AsDeployed, Diverse, Ground, make_generation
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import make_sim_robot

from ..checkpoints import make_checkpoint
from .plans import make_plan

ROBOT, TASK = load_robot("metaworld_sawyer"), load_task("pick_and_place")
GROUND = Ground(ROBOT, TASK, "wide", 50)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6))
def test_more_rollouts_begin_with_fewer(few: int, more: int, tries: int) -> None:
    few, more = sorted((few, more))
    generation = AsDeployed(tries=tries)
    starts = generation.starts(GROUND, more)
    assert generation.starts(GROUND, few) == starts[:few]
    assert len(starts) == more
    # Each is a rollout of its own: no start comes twice with the same randomness.
    assert len({(each.start, each.seed, each.policy_seed) for each in starts}) == more


def test_as_deployed_has_fresh_starts_and_the_seed_of_each_for_the_policy() -> None:
    starts = make_generation("as_deployed").starts(GROUND, 3)
    assert [(each.start, each.seed, each.policy_seed) for each in starts] == [("wide", s, s) for s in (50, 51, 52)]


def test_diverse_tries_several_times_from_the_starts_of_a_plan() -> None:
    plan = make_plan([("wide", 9), ("nominal", 4), ("wide", None)])
    ground = Ground(ROBOT, TASK, "wide", 50, plan)
    starts = make_generation("diverse").starts(ground, 6)
    assert [(each.start, each.seed) for each in starts] == [("wide", 9)] * 4 + [("nominal", 4)] * 2
    assert [each.parameters["try"] for each in starts] == [1, 2, 3, 4, 1, 2]
    with pytest.raises(SpecError, match=r"3 starts are needed, and the plan \w+ has 2 with a seed"):
        make_generation("diverse").starts(ground, 9)


def test_diverse_starts_are_farther_apart_than_those_that_come(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("metaworld")
    monkeypatch.setattr("xrollout_ros.sim.generation.POOL", 32)
    chosen = [each.seed for each in Diverse(tries=1).starts(GROUND, 6)]
    assert chosen[0] == 50 and all(seed is not None and 50 <= seed < 50 + 32 for seed in chosen)
    assert [each.seed for each in Diverse(tries=1).starts(GROUND, 4)] == chosen[:4]
    sim = make_sim_robot(ROBOT, TASK, shapes=False)

    def least(seeds: Any) -> float:
        seen = [sim.reset(seed, "wide").values for seed in seeds]
        points = np.array([[*each["object_position"], *each["goal_position"]] for each in seen])
        return min(np.linalg.norm(points[i] - points[j]) for i in range(len(points)) for j in range(i))

    assert least(chosen) > 1.5 * least(range(50, 56))
    with pytest.raises(SpecError, match="Allowed are up to 32"):
        Diverse(tries=1).starts(GROUND, 33)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("wild",), "unknown generation 'wild'"), (("diverse", 0.0), "temperature is 0"),
     (("diverse", float("nan")), "temperature is nan"), (("diverse", 1.0, -1), "-1 tries")],
)  # fmt: skip
def test_what_is_not_allowed_is_refused(arguments: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make_generation(*arguments)


def test_each_generation_records_other_rollouts(tmp_path: Path) -> None:
    pytest.importorskip("metaworld")
    from xrollout_ros.learning.checkpoint import load_policy

    model = make_checkpoint(tmp_path / "checkpoint.pt")
    plan = make_plan([("wide", 9), ("nominal", 4)])
    sim = make_sim_robot(ROBOT, TASK.model_copy(update={"time_limit_s": 0.25}), shapes=False)
    made = {}
    for name in GENERATIONS:
        generation = make_generation(name)
        policy = load_policy(model, temperature=generation.temperature)
        made[name] = [
            run_attempt(sim, ROBOT, each.seed or 0, each.start, policy=policy, policy_seed=each.policy_seed)
            for each in generation.starts(Ground(ROBOT, TASK, "wide", 50, plan), 2)
        ]
    deployed, diverse = made["as_deployed"], made["diverse"]
    # The first of both is from the same start with the same randomness, and the noise alone differs.
    assert np.array_equal(deployed[0].states[0], diverse[0].states[0])
    assert not np.array_equal(deployed[0].actions, diverse[0].actions)
    # Two tries of one start begin alike and go on otherwise.
    assert np.array_equal(diverse[0].states[0], diverse[1].states[0])
    assert not np.array_equal(diverse[0].actions, diverse[1].actions)
    assert not np.array_equal(deployed[0].states[0], deployed[1].states[0])


def test_the_temperature_spreads_a_flow_policys_chunks_and_no_others(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.learning.models import build_model
    from xrollout_ros.learning.policies import ChunkPolicy

    model = make_checkpoint(tmp_path / "checkpoint.pt")
    state, spread = np.full(ROBOT.state_dim, 0.1), {}
    for temperature in (0.5, 1.0, 2.0):
        policy = load_policy(model, temperature=temperature)
        chunks = []
        for seed in range(20):
            policy.reset(seed)
            chunks.append(policy.predict(state))
        spread[temperature] = float(np.std(chunks, axis=0).mean())
    assert spread[0.5] < 0.8 * spread[1.0] < 0.8 * 0.8 * spread[2.0]
    usual, one = load_policy(model), load_policy(model, temperature=1.0)
    for policy in (usual, one):
        policy.reset(3)
    assert np.array_equal(usual.predict(state), one.predict(state))
    config = {"state_dim": 3, "action_dim": 2, "horizon": 4, "width": 8, "depth": 1}
    with torch.no_grad(), pytest.raises(SpecError, match=r"temperature 1.5: a policy of the architecture mlp"):
        ChunkPolicy(build_model("mlp", config), usual.info, temperature=1.5)


def test_what_is_generated_is_known_again_and_goes_on(tmp_path: Path, bags: Any) -> None:
    from xrollout_ros.ui.generating import Options, rollouts

    model = make_checkpoint(tmp_path / "checkpoint.pt")

    def wanted(episodes: int, **options: Any) -> Any:
        return rollouts(make_generation("as_deployed"), Options(model, episodes, bags.data, **options))

    first, more = wanted(2), wanted(5)
    assert first.starts.id == more.starts.id
    others = [{"control": "calm"}, {"seed": 7}, {"start": "wide"}, {"engine": "sync"}]
    assert len({wanted(2, **other).starts.id for other in others} | {first.starts.id}) == 1 + len(others)
    for number in range(2):
        kept = first.starts.parameters_of(number)
        assert (kept["generation"], kept["tries"], kept["try"], kept["policy_seed"]) == (
            "as_deployed",
            1,
            1,
            5000 + number,
        )
        bags.episode(
            np.zeros((2, ROBOT.state_dim)), np.zeros((2, 4)), bags.data / "2026-01-31" / f"bag{number}",
            seed=5000 + number, outcome="success", outcome_source="robot", parameters=kept,
        )  # fmt: skip
    left = more.starts.without(more.made())
    assert left is not None and left.numbers == (3, 4, 5) and left.id == more.starts.id
    assert first.starts.without(first.made()) is None
    with pytest.raises(SpecError, match="task 'pick_and_place' has no start 'far'"):
        wanted(1, start="far")
    with pytest.raises(SpecError, match="is for 'push' on 'metaworld_sawyer'"):
        wanted(1, plan=make_plan([("wide", 1)], task="push"))
    with pytest.raises(SpecError, match="2 starts are needed"):
        wanted(2, plan=make_plan([("wide", 1)]))
