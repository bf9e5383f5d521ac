"""Chunks that go on from given rows: trained for it, guided towards them, or not at all."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import PolicyInfo, Prefix
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.learning.devices import WORTH_A_GPU, choose_device
from xrollout_ros.learning.models import ARCHITECTURES, ChunkModel, FlowModel, build_model
from xrollout_ros.learning.models.networks import ParallelMLP
from xrollout_ros.learning.models.prefix import LARGEST_GAIN, Given, draw_lengths, guidance_gain, soft_weights
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.plan import _prefix

from ..checkpoints import make_checkpoint

SIZES = {"state_dim": 3, "action_dim": 2, "horizon": 8, "width": 16, "depth": 1}
STATE = np.array([0.1, -0.2, 0.3])


def make_policy(**sizes: int) -> ChunkPolicy:
    torch.manual_seed(3)
    model = build_model("flow", SIZES | sizes)
    with torch.no_grad():
        model.normalizer.action_low.copy_(torch.tensor([-3.0, 0.0]))
    info = PolicyInfo("p", "", "arm", "task", 8, 4, 3, 2, conditioning=model.conditioning, max_prefix=model.max_prefix)
    return ChunkPolicy(model, info)


POLICIES = {"prefix": make_policy(max_prefix=5), "guidance": make_policy()}


@pytest.mark.parametrize("kind", sorted(POLICIES))
@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(st.floats(-4, 4, width=32), min_size=16, max_size=16),
    rows=st.integers(1, 8),
    frozen=st.integers(1, 5),
    seed=st.integers(0, 100),
)
def test_the_prefix_of_a_sampled_chunk_is_the_given_one(
    kind: str, values: list[float], rows: int, frozen: int, seed: int
) -> None:
    policy = POLICIES[kind]
    assert policy.info.conditioning == kind
    given_rows = np.array(values, dtype=np.float32).reshape(8, 2)[:rows]
    prefix = Prefix(given_rows, min(frozen, rows))
    policy.reset(seed)
    chunk = policy.predict(STATE, prefix)
    assert chunk.shape == (8, 2)
    assert np.isfinite(chunk).all()
    assert chunk[: prefix.frozen].tobytes() == given_rows[: prefix.frozen].tobytes()
    policy.reset(seed)
    assert policy.predict(STATE, prefix).tobytes() == chunk.tobytes()


def test_a_prefix_changes_what_follows_it() -> None:
    for policy in POLICIES.values():
        tails = []
        for value in (-1.0, 1.0):
            policy.reset(0)
            chunk = policy.predict(STATE, Prefix(np.full((6, 2), value, dtype=np.float32), 3))
            tails.append(chunk[3:])
        assert not np.array_equal(*tails)


def test_a_prefix_longer_than_the_policy_was_trained_for_is_refused() -> None:
    rows = np.zeros((8, 2), dtype=np.float32)
    with pytest.raises(SpecError, match="Allowed are 1 to 5"):
        POLICIES["prefix"].predict(STATE, Prefix(rows, 6))
    with pytest.raises(SpecError, match="0 frozen rows"):
        POLICIES["guidance"].predict(STATE, Prefix(rows, 0))


def two_ways(max_prefix: int) -> ChunkModel:
    """A flow fitted to plans that go up or down throughout, from one and the same state."""
    torch.manual_seed(0)
    sizes = {"state_dim": 1, "action_dim": 1, "horizon": 4, "width": 64, "depth": 2, "steps": 10}
    model = build_model("flow", sizes | {"max_prefix": max_prefix})
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(500):
        actions = torch.where(torch.rand(128, 1, 1, generator=generator) < 0.5, -1.0, 1.0).expand(128, 4, 1)
        optimizer.zero_grad()
        model.loss(torch.zeros(128, 1), actions, torch.ones(128, 4), generator).mean().backward()
        optimizer.step()
    return model.requires_grad_(False)


@pytest.mark.parametrize("max_prefix", [0, 2])
def test_a_plan_under_way_is_gone_on_with(max_prefix: int) -> None:
    """Where two ways are as good, a chunk made anew takes the other one half of the time."""
    model, generator = two_ways(max_prefix), torch.Generator().manual_seed(1)

    def kept(prefix: Given | None, sign: float) -> float:
        tails = [model.sample(torch.zeros(1), generator, prefix)[0][2:].mean() for _ in range(60)]
        return float(np.mean([float(tail) * sign > 0.5 for tail in tails]))

    for sign in (-1.0, 1.0):
        assert kept(Given(torch.full((3, 1), sign), 2), sign) > (0.9 if max_prefix else 0.7)
        assert 0.2 < kept(None, sign) < 0.8


def wave(phases: torch.Tensor) -> torch.Tensor:
    """Plans ``(B, 12, 1)``: a sine, from any phase on."""
    return torch.sin(phases.view(-1, 1, 1) + 0.5 * torch.arange(12).view(1, -1, 1))


def wave_model(max_prefix: int) -> FlowModel:
    """A flow fitted to sines whose phase the state does not tell."""
    torch.manual_seed(0)
    sizes = {"state_dim": 1, "action_dim": 1, "horizon": 12, "width": 64, "depth": 2, "max_prefix": max_prefix}
    model = build_model("flow", sizes)
    assert isinstance(model, FlowModel)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(500):
        actions = wave(2 * math.pi * torch.rand(128, generator=generator))
        optimizer.zero_grad()
        model.loss(torch.zeros(128, 1), actions, torch.ones(128, 12), generator).mean().backward()
        optimizer.step()
    return model.requires_grad_(False)


@pytest.mark.parametrize("max_prefix", [0, 6])
def test_a_chunk_keeps_to_the_given_rows_and_goes_on_without_a_jump(max_prefix: int) -> None:
    model, generator, frozen = wave_model(max_prefix), torch.Generator().manual_seed(1), 4
    before_splice, jumps, unguided = [], [], []
    for plan in wave(torch.linspace(0, 6, 40)):
        prefix = Given(plan[:9], frozen)
        chunk = model.sample(torch.zeros(1), generator, prefix)[0]
        assert torch.equal(chunk[:frozen], plan[:frozen])
        jumps.append(float((chunk[frozen] - plan[frozen]).abs()))
        unguided.append(float((model.sample(torch.zeros(1), generator)[0][frozen] - plan[frozen]).abs()))
        if not max_prefix:
            # What the guidance itself makes of the frozen rows, before they are put in exactly.
            raw = model._guided(torch.zeros(1, 1), torch.randn(1, 12, generator=generator), prefix)
            before_splice.append(float((raw[0, :frozen] - plan[:frozen, 0]).abs().mean()))
    assert np.mean(unguided) > 0.5
    assert np.mean(jumps) < (0.2 if max_prefix else 0.35)
    if not max_prefix:
        assert np.mean(before_splice) < 0.35


def test_prefix_lengths_are_none_for_half_and_else_any_up_to_the_most() -> None:
    lengths = draw_lengths(4000, 4, torch.Generator().manual_seed(0)).flatten().tolist()
    shares = [lengths.count(length) / 4000 for length in range(6)]
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[1:5] == pytest.approx([0.125] * 4, abs=0.03)
    assert shares[5] == 0


def test_given_rows_teach_nothing() -> None:
    model = build_model("flow", SIZES | {"max_prefix": 7})
    mask = torch.zeros(64, 8)
    mask[:, :1] = 1
    loss = model.loss(torch.randn(64, 3), torch.randn(64, 8, 2), mask, torch.Generator().manual_seed(0))
    assert torch.isfinite(loss).all()
    # Half of the samples have a prefix, and with it no row left to learn from.
    assert 0.3 < float((loss == 0).float().mean()) < 0.7


@settings(deadline=None)
@given(horizon=st.integers(1, 30), rows=st.integers(1, 30), frozen=st.integers(1, 30))
def test_soft_weights_are_whole_where_frozen_fall_off_and_end_with_what_is_given(
    horizon: int, rows: int, frozen: int
) -> None:
    rows, frozen = min(rows, horizon), min(frozen, rows, horizon)
    weights = soft_weights(horizon, rows, frozen).tolist()
    assert weights[:frozen] == [1.0] * frozen
    assert weights[rows:] == [0.0] * (horizon - rows)
    assert all(0 < late <= early <= 1 for early, late in itertools.pairwise(weights[:rows]))


@settings(deadline=None)
@given(st.floats(0, 0.999))
def test_the_gain_is_bounded(time: float) -> None:
    assert 0 < guidance_gain(time) <= LARGEST_GAIN
    assert guidance_gain(0.5) == pytest.approx(2)
    assert math.isfinite(guidance_gain(0))


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_what_an_architecture_can_do_is_said(name: str) -> None:
    expected = {"flow": "guidance", "mlp": "none", "ensemble": "none", "act": "none"}
    assert build_model(name, SIZES).conditioning == expected[name]


def test_an_older_checkpoint_loads_and_is_guided(tmp_path: Path) -> None:
    policy = load_policy(make_checkpoint(tmp_path / "old.pt"))
    assert (policy.info.conditioning, policy.info.max_prefix, policy.device) == ("guidance", 8, "cpu")
    assert len(policy.info.action_scale) == 4


def test_half_the_horizon_is_learned_as_a_prefix_unless_told_otherwise() -> None:
    options = TrainOptions.of(data="d", output="o")
    assert _prefix(options, "flow", 8) == {"max_prefix": 4}
    assert _prefix(options, "mlp", 8) == {}
    assert _prefix(TrainOptions.of(data="d", output="o", max_prefix=0), "flow", 8) == {"max_prefix": 0}
    with pytest.raises(SpecError, match="cannot go on from given rows"):
        _prefix(TrainOptions.of(data="d", output="o", max_prefix=2), "mlp", 8)
    with pytest.raises(SpecError, match="must be less than the horizon"):
        build_model("flow", SIZES | {"max_prefix": 8})


def test_members_of_an_ensemble_are_the_networks_they_are_made_of() -> None:
    torch.manual_seed(0)
    together = ParallelMLP(3, 4, 8, 2, 5)
    rows = torch.randn(7, 4)
    out = together(rows)
    assert out.shape == (3, 7, 5)
    for member in range(3):
        values = rows
        for place, (weight, bias) in enumerate(zip(together.weights, together.biases, strict=True)):
            values = (torch.nn.functional.silu(values) if place else values) @ weight[member] + bias[member]
        assert torch.allclose(out[member], values, atol=1e-6)


def test_an_ensembles_variance_is_a_score() -> None:
    torch.manual_seed(0)
    model = build_model("ensemble", SIZES)
    policy = ChunkPolicy(model, PolicyInfo("p", "", "arm", "task", 8, 4, 3, 2))
    policy.predict(STATE)
    spread = policy.scores["ensemble_variance"]
    assert spread > 0
    with torch.no_grad():
        for tensor in (*model.net.weights, *model.net.biases):  # type: ignore[union-attr]
            tensor.copy_(tensor[:1].expand_as(tensor))
    policy.predict(STATE)
    assert policy.scores["ensemble_variance"] == pytest.approx(0, abs=1e-12)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", 10**9) == choose_device("cpu", 1) == "cpu"
    with pytest.raises(SpecError, match=r"device is 'cuda'.*device:=cpu"):
        choose_device("cuda", 1)
    with pytest.raises(SpecError, match=r"device is 'tpu'.*auto, cpu, cuda"):
        choose_device("tpu", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", WORTH_A_GPU) == choose_device("cuda", 1) == "cuda"
    assert choose_device("auto", WORTH_A_GPU - 1) == "cpu"
