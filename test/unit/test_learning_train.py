"""A training run from end to end, over episodes made of plain arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from xrollout_ros.core.errors import CheckpointError, DataError, SpecError, TrainingDivergedError, XRolloutError
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.threads import one_thread
from xrollout_ros.episodes.lineage import records as lineage
from xrollout_ros.learning.calibration.sidecar import sidecar_of
from xrollout_ros.learning.checkpoint import load_checkpoint, load_policy
from xrollout_ros.learning.dataset import TrainingEpisode, TrainingSet
from xrollout_ros.learning.lineage import record_in, records_in
from xrollout_ros.learning.metadata import read_meta
from xrollout_ros.learning.training import train as train_module
from xrollout_ros.learning.training.fit import Progress
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.train import TrainResult, train

ROBOT = load_robot("metaworld_sawyer")


def make_episode(number: int, length: int = 30) -> TrainingEpisode:
    """A hand that closes half of its distance to the goal at each step."""
    rng = np.random.default_rng(number)
    state = np.zeros((length, 14))
    hand, goal = rng.uniform(-0.2, 0.2, 3), rng.uniform(-0.2, 0.2, 3)
    action = np.zeros((length, 4))
    for row in range(length):
        state[row, :3], state[row, 11:] = hand, goal
        action[row, :3] = goal - hand
        hand = hand + 0.1 * action[row, :3]
    return TrainingEpisode(f"01JD{number:022d}", "pick_and_place", state, action, np.ones(length, dtype=bool))


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the data folder holds; to begin with, six episodes."""

    def hold(episodes: int = 6, robot: RobotSpec = ROBOT) -> None:
        found = tuple(make_episode(number) for number in range(episodes))
        answer = TrainingSet(robot, "pick_and_place", found, {"aborted attempt": 2})
        monkeypatch.setattr(train_module, "load_training_set", lambda folder, task, include, processors: answer)

    hold()
    return hold


def run(output: Path, report: Callable[[Progress], None] = lambda progress: None, **options: object) -> TrainResult:
    values: dict[str, object] = {"policy": "mlp", "epochs": 3, "batch_size": 32, "warmup_steps": 5}
    return train(TrainOptions.of(**({"data": Path("data"), "output": output} | values | options)), report)


@pytest.mark.usefixtures("data")
def test_a_run_writes_three_files_that_agree(tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = run(tmp_path / "checkpoint.pt", seen.append, held_out=0.34)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "checkpoint.pt",
        "checkpoint.pt.json",
        "checkpoint.pt.loss.png",
    ]
    assert [progress.epoch for progress in seen] == [1, 2, 3]
    assert all(progress.val_loss is not None and progress.samples_per_s > 0 for progress in seen)
    meta = read_meta(result.output)
    assert meta == result.meta
    assert (len(meta.episodes), len(meta.held_out)) == (4, 2)
    assert set(meta.losses) == {"train", "val"}
    assert (meta.task, meta.robot, meta.interface_hash) == ("pick_and_place", ROBOT.id, ROBOT.interface_hash())
    assert (meta.horizon, meta.execute, meta.training["lr"], meta.training["epochs"]) == (8, 4, 1e-3, 3)
    record = json.loads(result.record.read_text())
    assert record["checkpoint_hash"] == result.checkpoint_hash == load_checkpoint(result.output).checkpoint_hash
    assert record["meta"]["policy_id"] == meta.policy_id
    assert len(record["history"]) == 3
    assert record["left_out"] == {"aborted attempt": 2}
    assert record["rows"] == result.rows == 120
    assert result.picture.read_bytes()[:4] == b"\x89PNG"


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).model.state_dict()


def same(one: Path, two: Path) -> bool:
    left, right = weights(one), weights(two)
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("policy", ["flow", "mlp"])
def test_the_same_run_gives_the_same_weights_bit_for_bit(tmp_path: Path, policy: str) -> None:
    first = run(tmp_path / "a.pt", policy=policy, seed=4, state_noise=0.01)
    torch.rand(3)
    second = run(tmp_path / "b.pt", policy=policy, seed=4, state_noise=0.01)
    other = run(tmp_path / "c.pt", policy=policy, seed=5, state_noise=0.01)
    assert same(first.output, second.output)
    assert not same(first.output, other.output)
    assert first.meta.policy_id != second.meta.policy_id
    assert first.meta.dataset_version == second.meta.dataset_version
    assert [p.train_loss for p in first.history] == [p.train_loss for p in second.history]


