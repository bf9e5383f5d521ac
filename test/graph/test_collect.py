"""Collecting in whole graphs: from where attempts failed, and recoveries from a disturbed policy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xrollout_ros.core.episode import FAILURE_RECOVERY, PERTURBATION, EpisodeKind, Outcome, Strategy
from xrollout_ros.core.modes import Source
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.records import Record, read_records
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.mining.collection import FAILED, MODE, PLAN
from xrollout_ros.mining.mine import mine
from xrollout_ros.mining.plan import write_plan
from xrollout_ros.runtime.action_control import make_control
from xrollout_ros.sim.faults import parse_faults, sparing
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

from .conftest import COMMAND, Graph

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]
Start = Callable[..., Graph]


def xrollout(environment: dict[str, str], *words: object) -> str:
    done = subprocess.run(
        [*COMMAND, *map(str, words)], env=environment, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def collected(data: Path) -> list[Record]:
    return [record for record in read_records(data).records if PLAN in record.meta.parameters]


def read(record: Record) -> EpisodeData:
    return read_episode(record.path)


def test_a_plan_is_collected_from_exactly_where_the_attempts_failed(
    start_graph: Start, checkpoint: Path, ros_domain: dict[str, str], tmp_path: Path
) -> None:
    failing = start_graph("deploy", model=checkpoint, starts="wide:3,wide:11")
    assert failing.wait(90) == 0, failing.output()
    failed = {each.meta.episode_id: each for each in failing.episodes()}
    assert [each.meta.seed for each in failed.values()] == [3, 11]
    assert all(each.meta.outcome is Outcome.FAILURE for each in failed.values())

    file, data = tmp_path / "plan.json", failing.data
    with Catalog(data) as catalog:
        catalog.update()
        plan = mine(catalog).plan
    assert plan is not None
    write_plan(plan, file)
    said = xrollout(ros_domain, "collect", "--plan", file)
    wanted = len(plan.starts)
    assert f"begun exactly where the attempts had failed: {wanted} of {wanted}" in said
    assert f"complete: {wanted} of {wanted}" in said
    records = collected(data)
    assert len(records) == wanted
    for record in records:
        meta = record.meta
        assert (meta.kind, meta.outcome) == (EpisodeKind.DEMONSTRATION, Outcome.SUCCESS)
        assert (meta.parameters[PLAN], meta.parameters[MODE]) == (plan.plan_id, plan.target.mode)
        assert set(record.effective.tags) == {"targeted"}
        before = failed[meta.parameters[FAILED]]
        assert (meta.start, meta.seed) == (before.meta.start, before.meta.seed)
        np.testing.assert_array_equal(read(record).state[0], before.state[0])


def test_a_disturbed_policy_is_taken_over_from_at_a_step_and_the_recovery_is_shown(
    checkpoint: Path, ros_domain: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    words = ["--model", checkpoint, "--perturb", "action_noise:0.3", "--take-over-at", 20, "--data", data, "--seed", 3]
    said = xrollout(ros_domain, "collect", *words, "--episodes", 1)
    assert "taken over: 1 of 1" in said and "disturbed: 1 of 1" in said
    [record] = read_records(data).records
    meta, episode = record.meta, read(record)
    assert (meta.kind, meta.strategy, meta.outcome) == (EpisodeKind.ATTEMPT, Strategy.DAGGER, Outcome.SUCCESS)
    assert {FAILURE_RECOVERY, PERTURBATION} <= set(record.effective.tags)
    assert (meta.parameters["control"], meta.parameters["control_value"]) == ("assisted", 0.25)
    driven = np.flatnonzero(episode.source == Source.OPERATOR)
    assert driven[0] == 21 and (episode.source[:20] == Source.POLICY).all()  # it holds at 20, and asks
    assert (episode.source[driven[0] :] == Source.OPERATOR).all()
    [span] = meta.interventions
    assert span.begin_s <= episode.stamp_s[21] + 1e-6 and span.end_s >= episode.stamp_s[-1] - 1e-6

    # The same in one process, bit for bit.
    robot, task = load_robot("metaworld_sawyer"), load_task("pick_and_place")
    sim = FaultyRobot(make_sim_robot(robot, task, shapes=False), robot, sparing(parse_faults("action_noise:0.3")))
    attempt = run_attempt(
        sim,
        make_control("assisted:0.25").constrain(robot, task),
        3,
        "nominal",
        policy=load_policy(checkpoint),
        operator=make_operator("scripted", robot, task),
    )
    assert attempt.actions.tobytes() == episode.action.tobytes()
    assert np.array(attempt.states).tobytes() == episode.state.tobytes()
