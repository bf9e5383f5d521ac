"""Training straight from bags on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.modes import Source
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.learning.dataset import Include, load_training_set, windows
from xrollout_ros.learning.train import TrainOptions, train


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


def test_a_folder_without_demonstrations(bags: Any, tmp_path: Path) -> None:
    record(bags, [POLICY] * 4, outcome="failure")
    with pytest.raises(DataError, match="1: attempt with outcome failure and no intervention"):
        train(TrainOptions.of(data=bags.data, output=tmp_path / "a.pt"), lambda progress: None)
    assert not (tmp_path / "a.pt").exists()