@pytest.mark.usefixtures("data")
def test_torch_is_left_as_it_was(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(1)
        expected = torch.rand(2)
        torch.manual_seed(1)
        run(tmp_path / "a.pt", lambda progress: None if torch.get_num_threads() == 1 else pytest.fail("threads"))
        assert torch.equal(torch.rand(2), expected)
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("policy", ["flow", "mlp"])
def test_it_learns(tmp_path: Path, data: Callable[..., None], policy: str) -> None:
    """After training, the chunk on a state never seen points from hand to goal."""
    data(20)
    result = run(tmp_path / "a.pt", policy=policy, epochs=60, held_out=0.1)
    assert result.history[-1].train_loss < 0.5 * result.history[0].train_loss
    model = load_policy(result.output, ROBOT)
    unseen = make_episode(77)
    errors = [np.abs(model.predict(unseen.state[row])[0, :3] - unseen.action[row, :3]).max() for row in range(5)]
    assert np.mean(errors) < 0.1


@pytest.mark.usefixtures("data")
def test_default_epochs_make_a_fixed_number_of_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "DEFAULT_STEPS", 60)
    monkeypatch.setattr(train_module, "MIN_EPOCHS", 2)
    assert run(tmp_path / "a.pt", epochs=None).meta.training["epochs"] == 10  # 180 rows are 6 batches of 32
    monkeypatch.setattr(train_module, "MIN_EPOCHS", 12)
    assert run(tmp_path / "a.pt", epochs=None).meta.training["epochs"] == 12


def test_fine_tuning_keeps_the_normalization_and_names_the_parent(tmp_path: Path, data: Callable[..., None]) -> None:
    base = run(tmp_path / "base.pt", horizon=6, execute=2)
    data(2)
    tuned = run(tmp_path / "tuned.pt", base_model=base.output, policy=None, lr=1e-5, epochs=2)
    assert tuned.meta.parent_policy_id == base.meta.policy_id
    assert tuned.meta.parent_checkpoint_hash == base.checkpoint_hash
    assert (tuned.meta.architecture, tuned.meta.horizon, tuned.meta.execute) == ("mlp", 6, 2)
    assert tuned.meta.dataset_version != base.meta.dataset_version
    before, after = weights(base.output), weights(tuned.output)
    for name in before:
        if name.startswith("normalizer"):
            assert torch.equal(before[name], after[name]), name
        else:
            assert not torch.equal(before[name], after[name]), name
            assert torch.allclose(before[name], after[name], atol=1e-3), name
    assert run(tmp_path / "tuned2.pt", base_model=base.output, policy=None, execute=6).meta.execute == 6


def test_the_data_folder_knows_which_policy_came_of_its_episodes(tmp_path: Path, data: Callable[..., None]) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    base = run(tmp_path / "base.pt")
    assert "no data folder" in base.problem
    tuned = run(tmp_path / "tuned.pt", data=folder, base_model=base.output, held_out=0.2)
    again = run(tmp_path / "again.pt", data=folder)
    parent, child, other = lineage.read(folder)[0]
    assert parent == record_in(base.output)
    assert child == record_in(tuned.output)
    assert child == records_in(tmp_path, below=True)[0][2]  # what stands beside the checkpoint says the same
    assert (tuned.problem, child.parent_policy_id) == ("", base.meta.policy_id)
    assert (set(child.episodes), len(child.held_out)) == (set(tuned.meta.episodes), 1)
    assert other.policy_id == again.meta.policy_id
    (tmp_path / "broken.pt").write_bytes(b"x")
    again.record.unlink()
    found, problems = records_in(tmp_path, below=False)
    assert {each.policy_id for each in found} == {parent.policy_id, child.policy_id, other.policy_id}
    assert ["broken.pt" in problem for problem in problems] == [True]
    folder.chmod(0o500)
    try:
        assert run(tmp_path / "more.pt", data=folder).problem or os.geteuid() == 0
    finally:
        folder.chmod(0o700)


