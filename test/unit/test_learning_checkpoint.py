"""Checkpoints: whole, safe, and refused where they do not fit."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from xrollout_ros.core import files
from xrollout_ros.core.errors import CheckpointError, DataError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.learning.checkpoint import load_checkpoint, load_policy, save_checkpoint
from xrollout_ros.learning.metadata import CheckpointMeta, interface_of, read_meta
from xrollout_ros.learning.models import ChunkModel, build_model
from xrollout_ros.runtime.novelty import Novelty, Steps
from xrollout_ros.runtime.novelty_fit import fit as fit_novelty

ROBOT = load_robot("metaworld_sawyer")
TASK = load_task("pick_and_place")


def make_model(name: str = "flow", horizon: int = 8, **sizes: int) -> ChunkModel:
    torch.manual_seed(3)
    config = {"state_dim": ROBOT.state_dim, "action_dim": ROBOT.action_dim, "horizon": horizon, "width": 16, **sizes}
    return build_model(name, config)


def make_meta(model: ChunkModel, **changes: object) -> CheckpointMeta:
    values: dict[str, object] = {
        "policy_id": "01JD0000000000000000000001",
        "architecture": model.name,
        "config": model.config.model_dump(),
        **interface_of(ROBOT),
        "task": TASK.id,
        "horizon": model.shape.horizon,
        "execute": 4,
        "dataset_version": "ab" * 32,
        "episodes": ["01JD0000000000000000000002"],
        "software_version": "0.1.0",
        "seed": 5,
        "training": {"lr": 1e-3},
        "losses": {"train": 0.1},
        "train_s": 1.5,
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return CheckpointMeta.model_validate(values | changes)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = make_model()
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, model, make_meta(model))
    return path


def refused(path: Path, *words: str, **kwargs: object) -> str:
    """Both ways of reading refuse, with these words."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, **kwargs)  # type: ignore[arg-type]
    for word in (*words, str(path)):
        assert word in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def test_round_trip(tmp_path: Path) -> None:
    for name in ("flow", "mlp"):
        model = make_model(name)
        meta = make_meta(model)
        path = tmp_path / "new folder" / f"{name}.pt"
        digest = save_checkpoint(path, model, meta)
        loaded = load_checkpoint(path, expected_hash=digest.upper())
        assert loaded.meta == meta == read_meta(path)
        assert loaded.checkpoint_hash == digest
        assert loaded.model.config == model.config
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, loaded.model.state_dict()[key]), key
        assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []


def test_plain_torch_reads_it_with_weights_only(checkpoint: Path) -> None:
    document = torch.load(checkpoint, weights_only=True)
    assert set(document) == {"format", "format_version", "meta", "weights"}
    assert isinstance(document["meta"], str)


