"""Models and the policy that is made of one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Policy, PolicyInfo
from xrollout_ros.learning.models import ARCHITECTURES, build_model
from xrollout_ros.learning.models.networks import Normalizer
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.training.fit import Recipe, fit
from xrollout_ros.learning.windows import Windows

SIZES = {"state_dim": 14, "action_dim": 4, "horizon": 8}
INFO = PolicyInfo("01JD0000000000000000000001", "", "arm", "task", 8, 4, 14, 4)
STATE = np.linspace(-1, 1, 14)


def make_policy(name: str) -> ChunkPolicy:
    torch.manual_seed(7)
    return ChunkPolicy(build_model(name, SIZES), INFO)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_chunk_shape_and_type(name: str) -> None:
    policy: Policy = make_policy(name)
    chunk = policy.predict(STATE)
    assert chunk.shape == (8, 4)
    assert chunk.dtype == np.float32
    assert np.isfinite(chunk).all()
    assert policy.info is INFO


def chunks(policy: ChunkPolicy, seed: int) -> list[bytes]:
    policy.reset(seed)
    return [policy.predict(STATE * k).tobytes() for k in range(4)]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_seed_gives_the_same_chunks(name: str) -> None:
    policy = make_policy(name)
    first = chunks(policy, 11)
    torch.rand(5)
    assert chunks(policy, 11) == first
    assert chunks(make_policy(name), 11) == first


def test_flow_draws_anew_for_each_chunk_and_seed() -> None:
    policy = make_policy("flow")
    assert chunks(policy, 1) != chunks(policy, 2)
    policy.reset(1)
    assert not np.array_equal(policy.predict(STATE), policy.predict(STATE))


def test_any_whole_number_is_a_seed() -> None:
    policy = make_policy("flow")
    assert len({b"".join(chunks(policy, seed)) for seed in (0, 1, -1, 2**31, 2**70 + 5)}) == 5


def test_another_process_gives_the_same_chunks() -> None:
    """Also one in which torch was told to use more threads."""
    code = (
        "import sys, torch; torch.set_num_threads(4); sys.path.insert(0, 'test/unit');"
        "import test_learning_policies as t; print(b''.join(t.chunks(t.make_policy('flow'), 11)).hex())"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == b"".join(chunks(make_policy("flow"), 11)).hex()


def test_the_answer_is_the_callers_own() -> None:
    policy = make_policy("mlp")
    first = policy.predict(STATE)
    first[:] = 99
    assert not np.array_equal(policy.predict(STATE), first)


def test_wrong_state_size() -> None:
    with pytest.raises(SpecError, match=r"shape \(13,\).*\(14,\)"):
        make_policy("mlp").predict(np.zeros(13))


def test_latency() -> None:
    """About 0.3 ms on an idle core; the bound is generous, for busy machines, and looks at the quickest calls."""
    policy = make_policy("flow")
    taken = []
    for _ in range(50):
        begin = time.perf_counter()
        policy.predict(STATE)
        taken.append(time.perf_counter() - begin)
    assert sorted(taken)[5] < 0.005


def test_units_share_a_scale_and_differences_survive() -> None:
    state = torch.tensor([[0.0, 10.0, 5.0], [2.0, 10.0, 6.0]])
    normalizer = Normalizer(3, 1)
    normalizer.fit(state, torch.tensor([[-3.0], [1.0]]), ["m", "m", "1"])
    scale = normalizer.state_scale
    assert scale[0] == scale[1] != scale[2]
    assert scale[0] == pytest.approx(0.5**0.5)
    assert normalizer.state(state).mean(0).tolist() == [0, 0, 0]
    assert normalizer.action(torch.tensor([[-3.0], [1.0], [-1.0]])).flatten().tolist() == [-1, 1, 0]
    actions = torch.linspace(-5, 5, 9).view(-1, 1)
    assert torch.allclose(normalizer.action_back(normalizer.action(actions)), actions, atol=1e-6)


def test_constant_data_stay_finite() -> None:
    normalizer = Normalizer(2, 1)
    normalizer.fit(torch.ones(4, 2), torch.zeros(4, 1), ["m", "1"])
    assert torch.isfinite(normalizer.state(torch.ones(1, 2))).all()
    assert normalizer.action_back(normalizer.action(torch.zeros(1, 1))).item() == pytest.approx(0)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_padding_teaches_nothing(name: str) -> None:
    model = build_model(name, SIZES)
    state, actions = torch.randn(3, 14), torch.randn(3, 8, 4, requires_grad=True)
    mask = torch.ones(3, 8)
    mask[:, 5:] = 0
    model.loss(state, actions, mask, torch.Generator().manual_seed(0)).sum().backward()
    # A flow's network still sees the padding, so only the target may not matter.
    taught = model.net.body[-1].bias.grad.view(8, 4) if name == "flow" else actions.grad.abs().sum(0)  # type: ignore[union-attr, index]
    assert (taught[5:] == 0).all()
    assert (taught[:5] != 0).all()


def test_flow_reaches_a_known_distribution() -> None:
    """One state, two modes: samples fall on both and not between them, which an L1 mean could not do."""
    torch.manual_seed(0)
    model = build_model("flow", {"state_dim": 1, "action_dim": 1, "horizon": 1, "width": 64, "steps": 20})
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    state, mask = torch.zeros(128, 1), torch.ones(128, 1)
    for _ in range(600):
        actions = torch.where(torch.rand(128, 1, 1, generator=generator) < 0.5, -1.0, 1.0)
        optimizer.zero_grad()
        model.loss(state, actions, mask, generator).mean().backward()
        optimizer.step()
    with torch.inference_mode():
        found = torch.stack([model.sample(torch.zeros(1), generator)[0][0, 0] for _ in range(200)])
    assert ((found.abs() - 1).abs() < 0.4).float().mean() > 0.9
    assert 0.3 < (found > 0).float().mean() < 0.7


@pytest.mark.parametrize(
    ("name", "changes", "word"),
    [
        ("oracle", {}, "unknown policy architecture 'oracle'"),
        ("flow", {"horizon": 0}, "horizon"),
        ("flow", {"width": 10**9}, "width"),
        ("mlp", {"steps": 5}, "steps"),
    ],
)
def test_bad_configurations(name: str, changes: dict[str, int], word: str) -> None:
    with pytest.raises(SpecError, match=word):
        build_model(name, SIZES | changes)


def test_a_flow_learns_a_chunk_of_more_values_than_its_network_is_wide() -> None:
    """48 rows of 4 values through 64 units; of a network that must pass the noise on, hardly anything is learned."""
    rng = np.random.default_rng(0)
    state = rng.uniform(-1, 1, (256, 2)).astype(np.float32)
    actions = np.sin(state @ rng.normal(size=(2, 192))).reshape(256, 48, 4).astype(np.float32)
    torch.manual_seed(0)
    sizes = {"state_dim": 2, "action_dim": 4, "horizon": 48, "width": 64, "depth": 2, "skip": True}
    model = build_model("flow", sizes)
    recipe = Recipe(60, lr=3e-3, batch_size=64, seed=0, weight_decay=0.0, warmup_steps=10, ema=0.98, state_noise=0.0)
    learned, _ = fit(model, Windows.of(state, actions), None, recipe, lambda _: None)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        made = [learned.sample(torch.from_numpy(row), generator)[0].numpy() for row in state[:20]]
    error = np.sqrt(np.mean(np.square(np.array(made) - actions[:20])))
    assert error < np.sqrt(np.mean(np.square(actions)))
