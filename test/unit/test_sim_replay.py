"""Replays: the same commands give the same attempt, and what differs is named with its step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

import xrollout_ros
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.modes import Source
from xrollout_ros.core.ports import PolicyInfo, Prefix
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.learning.agreement import compare_with_recorded
from xrollout_ros.sim.loop import Attempt, run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.replay import replay_actions, reproduce
from xrollout_ros.sim.robot import make_sim_robot
from xrollout_ros.ui.cli import cli

from ..checkpoints import make_checkpoint
from .conftest import Bags

pytest.importorskip("metaworld")
ROBOT, TASK = load_robot("metaworld_sawyer"), load_task("pick_and_place")
SEED, HORIZON = 5, 8


@pytest.fixture(scope="module")
def attempt() -> Attempt:
    """A scripted demonstration, which succeeds."""
    sim, operator = make_sim_robot(ROBOT, TASK, shapes=False), make_operator("scripted", ROBOT, TASK)
    made = run_attempt(sim, ROBOT, SEED, "nominal", operator=operator)
    assert made.outcome is Outcome.SUCCESS
    return made


def recorded(bags: Bags, attempt: Attempt, action: Array | None = None, steps: int | None = None, **meta: Any) -> Path:
    """The bag of an attempt."""
    known = {
        "seed": SEED,
        "outcome": "success",
        "outcome_source": "robot",
        "software_version": xrollout_ros.__version__,
        "parameters": {"drive": "stepped"},
    }
    actions = attempt.actions if action is None else action
    return bags.episode(np.array(attempt.states)[:steps], actions[:steps], **{**known, **meta}).path


def test_the_same_commands_give_the_same_attempt(bags: Bags, attempt: Attempt) -> None:
    found = replay_actions(read_episode(recorded(bags, attempt)))
    assert found.same and found.diverges_at is None
    assert not found.difference.any()
    assert (found.outcome, found.same_outcome, found.remarks) == (Outcome.SUCCESS, True, ())
    assert {(each.name, each.largest) for each in found.deviations} == {(e.name, 0.0) for e in ROBOT.observations}


@pytest.mark.parametrize("step", [0, 7, 40])
def test_a_changed_command_shows_at_the_next_step(bags: Bags, attempt: Attempt, step: int) -> None:
    changed = attempt.actions.copy()
    changed[step, 0] += 0.3 if changed[step, 0] < 0 else -0.3
    found = replay_actions(read_episode(recorded(bags, attempt, changed)))
    assert found.diverges_at == step + 1
    assert not found.difference[: step + 1].any()
    hand = next(each for each in found.deviations if each.name == "hand_position")
    assert 1e-5 < hand.largest < 0.2
    assert hand.at_step > step


def test_an_outcome_that_a_simulator_cannot_repeat_is_not_compared(bags: Bags, attempt: Attempt) -> None:
    cut = read_episode(recorded(bags, attempt, steps=20, outcome="abort", outcome_source="safety", recovered=True))
    found = replay_actions(cut)
    assert found.same
    assert (found.outcome, found.same_outcome) == (Outcome.UNKNOWN, None)
    assert "torn and repaired" in found.remarks[0]
    wrong = replay_actions(read_episode(recorded(bags, attempt, outcome="failure", outcome_source="time_limit")))
    assert wrong.same and wrong.same_outcome is False


def test_another_version_and_another_drive_are_said(bags: Bags, attempt: Attempt) -> None:
    [remark] = replay_actions(read_episode(recorded(bags, attempt, software_version="0.0.1"))).remarks
    assert remark == f"it was recorded by version 0.0.1, this is {xrollout_ros.__version__}"
    against_the_clock = read_episode(recorded(bags, attempt, parameters={"drive": "real_time"}))
    found = replay_actions(against_the_clock)
    assert "ran against the clock" in found.remarks[0]
    assert len(found.difference) == len(attempt.actions)
    np.testing.assert_allclose(found.time_s, np.arange(len(attempt.actions)) / ROBOT.policy_rate_hz, atol=1e-9)


def test_what_cannot_be_replayed_is_refused_with_the_reason(bags: Bags, attempt: Attempt) -> None:
    with pytest.raises(DataError, match="was recorded without a seed"):
        replay_actions(read_episode(recorded(bags, attempt, seed=None)))
    meta = bags.meta(seed=SEED)
    with bags.open(meta=meta) as writer:
        for step in (0, 1, 3):
            bags.observe(writer, attempt.states[step], 10**9 + step, 10**9 + step)
            bags.command(writer, meta, attempt.actions[step], 10**9 + step, 10**9 + step, step=step)
        path = writer.close(meta).path
    with pytest.raises(DataError, match="lacks the commands or states of 1 steps, the first of them 2"):
        replay_actions(read_episode(path))
    real = ROBOT.model_copy(update={"sim": None})
    bags.robot = real
    with pytest.raises(DataError, match="a real robot, which cannot be put back"):
        replay_actions(read_episode(recorded(bags, attempt)))


class Told:
    """A policy that gives the actions it was told, by the state it sees, with something added."""

    def __init__(self, attempt: Attempt, offset: npt.ArrayLike = 0.0) -> None:
        self._rows = {state.tobytes(): number for number, state in enumerate(attempt.states)}
        self._actions = attempt.actions
        self._offset = np.asarray(offset)
        self.seeds: list[int] = []
        self.info = PolicyInfo(
            policy_id="told", checkpoint_hash="", robot=ROBOT.id, task=TASK.id, horizon=HORIZON, execute=4,
            state_dim=ROBOT.state_dim, processors=(), action_dim=ROBOT.action_dim, dataset_version="",
        )  # fmt: skip

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    scores: Mapping[str, float] = {}

    def predict(self, state: Array, prefix: Prefix | None = None) -> npt.NDArray[np.float32]:
        row = self._rows.get(state.tobytes(), 0)
        following = self._actions[np.minimum(np.arange(row, row + HORIZON), len(self._actions) - 1)]
        return (following + self._offset).astype(np.float32)


def test_a_policy_that_would_do_the_same_agrees_and_another_by_its_difference(bags: Bags, attempt: Attempt) -> None:
    driven = np.array(attempt.actions) * 0.5  # well inside the limits
    small = Attempt(attempt.outcome, attempt.steps, attempt.commands, attempt.states)
    path = bags.data / "small"
    bags.episode(np.array(attempt.states), driven, path, seed=SEED)
    episode = read_episode(path)
    policy = Told(small)
    policy._actions = driven
    found = compare_with_recorded(episode, policy)
    assert policy.seeds == [SEED]
    assert len(found.row) == len(episode)
    assert found.first.max() < 1e-6 and found.chunk.max() < 1e-6
    offset = np.zeros(ROBOT.action_dim)
    offset[1] = 0.01
    policy._offset = offset
    found = compare_with_recorded(episode, policy)
    np.testing.assert_allclose(found.first, np.broadcast_to(offset, found.first.shape), atol=1e-6)
    np.testing.assert_allclose(found.chunk, np.broadcast_to(offset, found.chunk.shape), atol=1e-6)
    # Beyond the limits the supervisor would clip, so it is clipped here.
    policy._offset = np.array([100.0, 0, 0, 0])
    found = compare_with_recorded(episode, policy)
    np.testing.assert_allclose(found.first[:, 0], ROBOT.actions[0].upper - driven[:, 0], atol=1e-6)


def test_where_it_diverges_most(bags: Bags, attempt: Attempt) -> None:
    changed = attempt.actions.copy()
    changed[30, 2] = -changed[30, 2] + 0.5
    episode = read_episode(recorded(bags, attempt, changed))
    found = compare_with_recorded(episode, Told(attempt))
    assert found.first[:, 2].argmax() == 30
    assert 30 - HORIZON < found.worst <= 30


def test_rows_in_which_nobody_drove_are_compared_with_nothing(bags: Bags, attempt: Attempt) -> None:
    meta = bags.meta(seed=SEED)

    def written(source: list[Source]) -> EpisodeData:
        with bags.open(bags.data / f"by_{len(set(source))}", meta) as writer:
            for step, drove in enumerate(source):
                stamp_ns = 5 * 10**9 + step * ROBOT.control_period_ns
                bags.observe(writer, attempt.states[step], stamp_ns, stamp_ns)
                bags.command(writer, meta, attempt.actions[step], stamp_ns, stamp_ns, step=step, source=int(drove))
            return read_episode(writer.close(meta).path)

    mixed = written([Source.HOLD] * 3 + [Source.POLICY] * 5 + [Source.RECOVERY] * 2 + [Source.OPERATOR] * 4)
    assert compare_with_recorded(mixed, Told(attempt)).row.tolist() == [3, 4, 5, 6, 7, 10, 11, 12, 13]
    with pytest.raises(DataError, match="neither a policy nor an operator drove"):
        compare_with_recorded(written([Source.HOLD] * 4), Told(attempt))


def test_reproducing_varies_the_policy_alone(bags: Bags, attempt: Attempt) -> None:
    episode, policy = read_episode(recorded(bags, attempt)), Told(attempt)
    told: list[Outcome] = []
    found = reproduce(episode, policy, 3, told.append)
    assert policy.seeds == [SEED, SEED + 1, SEED + 2]
    assert list(found.outcomes) == told
    assert found.outcomes == (Outcome.SUCCESS,) * 3
    assert (found.rate.successes, found.rate.attempts) == (3, 3)
    assert found.identical
    assert found.remarks == ()
    parameters = {"drive": "real_time", "engine": "sync"}
    [remark] = reproduce(read_episode(recorded(bags, attempt, parameters=parameters)), policy, 1).remarks
    assert "against the clock" in remark
    with pytest.raises(DataError, match="0 attempts to reproduce"):
        reproduce(episode, policy, 0)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["replay", *map(str, arguments)])


def test_the_command(bags: Bags, attempt: Attempt, tmp_path: Path) -> None:
    path, picture = recorded(bags, attempt), tmp_path / "replay.png"
    shown = run(path, "--picture", picture)
    assert shown.exit_code == 0, shown.output
    assert f"all {len(attempt.states)} states are the recorded ones, bit for bit" in shown.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = json.loads(run(path.name[-8:], "--data", bags.data, "--json").output)
    assert told["actions"]["same"] is True
    assert told["actions"]["same_outcome"] is True
    changed = attempt.actions.copy()
    changed[9, 0] = -changed[9, 0]
    other = recorded(bags, attempt, changed)
    assert "states differ from step 10 of" in run(other).output
    assert run(other, "--reproduce", 3).exit_code == 2
    assert run("zzz", "--data", bags.data).exit_code == 5
    assert run(path, "--picture", tmp_path).exit_code == 2


def test_the_command_with_a_policy(bags: Bags, attempt: Attempt, tmp_path: Path) -> None:
    model, path = make_checkpoint(tmp_path / "policy.pt"), recorded(bags, attempt)
    shown = run(path, "--model", model, "--reproduce", 2, "--picture", tmp_path / "policy.png")
    assert shown.exit_code == 0, shown.output
    assert "where it diverges most" in shown.output
    assert "from the same start (seed 5, nominal): 0/2 = 0%" in shown.output
    assert "note: the attempt was not driven by this policy" in shown.output
    told = json.loads(run(path, "--model", model, "--reproduce", 2, "--json").output)
    assert set(told["policy"]["actions"]) == {dim.name for dim in ROBOT.actions}
    assert told["policy"]["steps"] == len(attempt.states)
    assert told["reproduction"]["identical"] is False
    elsewhere = make_checkpoint(tmp_path / "other.pt", task_id="push")
    refused = run(path, "--model", elsewhere)
    assert refused.exit_code == 3
    assert "was trained for task 'push', asked for is 'pick_and_place'" in refused.stderr