def test_metadata_are_read_without_torch(checkpoint: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from xrollout_ros.learning.metadata import read_meta;"
        f"print(read_meta(Path({str(checkpoint)!r})).task); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "pick_and_place"


def test_policy_info(checkpoint: Path) -> None:
    policy = load_policy(checkpoint, ROBOT, TASK)
    info = policy.info
    assert (info.robot, info.task, info.horizon, info.execute) == ("metaworld_sawyer", "pick_and_place", 8, 4)
    assert (info.state_dim, info.action_dim) == (14, 4)
    assert info.checkpoint_hash == load_checkpoint(checkpoint).checkpoint_hash
    assert policy.predict(np.zeros(14)).shape == (8, 4)


def test_loading_leaves_torch_global_randomness_alone(checkpoint: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load_checkpoint(checkpoint)
    assert torch.equal(torch.rand(3), expected)


def test_missing_path_and_folder(tmp_path: Path) -> None:
    assert "xrollout train" in refused(tmp_path / "absent.pt", "there is no checkpoint")
    refused(tmp_path, "is not a file")


class Malice:
    """Unpickling this would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.target),)


def test_the_malicious_object_really_is_malicious(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malice(tmp_path / "owned")))
    assert (tmp_path / "owned").is_dir()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_bare_pickle_with_code_is_refused_without_running_it(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "bad.pt"
    path.write_bytes(pickle.dumps({"format": "xrollout.checkpoint", "x": Malice(tmp_path / "owned")}, protocol))
    for read in (read_meta, load_checkpoint, load_policy):
        with pytest.raises(CheckpointError, match=r"bare pickle|not an XRollout checkpoint"):
            read(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("hide", ["meta", "weights", "other"])
def test_torch_archive_with_code_is_refused_without_running_it(tmp_path: Path, checkpoint: Path, hide: str) -> None:
    document = torch.load(checkpoint, weights_only=True)
    document[hide] = Malice(tmp_path / "owned")
    path = tmp_path / "bad.pt"
    torch.save(document, path)
    for read in (read_meta, load_checkpoint, load_policy):
        with pytest.raises(CheckpointError, match=r"mkdir, which is code and not data"):
            read(path)
    assert not (tmp_path / "owned").exists()


def test_code_cannot_hide_behind_a_tensor(tmp_path: Path) -> None:
    tensor = torch.zeros(2)
    path = tmp_path / "bad.pt"
    torch.save({"format": "xrollout.checkpoint", "weights": {"a": tensor}, "x": [Malice(tmp_path / "owned")]}, path)
    refused(path, "code and not data")
    assert not (tmp_path / "owned").exists()


def test_cut_off_anywhere(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    for share in (0.0, 0.001, 0.1, 0.5, 0.9, 0.999):
        checkpoint.write_bytes(whole[: int(share * len(whole))])
        refused(checkpoint)


def test_a_flipped_bit_anywhere_is_noticed(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    with zipfile.ZipFile(checkpoint) as archive:
        entries = [entry for entry in archive.infolist() if entry.file_size > 0]
    for entry in entries:
        # Local header: 30 bytes, name and extra field; the data begin after them.
        extra = int.from_bytes(whole[entry.header_offset + 28 : entry.header_offset + 30], "little")
        begin = entry.header_offset + 30 + len(entry.filename) + extra
        damaged = bytearray(whole)
        damaged[begin + entry.file_size // 2] ^= 4
        checkpoint.write_bytes(damaged)
        refused(checkpoint)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"PNG or anything", "not an XRollout checkpoint"),
        (b"", "empty"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    refused(path, word)


def test_foreign_archives(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    refused(path, "not an XRollout checkpoint")
    torch.save([1, 2], path)
    refused(path, "not an XRollout checkpoint")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path, "not an XRollout checkpoint")


def test_compressed_archive(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
        archive.writestr("archive/data/0", bytes(10_000_000))
    refused(path, "compressed")


def rewrite(path: Path, **changes: object) -> None:
    document = torch.load(path, weights_only=True)
    document.update(changes)
    torch.save(document, path)


def test_newer_format(checkpoint: Path) -> None:
    rewrite(checkpoint, format_version=2)
    refused(checkpoint, "format version 2", "Update xrollout")


def test_damaged_metadata(checkpoint: Path) -> None:
    rewrite(checkpoint, meta="{}")
    refused(checkpoint, "policy_id")
    rewrite(checkpoint, meta="not json")
    refused(checkpoint, "metadata of checkpoint")


def test_weights_that_do_not_fit(checkpoint: Path) -> None:
    weights = torch.load(checkpoint, weights_only=True)["weights"]
    short = dict(list(weights.items())[1:])
    rewrite(checkpoint, weights=short)
    refused(checkpoint, "do not fit its network")
    first = next(name for name in weights if name.startswith("net"))
    rewrite(checkpoint, weights=weights | {first: torch.zeros(1)})
    refused(checkpoint, "do not fit its network")
    rewrite(checkpoint, weights=weights | {first: torch.full_like(weights[first], float("nan"))})
    refused(checkpoint, "not finite", first)
    rewrite(checkpoint, weights=3)
    refused(checkpoint, "do not fit its network")


def known(size: int) -> Novelty:
    random = np.random.default_rng(0)
    return fit_novelty("density", [Steps(random.normal(size=(20, size))) for _ in range(3)])


def test_the_novelty_model_travels_along_and_scores_what_the_policy_is_asked_about(tmp_path: Path) -> None:
    model, path = make_model(), tmp_path / "novel.pt"
    novelty = known(ROBOT.state_dim)
    save_checkpoint(path, model, make_meta(model), [novelty])
    policy = load_policy(path)
    state = np.full(ROBOT.state_dim, 7.0)
    policy.predict(state)
    assert policy.scores["novelty"] == pytest.approx(novelty.scores(Steps(state[None]))[0])
    assert policy.scores["novelty"] > 1
    plain = tmp_path / "plain.pt"
    save_checkpoint(plain, model, make_meta(model))
    without = load_policy(plain)
    without.predict(state)
    assert "novelty" not in without.scores


def test_a_novelty_model_that_does_not_fit_or_is_damaged_is_refused(checkpoint: Path) -> None:
    kept = {name: torch.from_numpy(each) for name, each in known(ROBOT.state_dim).arrays().items()}
    for novelty in (
        {"kind": "density", "arrays": {name: torch.from_numpy(each) for name, each in known(3).arrays().items()}},
        {"kind": "other", "arrays": kept},
        {"kind": "density", "arrays": {name: each for name, each in kept.items() if name != "scale"}},
        {"kind": "density", "arrays": 3},
        [1, 2],
    ):
        rewrite(checkpoint, novelty=novelty)
        refused(checkpoint, "novelty model")


def test_contradicting_metadata(tmp_path: Path) -> None:
    model = make_model()
    path = tmp_path / "checkpoint.pt"
    for changes in ({"execute": 9}, {"horizon": 7}, {"actions": ["dx"]}):
        save_checkpoint(path, model, make_meta(model, **changes))
        refused(path, "contradicts itself")
    save_checkpoint(path, model, make_meta(model, architecture="oracle"))
    refused(path, "unknown policy architecture 'oracle'", "flow, mlp")
    save_checkpoint(path, model, make_meta(model, config=model.config.model_dump() | {"width": 10**9}))
    refused(path, "width")


def test_hash_mismatch(checkpoint: Path) -> None:
    refused(checkpoint, "0" * 64, expected_hash="0" * 64)


def other_robot(**changes: object) -> RobotSpec:
    return RobotSpec.model_validate(ROBOT.model_dump(mode="json") | {"id": "other_arm", "sim": None} | changes)


def test_another_robot_with_the_same_interface_is_welcome(checkpoint: Path) -> None:
    assert load_policy(checkpoint, other_robot()).info.robot == "metaworld_sawyer"


def test_other_robots_are_refused(checkpoint: Path) -> None:
    spec = ROBOT.model_dump(mode="json")
    robots = {
        "action 4 (dx, dy, dz, gripper) against 3 (dx, dy, dz)": other_robot(actions=spec["actions"][:3]),
        "state 14": other_robot(observations=spec["observations"][:4]),
        "policy rate": other_robot(policy_rate_hz=40.0),
    }
    for word, robot in robots.items():
        with pytest.raises(CheckpointError) as caught:
            load_policy(checkpoint, robot)
        for expected in (word, "'metaworld_sawyer'", "'other_arm'", str(checkpoint)):
            assert expected in str(caught.value)


def test_other_order_of_the_state_is_refused(checkpoint: Path) -> None:
    robot = other_robot(observations=ROBOT.model_dump(mode="json")["observations"][::-1])
    with pytest.raises(CheckpointError, match="state 14"):
        load_policy(checkpoint, robot)


def test_other_task_is_refused(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'pick_and_place'.*'push'"):
        load_policy(checkpoint, ROBOT, load_task("push"))


def test_interrupted_write_leaves_the_old_file(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoint.read_bytes()

    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "sync", interrupt)
    model = make_model("mlp")
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(checkpoint, model, make_meta(model))
    assert checkpoint.read_bytes() == before
    assert [entry.name for entry in checkpoint.parent.iterdir()] == ["checkpoint.pt"]


def test_unwritable_target(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = make_model()
    with pytest.raises(DataError, match="could not be written"):
        save_checkpoint(tmp_path / "file" / "checkpoint.pt", model, make_meta(model))
    with pytest.raises(DataError, match="is a folder"):
        files.check_writable(tmp_path, "output")
    with pytest.raises(DataError, match="not a writable folder"):
        files.check_writable(tmp_path / "file" / "checkpoint.pt", "output")


def test_fit_is_checked_without_torch() -> None:
    code = "import sys; import xrollout_ros.learning.compatibility; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
