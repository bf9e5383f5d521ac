"""Training straight from bags on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("torch")

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.core.errors import CheckpointError, DataError, SpecError
from xrollout_ros.core.modes import Source
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes import journal, paths
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.learning.dataset import Include, load_training_set
from xrollout_ros.learning.frames import Frame
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.train import train
from xrollout_ros.learning.windows import windows
from xrollout_ros.runtime.processors import Pipeline
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import make_sim_robot


def record(bags: Any, sources: list[Source], seed: int = 0, **meta: Any) -> tuple[Any, Any, str]:
    """A bag with one row for each source; returns its states, actions and id."""
    rng = np.random.default_rng(seed)
    state, action = rng.normal(size=(len(sources), 14)), rng.uniform(-1, 1, size=(len(sources), 4))
    known = bags.meta(**meta)
    with bags.open(meta=known) as writer:
        for step, source in enumerate(sources):
            stamp_ns = 10**9 + step * bags.robot.control_period_ns
            bags.observe(writer, state[step], stamp_ns, stamp_ns)
            bags.command(writer, known, action[step], stamp_ns, stamp_ns, step=step, source=int(source))
        writer.close(known)
    return state, action, known.episode_id


OPERATOR, POLICY, HOLD = Source.OPERATOR, Source.POLICY, Source.HOLD
SUCCESSFUL_DEMONSTRATION = {"kind": "demonstration", "outcome": "success"}
SPAN = [{"operator": "ann", "begin_s": 0.02, "end_s": 0.04}]


def test_rows_come_out_as_they_went_in(bags: Any) -> None:
    state, action, name = record(bags, [OPERATOR] * 5, **SUCCESSFUL_DEMONSTRATION)
    taken_over = [POLICY, OPERATOR, OPERATOR, HOLD, POLICY]
    corrected, correction, other = record(bags, taken_over, 1, outcome="failure", interventions=SPAN)
    record(bags, [POLICY] * 4, 2, outcome="failure")
    found = load_training_set(bags.data)
    assert found.robot.interface_hash() == bags.robot.interface_hash()
    assert found.episode_ids == sorted([name, other])
    assert [episode.rows for episode in sorted(found.episodes, key=lambda item: -item.rows)] == [5, 2]
    assert found.left_out == {"attempt with outcome failure and no intervention": 1}
    samples = windows(found.episodes, 3)
    order = [name, other] if name < other else [other, name]
    expected = {name: state, other: corrected[1:3]}
    assert np.array_equal(samples.state, np.concatenate([expected[key] for key in order]).astype(np.float32))
    first = 0 if order[0] == name else 2
    assert np.array_equal(samples.actions[first], action[:3].astype(np.float32))
    begin = 5 if first == 0 else 0
    assert np.array_equal(samples.actions[begin], correction[[1, 2, 2]].astype(np.float32))
    assert samples.mask[begin].tolist() == [1, 1, 0]


def test_train_from_bags_and_deploy(bags: Any, tmp_path: Path) -> None:
    for seed in range(3):
        state, _, _ = record(bags, [OPERATOR] * 12, seed, **SUCCESSFUL_DEMONSTRATION)
    options = TrainOptions.of(data=bags.data, output=tmp_path / "checkpoint.pt", epochs=2, task="pick_and_place")
    result = train(options, lambda progress: None)
    assert (result.rows, len(result.meta.episodes), result.left_out) == (36, 3, {})
    policy = load_policy(result.output, bags.robot, bags.task, expected_hash=result.checkpoint_hash)
    assert policy.predict(state[0]).shape == (8, 4)


PROCESSORS = [
    {"kind": "difference", "name": "reach", "of": "object_position", "minus": "hand_position"},
    {"kind": "relative_pose", "position": "hand_position"},
    {"kind": "history", "observation": "reach", "length": 3},
]


class Watched:
    """A policy that keeps what it is given."""

    scores: Mapping[str, float] = {}

    def __init__(self, robot: RobotSpec) -> None:
        size = sum(entry.size for entry in Pipeline(robot.processors, robot).outputs.values())
        self.info = PolicyInfo("p", "", robot.id, "pick_and_place", 2, 1, size, 4, processors=robot.processors)
        self.seen: list[Any] = []
        self._random = np.random.default_rng(0)

    def reset(self, seed: int) -> None:
        """Nothing follows from the seed."""

    def predict(self, state: Any, prefix: Any = None) -> Any:
        self.seen.append(state.copy())
        return self._random.uniform(-1, 1, (2, 4)).astype(np.float32)


def processed_robot(bags: Any) -> RobotSpec:
    return RobotSpec.model_validate({**bags.robot.model_dump(), "processors": PROCESSORS})


def test_training_rows_are_what_the_policy_saw(bags: Any) -> None:
    robot = processed_robot(bags)
    policy = Watched(robot)
    attempt = run_attempt(make_sim_robot(robot, bags.task, shapes=False), robot, 3, "nominal", policy=policy)
    assert len(policy.seen) == attempt.steps > 50
    bags.episode(attempt.states, attempt.actions, outcome="success")
    found = load_training_set(bags.data, include=Include.SUCCESSES, processors=robot.processors)
    [episode] = found.episodes
    assert episode.state.tobytes() == np.array(policy.seen).tobytes()
    assert episode.sampled.all()
    raw = load_training_set(bags.data, include=Include.SUCCESSES)
    assert raw.episodes[0].state.tobytes() == np.array(attempt.states).tobytes()


def test_processors_come_from_the_robot_asked_for_and_stay_with_the_checkpoint(bags: Any, tmp_path: Path) -> None:
    for seed in range(3):
        state, _, _ = record(bags, [OPERATOR] * 12, seed, **SUCCESSFUL_DEMONSTRATION)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(processed_robot(bags).model_dump(mode="json")))
    values = {"data": bags.data, "epochs": 2, "policy": "mlp", "held_out": 0.0}
    first = train(TrainOptions.of(**values, output=tmp_path / "a.pt", robot=str(path)), lambda progress: None)
    assert list(first.meta.inputs.items())[-1] == ("reach", 9)
    policy = load_policy(first.output, bags.robot, bags.task)
    assert [step.kind for step in policy.info.processors] == ["difference", "relative_pose", "history"]
    inputs = Pipeline(policy.info.processors, bags.robot)(state[0])
    assert policy.predict(inputs).shape == (8, 4)
    with pytest.raises(SpecError, match="after its processors"):
        policy.predict(state[0])
    tuned = {**values, "policy": None, "base_model": first.output}
    again = train(TrainOptions.of(**tuned, output=tmp_path / "b.pt"), lambda progress: None)
    assert again.meta.processors == first.meta.processors
    with pytest.raises(CheckpointError, match="trained with other processors"):
        train(TrainOptions.of(**tuned, output=tmp_path / "c.pt", robot="metaworld_sawyer"), lambda progress: None)
    with pytest.raises(SpecError, match="senses or acts otherwise"):
        train(TrainOptions.of(**values, output=tmp_path / "d.pt", robot="so100"), lambda progress: None)


def test_damaged_and_torn_bags_are_counted_not_fatal(bags: Any) -> None:
    record(bags, [OPERATOR] * 12, **SUCCESSFUL_DEMONSTRATION)
    _, _, torn = record(bags, [OPERATOR] * 12, **SUCCESSFUL_DEMONSTRATION)
    _, _, damaged = record(bags, [OPERATOR] * 12, **SUCCESSFUL_DEMONSTRATION)
    (bags.data / f"bag_{torn}" / "metadata.yaml").unlink()
    mcap = next((bags.data / f"bag_{damaged}").glob("*.mcap"))
    mcap.write_bytes(mcap.read_bytes()[: mcap.stat().st_size // 2])
    found = load_training_set(bags.data, include=Include.SUCCESSES)
    assert len(found.episodes) == 1
    assert sum(found.left_out.values()) == 2
    assert all(reason.startswith("unreadable: ") for reason in found.left_out)


def test_a_persons_word_counts_more_than_the_bags_and_a_programs_label_does_not(bags: Any) -> None:
    _, _, good = record(bags, [OPERATOR] * 5, **SUCCESSFUL_DEMONSTRATION)
    _, _, doubted = record(bags, [OPERATOR] * 5, 1, **SUCCESSFUL_DEMONSTRATION)
    _, _, labelled = record(bags, [OPERATOR] * 5, 2, kind="demonstration", outcome="unknown")

    def say(author: str, episode_id: str, outcome: Outcome) -> None:
        what = journal.Reviewed(outcome=outcome, source=OutcomeSource.HUMAN)
        journal.append(bags.data / paths.JOURNAL, author, episode_id, what, SystemClock())

    say("human:ann", doubted, Outcome.FAILURE)
    say("model:success", labelled, Outcome.SUCCESS)
    found = load_training_set(bags.data)
    assert found.episode_ids == [good]
    assert found.left_out == {"demonstration with outcome failure": 1, "demonstration with outcome unknown": 1}
    say("human:ann", labelled, Outcome.SUCCESS)
    assert set(load_training_set(bags.data).episode_ids) == {good, labelled}


def test_what_a_person_had_to_mend_is_not_imitated(bags: Any) -> None:
    sources = [POLICY] * 60 + [OPERATOR] * 5
    record(
        bags,
        sources,
        outcome="success",
        policy_id="p",
        interventions=[{"operator": "ann", "begin_s": 0.75, "end_s": 1}],
    )
    [episode] = load_training_set(bags.data, include=Include.SUCCESSES).episodes
    rows = {frame: np.flatnonzero(episode.classes == frame) for frame in Frame}
    assert rows[Frame.INTERVENTION].tolist() == list(range(60, 65))
    assert rows[Frame.PRE_INTERVENTION].tolist() == list(range(20, 60)), "half a second at 80 Hz"
    assert np.flatnonzero(episode.usable).tolist() == [*range(20), *range(60, 65)]


def test_a_folder_without_demonstrations(bags: Any, tmp_path: Path) -> None:
    record(bags, [POLICY] * 4, outcome="failure")
    with pytest.raises(DataError, match="1: attempt with outcome failure and no intervention"):
        train(TrainOptions.of(data=bags.data, output=tmp_path / "a.pt"), lambda progress: None)
    assert not (tmp_path / "a.pt").exists()