def test_fine_tuning_over_its_own_base_model(tmp_path: Path, data: Callable[..., None]) -> None:
    base = run(tmp_path / "checkpoint.pt")
    tuned = run(base.output, base_model=base.output)
    assert read_meta(base.output).parent_policy_id == base.meta.policy_id
    assert tuned.output == base.output


@pytest.mark.usefixtures("data")
def test_novelty_is_fitted_beside_the_policy_and_a_calibration_of_another_is_taken_away(tmp_path: Path) -> None:
    output = tmp_path / "checkpoint.pt"
    sidecar_of(output).write_text("{}")
    run(output)
    assert [novelty.kind for novelty in load_checkpoint(output).novelties] == ["rnd", "logpzo"]
    assert not sidecar_of(output).exists()


def test_base_models_that_do_not_fit_are_refused(tmp_path: Path, data: Callable[..., None]) -> None:
    base = run(tmp_path / "base.pt")
    output = tmp_path / "new.pt"
    cases: list[tuple[dict[str, object], type[XRolloutError], str]] = [
        ({"policy": "flow"}, CheckpointError, r"policy 'mlp', asked for is 'flow'"),
        ({"horizon": 4}, CheckpointError, r"horizon 8, asked for is 4"),
        ({"execute": 9}, SpecError, r"execute 9 is more than the horizon 8"),
        ({"base_model": tmp_path / "absent.pt"}, CheckpointError, r"there is no checkpoint at .*absent\.pt"),
    ]
    for changes, error, message in cases:
        with pytest.raises(error, match=message):
            run(output, **({"base_model": base.output} | changes))
    spec = ROBOT.model_dump(mode="json")
    data(robot=RobotSpec.model_validate(spec | {"id": "short_arm", "actions": spec["actions"][:3]}))
    with pytest.raises(CheckpointError, match=r"'metaworld_sawyer' and does not fit robot 'short_arm'"):
        run(output, base_model=base.output)
    assert not output.exists()


@pytest.mark.usefixtures("data")
def test_diverging_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "xrollout_ros.learning.models.MLPModel.loss",
        lambda self, state, actions, mask, generator: self.net(state).sum(-1) * float("nan"),
    )
    with pytest.raises(TrainingDivergedError, match=r"epoch 1 of 3.*Lower the learning rate \(it was 0\.001\)"):
        run(tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("data")
def test_interrupting_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "checkpoint.pt"
    run(output)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(output, interrupt)
    monkeypatch.setattr(train_module, "draw_losses", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(output)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


def test_bad_output_is_noticed_before_training(tmp_path: Path, data: Callable[..., None]) -> None:
    (tmp_path / "file").write_text("")
    for output, word in ((tmp_path, "is a folder"), (tmp_path / "file" / "a.pt", "not a writable folder")):
        with pytest.raises(DataError, match=word):
            run(output, lambda progress: pytest.fail("it trained"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": "oracle"}, "unknown policy 'oracle'; known are act, ensemble, flow, mlp"),
        ({"epochs": 0}, r"epochs \(value 0\)"),
        ({"lr": float("nan")}, r"lr \(value nan\)"),
        ({"held_out": 1.0}, r"held_out \(value 1\.0\)"),
        ({"horizon": 4, "execute": 5}, "execute 5 is more than the horizon 4"),
        ({"include": "everything"}, "'demonstrations' or 'successes'"),
        ({"epoch": 3}, "epoch .*not permitted"),
        ({"replay": "all"}, "unknown replay 'all'; known are prioritized, weighted"),
        ({"held_out": 0.0, "patience": 3}, "patience 3 needs held-out episodes"),
        ({"weights": "mine"}, "'sirius', 'iwr' or 'uniform'"),
        ({"up_weight": {"dropped": 0}}, r"up_weight.dropped \(value 0\)"),
    ],
)
def test_bad_options(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        TrainOptions.of(data=Path("data"), output=Path("a.pt"), **changes)
