"""The calibration beside a checkpoint: found with it, refused where it is not its own, and sent along as scores."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from xrollout_ros.core.calibration import ALARM, OVERTIME, Calibration, Usual
from xrollout_ros.core.chunk import Observation
from xrollout_ros.core.errors import CheckpointError
from xrollout_ros.core.resources import load_robot
from xrollout_ros.learning.calibration.scored import computed
from xrollout_ros.learning.calibration.sidecar import read_calibration, sidecar_of, write_calibration
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.learning.metadata import read_meta, sha256
from xrollout_ros.learning.scores import DROPOUT, dropout_variance
from xrollout_ros.runtime.engines import make_engine

from ..checkpoints import make_checkpoint
from .calibrations import calibration
from .test_learning_checkpoint import make_model

ROBOT = load_robot("metaworld_sawyer")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "checkpoint.pt")


def own(checkpoint: Path, **values: Any) -> Calibration:
    """One of this checkpoint."""
    usual = (Usual(detector="policy_loss", location=0.0, scale=1.0),)
    known = {"checkpoint_hash": sha256(checkpoint.read_bytes()), "policy_id": read_meta(checkpoint).policy_id}
    return calibration(**{**known, "detectors": usual, "threshold": 0.01, **values})


def test_it_is_found_with_its_checkpoint_which_stays_as_it_is(checkpoint: Path) -> None:
    before, made = checkpoint.read_bytes(), own(checkpoint)
    assert load_policy(checkpoint).info.calibration is None
    path = write_calibration(made, checkpoint)
    assert path == sidecar_of(checkpoint)
    assert checkpoint.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []
    assert load_policy(checkpoint).info.calibration == made
    assert load_policy(checkpoint, calibrated=False).info.calibration is None


def test_it_is_read_without_torch(checkpoint: Path) -> None:
    write_calibration(own(checkpoint), checkpoint)
    code = (
        "import sys; from pathlib import Path; from xrollout_ros.learning.calibration.sidecar import read_calibration;"
        f"assert read_calibration(Path({str(checkpoint)!r}), {sha256(checkpoint.read_bytes())!r}).n == 1;"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr


def _text(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:100], "damaged"),
        (lambda _: "", "damaged"),
        (lambda _: "[]", "damaged"),
        (_text(lambda document: document.update(format="other")), "no calibration"),
        (_text(lambda document: document.update(version=2)), "version 2"),
        (_text(lambda document: document.update(checkpoint_hash="cd" * 32)), "another checkpoint"),
        (_text(lambda document: document.update(threshold=0)), "threshold"),
        (_text(lambda document: document.update(more=1)), "more"),
        (_text(lambda document: document.update(calibrated_on=["a"])), "both halves"),
        (_text(lambda document: document.update(n=3)), "n 3"),
        (_text(lambda document: document["detectors"].append(document["detectors"][0])), "twice"),
        (_text(lambda document: document["detectors"][0].update(detector="ensemble_variance")), "ensemble_variance"),
    ],
)
def test_one_that_cannot_be_used_is_refused_by_name(checkpoint: Path, change: Callable[[str], str], words: str) -> None:
    path = write_calibration(own(checkpoint), checkpoint)
    path.write_text(change(path.read_text()))
    with pytest.raises(CheckpointError, match=words) as caught:
        load_policy(checkpoint)
    assert str(path) in str(caught.value)
    assert "xrollout calibrate" in caught.value.remedy
    assert load_policy(checkpoint, calibrated=False)


def test_a_folder_in_its_place_is_told(checkpoint: Path) -> None:
    sidecar_of(checkpoint).mkdir()
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_calibration(checkpoint, "")


def observation(step: int) -> Observation:
    state = np.random.default_rng(step).normal(size=ROBOT.state_dim)
    return Observation("e", step, step * ROBOT.policy_period_ns, state)


def test_its_alarm_comes_with_each_chunk_and_only_with_its_engine(checkpoint: Path) -> None:
    plain = load_policy(checkpoint)
    write_calibration(own(checkpoint, time_limit_s=0.05), checkpoint)
    policy = load_policy(checkpoint)
    engine = make_engine("rtc", policy, ROBOT)
    for _ in range(2):
        engine.begin("e", 3)
        chunks = [chunk for step in range(9) if len((chunk := engine.answer(observation(step))).actions)]
        assert [round(chunk.scores[OVERTIME], 6) for chunk in chunks] == [0, 1, 2]
        alarms = [chunk.scores[ALARM] for chunk in chunks]
        assert alarms[0] == pytest.approx(0.5 * min(8, chunks[0].scores["policy_loss"]) / 0.01)
    other = make_engine("sync", policy, ROBOT)
    other.begin("e", 3)
    assert ALARM not in other.answer(observation(0)).scores
    without = make_engine("rtc", plain, ROBOT)
    without.begin("e", 3)
    assert set(without.answer(observation(0)).scores) == {"policy_loss"}


def test_a_state_has_one_dropout_variance_and_torch_s_randomness_stays_as_it_is() -> None:
    model = make_model("mlp", dropout=0.5).eval()
    row = torch.zeros(ROBOT.state_dim)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with torch.no_grad():
        one = dropout_variance(model, row)
        assert torch.equal(torch.rand(3), expected)
        assert one == dropout_variance(model, row)
        assert dropout_variance(make_model("mlp").eval(), row) == {}
    assert one[DROPOUT] > 0


def test_a_flow_s_own_loss_is_small_where_it_has_learned_and_the_same_for_the_same_chunk() -> None:
    model = make_model("flow", max_prefix=4).eval()
    state, generator = torch.zeros(ROBOT.state_dim), torch.Generator()
    with torch.no_grad():
        draws = [model.sample(state, generator.manual_seed(4), doubts=True) for _ in range(2)]
        plain, none = model.sample(state, generator.manual_seed(4))
    assert draws[0][1] == draws[1][1]
    assert draws[0][1]["policy_loss"] > 0
    assert torch.equal(draws[0][0], plain)
    assert none == {}


def test_scores_computed_again_are_those_that_were_recorded(checkpoint: Path, bags: Any) -> None:
    """Written as the graph would have written them: chunk by chunk, from the very engine."""
    from xrollout_ros.episodes.reader import read_episode
    from xrollout_ros.learning.calibration.scored import recorded, scored

    policy = load_policy(checkpoint)
    meta = bags.meta(policy_id=policy.info.policy_id, checkpoint_hash=policy.info.checkpoint_hash)
    path = bags.data / "bag"
    states = np.array([observation(step).state for step in range(14)])
    bags.episode(states, np.zeros((14, 4)), path, **meta.model_dump())
    again = computed(read_episode(path), policy)
    assert len(again) == 4
    assert again.recomputed
    full = bags.data / "full"
    with bags.open(full, meta) as writer:
        bags.add(writer, "/xrollout/chunk", "xrollout/msg/ActionChunk")
        engine = make_engine("rtc", policy, ROBOT)
        engine.begin(meta.episode_id, 7)
        for step, state in enumerate(states):
            stamp_ns = 5 * 10**9 + step * ROBOT.policy_period_ns
            bags.observe(writer, state, stamp_ns, stamp_ns)
            chunk = engine.answer(Observation(meta.episode_id, step, stamp_ns, state))
            values = {
                "stamp": {"sec": stamp_ns // 10**9, "nanosec": stamp_ns % 10**9},
                "episode_id": meta.episode_id,
                "policy_id": chunk.policy_id,
                "sequence": chunk.sequence,
                "data": chunk.actions.ravel(),
                "score_names": list(chunk.scores),
                "score_values": list(chunk.scores.values()),
            }
            writer.write("/xrollout/chunk", bags.messages.cdr("xrollout/msg/ActionChunk", **values), stamp_ns)
            bags.command(writer, meta, np.zeros(4), stamp_ns, stamp_ns, step=step)
            if step == 0:
                engine.control_given(stamp_ns)
        writer.close(meta)
    kept = recorded(read_episode(full))
    assert kept.scores == again.scores
    assert kept.time_s == pytest.approx(again.time_s)
    assert not scored(read_episode(full), policy).recomputed
    assert scored(read_episode(path), policy).recomputed
