"""What holds for every architecture, and what makes ACT what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import CheckpointError, SpecError
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.threads import one_thread
from xrollout_ros.learning.checkpoint import load_checkpoint, load_policy, save_checkpoint
from xrollout_ros.learning.metadata import CheckpointMeta, interface_of, read_meta
from xrollout_ros.learning.models import ARCHITECTURES, ACTModel, ChunkModel, build_model
from xrollout_ros.learning.models.transformer import Attention, Encoder
from xrollout_ros.learning.policies import ChunkPolicy

NAMES = sorted(ARCHITECTURES)
SIZES: dict[str, Any] = {"state_dim": 3, "action_dim": 2, "horizon": 4, "width": 16, "depth": 2}
CAMERAS = {"wrist": (16, 24), "corner": (20, 16)}
SIGHTED = SIZES | {"cameras": CAMERAS, "image_features": 8}
ROBOT = load_robot("metaworld_sawyer")


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    with one_thread():
        yield


def make(name: str, **sizes: Any) -> ChunkModel:
    torch.manual_seed(3)
    return build_model(name, SIZES | sizes)


def pictures(count: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randint(0, 256, (count, *size, 3), generator=generator, dtype=torch.uint8)
        for name, size in CAMERAS.items()
    }


def one(images: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    return None if images is None else {name: each[0] for name, each in images.items()}


def samples(count: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    state, actions = torch.randn(count, 3, generator=generator), torch.rand(count, 4, 2, generator=generator)
    return state, 2 * actions - 1, torch.ones(count, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sighted", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_shapes_and_a_seed_gives_the_same(name: str, sighted: bool, dropout: float) -> None:
    found = []
    images = pictures(5) if sighted else None
    for noise in (1, 2):
        model = make(name, dropout=dropout, **(SIGHTED if sighted else {}))
        torch.manual_seed(noise)
        model.train()
        loss = model.loss(*samples(5), seeded(), images)
        loss.mean().backward()
        model.eval()
        with torch.no_grad():
            chunk, scores = model.sample(samples(5)[0][0], seeded(), None, one(images))
        assert loss.shape == (5,)
        assert chunk.shape == (4, 2)
        assert all(each.grad is not None and torch.isfinite(each.grad).all() for each in model.parameters())
        found.append((loss.tolist(), chunk.tolist(), scores, torch.rand(1).item()))
    assert found[0][:3] == found[1][:3]
    # The global generator, which is others', goes its own way.
    torch.manual_seed(1)
    assert found[0][3] == torch.rand(1).item()


@pytest.mark.parametrize("name", ["mlp", "ensemble", "act"])
@settings(deadline=None, max_examples=25)
@given(
    real=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=24, max_size=24),
)
def test_what_is_masked_does_not_matter(name: str, real: list[int], values: list[float]) -> None:
    """Whatever stands in the padding. (A flow sees the padding as it sees noise; its target there does not matter.)"""
    model = make(name).eval()
    state, actions, _ = samples(3)
    mask = (torch.arange(4) < torch.tensor(real)[:, None]).float()
    other = torch.where(mask[..., None] > 0, actions, torch.tensor(values).view(3, 4, 2))
    with torch.no_grad():
        first, second = (model.loss(state, each, mask, seeded()) for each in (actions, other))
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_handful_of_images_is_learned_by_heart(name: str) -> None:
    """The states are all the same, so nothing else tells what to do."""
    model = make(name, width=64, depth=1, cameras=CAMERAS, image_features=16)
    images, (_, actions, mask) = pictures(3), samples(3)
    state, many = torch.zeros(3, 3), 16 if name == "flow" else 1
    repeated = {camera: each.repeat(many, 1, 1, 1) for camera, each in images.items()}
    optimizer, generator = torch.optim.Adam(model.parameters(), lr=5e-3), seeded()
    for _ in range(80):
        loss = model.loss(state.repeat(many, 1), actions.repeat(many, 1, 1), mask.repeat(many, 1), generator, repeated)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    model.eval()
    made = []
    with torch.no_grad():
        for place in range(3):
            seen = {camera: each[place] for camera, each in images.items()}
            chunks = [model.sample(state[0], generator, None, seen)[0] for _ in range(20 if name == "flow" else 1)]
            made.append(torch.stack(chunks).mean(0))
    # The mean of the three, which is the best that a policy could do that sees nothing, is further away.
    assert (torch.stack(made) - actions).abs().mean() < 0.4 * (actions - actions.mean(0)).abs().mean()


# --- images -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_images_are_looked_at_and_those_of_other_cameras_are_not(name: str) -> None:
    model, blind = make(name, **SIGHTED).eval(), make(name).eval()
    state, images = samples(1)[0][0], one(pictures(1))
    assert images is not None
    with torch.no_grad():

        def chunk(model: ChunkModel, seen: dict[str, Tensor] | None) -> Tensor:
            return model.sample(state, seeded(), None, seen)[0]

        first = chunk(model, images)
        for camera in CAMERAS:
            assert not torch.equal(first, chunk(model, images | {camera: 255 - images[camera]}))
        assert torch.equal(first, chunk(model, images | {"ceiling": torch.zeros(1)}))
        assert torch.equal(chunk(blind, images), chunk(blind, None))


def test_a_camera_has_its_encoder_by_name_not_by_order() -> None:
    model = make("mlp", **SIGHTED).eval()
    turned = make("mlp", **(SIGHTED | {"cameras": dict(reversed(CAMERAS.items()))})).eval()
    turned.load_state_dict(model.state_dict())
    with torch.no_grad():
        chunks = [each.sample(torch.zeros(3), seeded(), None, one(pictures(1)))[0] for each in (model, turned)]
    assert torch.equal(*chunks)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (None, r"'corner': none.*\(20, 16, 3\), uint8, of each of corner, wrist"),
        ({"wrist": torch.zeros(2, 24, 16, 3, dtype=torch.uint8)}, r"'wrist': shape \(24, 16, 3\)"),
        ({"wrist": torch.zeros(2, 16, 24, 3)}, "float32"),
    ],
)
def test_images_that_a_model_cannot_take(changes: dict[str, Tensor] | None, word: str) -> None:
    state, actions, mask = samples(2)
    with pytest.raises(SpecError, match=word):
        make("mlp", **SIGHTED).loss(state, actions, mask, seeded(), changes and pictures(2) | changes)


def policy_of(model: ChunkModel) -> ChunkPolicy:
    return ChunkPolicy(model, PolicyInfo("p", "", "arm", "task", 4, 2, 3, 2, cameras=dict(model.shape.cameras)))


def test_a_policy_takes_images_of_its_cameras_alone() -> None:
    policy, state = policy_of(make("flow", dropout=0.1, **SIGHTED)), np.zeros(3)
    images: dict[str, Any] = {name: each[0].numpy() for name, each in pictures(1).items()}
    chunk = policy.predict(state, None, images)
    policy.reset(0)
    turned = {name: np.ascontiguousarray(each[::-1])[::-1] for name, each in images.items()}
    assert np.array_equal(policy.predict(state, images=turned | {"ceiling": np.zeros(1, np.uint8)}), chunk)
    for wrong, word in (
        (None, "no image of camera 'wrist' and no image of camera 'corner'"),
        ({"wrist": images["wrist"]}, "no image of camera 'corner'"),
        (images | {"corner": images["wrist"]}, r"'corner' of shape \(16, 24, 3\) and uint8"),
        (images | {"corner": images["corner"] / 255}, "float64"),
    ):
        with pytest.raises(SpecError, match=word) as caught:
            policy.predict(state, images=wrong)
        assert "wrist (16, 24, 3), corner (20, 16, 3)" in caught.value.remedy
    blind = policy_of(make("flow"))
    assert blind.predict(state, images=images).shape == (4, 2)


# --- dropout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sighted", [False, True])
def test_chunks_differ_by_dropout_alone(name: str, sighted: bool) -> None:
    model = make(name, dropout=0.2, **(SIGHTED if sighted else {})).eval()
    images, state = one(pictures(1)) if sighted else None, torch.ones(3)
    torch.manual_seed(7)
    with torch.no_grad():
        chunks = model.samples_with_dropout(state, seeded(), 6, images)
        assert chunks.shape == (6, 4, 2)
        assert len({each.numpy().tobytes() for each in chunks}) == 6
        assert torch.equal(chunks, model.samples_with_dropout(state, seeded(), 6, images))
        certain = model.sample(state, seeded(), None, images)[0]
        assert torch.equal(certain, model.sample(state, seeded(), None, images)[0])
    assert not model.training
    assert not any(layer.training for layer in model.modules())
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(1))


def test_dropout_is_on_inside_alone_whatever_happens_there() -> None:
    model = make("act", dropout=0.2).eval()
    with pytest.raises(ZeroDivisionError), model.dropout_on():
        for layer in model.modules():
            assert layer.training == isinstance(layer, nn.Dropout)
        _ = 1 / 0
    assert not any(layer.training for layer in model.modules())
    with model.train().dropout_on():
        pass
    assert all(layer.training for layer in model.modules())


@pytest.mark.parametrize("name", NAMES)
def test_dropout_changes_no_weight_and_none_of_it_no_chunk(name: str) -> None:
    with_it, without = make(name, dropout=0.5).eval(), make(name).eval()
    without.load_state_dict(with_it.state_dict())
    with torch.no_grad():
        assert torch.equal(with_it.sample(torch.ones(3), seeded())[0], without.sample(torch.ones(3), seeded())[0])
    with pytest.raises(SpecError, match="no dropout"):
        without.samples_with_dropout(torch.ones(3), seeded(), 2)


# --- ACT ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kl_weight", "least", "most"), [(0.0, 0.0, 0.3), (10.0, 0.8, 1.2)])
def test_the_style_tells_two_ways_apart_unless_that_costs_too_much(kl_weight: float, least: float, most: float) -> None:
    """One state and two chunks: without the style no loss below 1 can be had."""
    model = make("act", depth=1, kl_weight=kl_weight)
    actions = torch.tensor([1.0, -1.0]).repeat(16).view(32, 1, 1).expand(32, 4, 2)
    optimizer, generator = torch.optim.Adam(model.parameters(), lr=1e-2), seeded()
    for _ in range(70):
        loss = model.loss(torch.zeros(32, 3), actions, torch.ones(32, 4), generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert least <= float(loss.detach()) < most


def test_a_chunk_is_made_with_the_style_nought_and_without_randomness() -> None:
    model = make("act").eval()
    with torch.no_grad():
        first, second = (model.sample(torch.ones(3), seeded(seed))[0] for seed in (0, 1))
        assert torch.equal(first, second)
        assert isinstance(model, ACTModel)
        assert torch.equal(first, model._act(torch.ones(1, 3), torch.zeros(1, 16))[0])
        assert not torch.equal(first, model._act(torch.ones(1, 3), torch.ones(1, 16))[0])


def test_attention_is_what_torch_computes() -> None:
    torch.manual_seed(0)
    attention = Attention(16, 4)
    rows, memory = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    real = torch.rand(3, 7) < 0.6
    real[:, 0] = True
    key, value = attention.key_value(memory).chunk(2, dim=-1)
    heads = [each.view(3, -1, 4, 4).transpose(1, 2) for each in (attention.query(rows), key, value)]
    for mask, given_mask in ((None, None), (real, real[:, None, None])):
        expected = nn.functional.scaled_dot_product_attention(*heads, attn_mask=given_mask)
        found = attention(rows, memory, mask)
        assert torch.allclose(found, attention.out(expected.transpose(1, 2).flatten(2)), atol=1e-6)


def test_rows_that_are_not_wanted_are_not_needed() -> None:
    torch.manual_seed(0)
    encoder, rows = Encoder(2, 16, 4, 32, 0.0), torch.randn(3, 5, 16)
    real = torch.ones(3, 5, dtype=torch.bool)
    real[0, 3:] = False
    assert torch.allclose(encoder(rows, real)[:, :2], encoder(rows, real, wanted=2), atol=1e-6)


# --- configurations and checkpoints -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "word"),
    [
        ("mlp", {"cameras": {"corner": (8, 16)}}, "cameras"),
        ("mlp", {"cameras": {"corner": (16, 10_000)}}, "cameras"),
        ("mlp", {"cameras": {"corner": (16, 16, 3)}}, "cameras"),
        ("mlp", {"cameras": 3}, "cameras"),
        ("mlp", {"cameras": {str(number): (16, 16) for number in range(9)}}, "cameras"),
        ("mlp", {"dropout": 1.0}, "dropout"),
        ("mlp", {"dropout": float("nan")}, "dropout"),
        ("mlp", {"heads": 2}, "heads"),
        ("act", {"heads": 3}, "multiple of heads 3"),
        ("act", {"width": 15, "heads": 5}, "must be even"),
        ("act", {"kl_weight": -1}, "kl_weight"),
        ("act", {"latent": 0}, "latent"),
        ("act", {"steps": 5}, "steps"),
    ],
)
def test_bad_configurations(name: str, changes: dict[str, Any], word: str) -> None:
    with pytest.raises(SpecError, match=word):
        build_model(name, SIZES | changes)


def saved(path: Path, name: str, **sizes: Any) -> tuple[ChunkModel, CheckpointMeta]:
    model = make(name, state_dim=ROBOT.state_dim, action_dim=ROBOT.action_dim, **sizes)
    meta = CheckpointMeta(
        policy_id="01JD0000000000000000000001",
        architecture=name,
        config=model.config.model_dump(),
        **interface_of(ROBOT),
        task="pick_and_place",
        horizon=4,
        execute=2,
        dataset_version="ab" * 32,
        episodes=[],
        software_version="test",
        seed=0,
        training={},
        losses={},
        train_s=0.0,
        created_at="2026-01-01T00:00:00+00:00",
    )
    save_checkpoint(path, model, meta)
    return model, meta


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sighted", [False, True])
def test_a_checkpoint_brings_back_the_same_policy(tmp_path: Path, name: str, sighted: bool) -> None:
    path = tmp_path / "checkpoint.pt"
    sizes = {"cameras": CAMERAS, "image_features": 8, "dropout": 0.25} if sighted else {}
    model, meta = saved(path, name, **sizes)
    loaded = load_checkpoint(path)
    assert loaded.meta == meta == read_meta(path)
    assert loaded.model.config == model.config
    assert meta.cameras == (CAMERAS if sighted else {})
    policy = load_policy(path)
    assert policy.info.cameras == meta.cameras
    images = {camera: each[0].numpy() for camera, each in pictures(1).items()}
    state: Array = np.linspace(-1, 1, ROBOT.state_dim)
    expected = ChunkPolicy(model, policy.info).predict(state, images=images)
    assert np.array_equal(policy.predict(state, images=images), expected)


@pytest.mark.parametrize("name", ["flow", "mlp", "ensemble"])
def test_a_checkpoint_from_before_there_were_cameras_loads(tmp_path: Path, name: str) -> None:
    path = tmp_path / "old.pt"
    model, meta = saved(path, name)
    config = {key: value for key, value in meta.config.items() if key not in ("cameras", "image_features", "dropout")}
    save_checkpoint(path, model, meta.model_copy(update={"config": config}))
    assert "cameras" not in read_meta(path).config
    loaded = load_checkpoint(path)
    assert loaded.model.config == model.config
    assert loaded.meta.cameras == {}


def test_cameras_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    model, meta = saved(path, "mlp", cameras=CAMERAS, image_features=8)
    for cameras in ({"corner": [20, 16]}, {"corner": [20, 16], "wrist": [16, 9999]}, 7):
        save_checkpoint(path, model, meta.model_copy(update={"config": {**meta.config, "cameras": cameras}}))
        with pytest.raises(CheckpointError, match=str(path)):
            load_checkpoint(path)


def test_a_policy_that_sees_images_does_not_drive_yet(tmp_path: Path) -> None:
    from xrollout_ros.graph.description import describe
    from xrollout_ros.sim.loop import run_attempt

    path = tmp_path / "checkpoint.pt"
    saved(path, "flow", cameras=CAMERAS, image_features=8)
    with pytest.raises(CheckpointError, match=r"needs images of wrist, corner.*cannot be deployed yet"):
        describe("deploy", {"model": str(path)})
    with pytest.raises(CheckpointError, match="cannot be deployed yet"):
        load_policy(path, ROBOT, load_task("pick_and_place"))
    with pytest.raises(SpecError, match="needs images of wrist, corner"):
        run_attempt(None, ROBOT, 0, "nominal", policy=load_policy(path))  # type: ignore[arg-type]
