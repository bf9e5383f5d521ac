"""Images: what the encoder makes of them, and how they are varied in training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch
from torch import Tensor

from xrollout_ros.core.threads import one_thread
from xrollout_ros.learning.augment.images import augment_images
from xrollout_ros.learning.models.vision import SpatialSoftmax, Vision


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    with one_thread():
        yield


def spots(count: int, seed: int, side: int = 32) -> tuple[Tensor, Tensor]:
    """Noisy images ``(N, side, side, 3)`` with a bright spot each, and where it is, across and down in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 120, (count, side, side, 3), generator=generator, dtype=torch.uint8)
    places = torch.randint(3, side - 3, (count, 2), generator=generator)
    for image, (across, down) in zip(images, places.tolist(), strict=True):
        image[down - 1 : down + 2, across - 1 : across + 2] = torch.tensor([250, 40, 40], dtype=torch.uint8)
    return images, 2 * places / (side - 1) - 1


def test_the_encoder_learns_where_something_is() -> None:
    torch.manual_seed(0)
    vision, out = Vision({"corner": (32, 32)}, 16), torch.nn.Linear(16, 2)
    optimizer = torch.optim.Adam([*vision.parameters(), *out.parameters()], lr=3e-3)
    images, places = spots(128, 0)
    for step in range(120):
        part = slice(32 * (step % 4), 32 * (step % 4) + 32)
        error = (out(vision({"corner": images[part]})[:, 0]) - places[part]).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    images, places = spots(64, 1)
    with torch.no_grad():
        error = (out(vision({"corner": images})[:, 0]) - places).abs().mean()
    assert error < 0.35 * places.abs().mean()


def test_the_spatial_softmax_finds_a_peak() -> None:
    maps = torch.zeros(1, 2, 5, 9)
    maps[0, 0, 1, 8] = maps[0, 1, 4, 0] = 50
    across_down = SpatialSoftmax()(maps).detach()
    assert torch.allclose(across_down, torch.tensor([[1.0, -1.0, -0.5, 1.0]]), atol=1e-4)


def test_features_do_not_depend_on_the_rest_of_the_batch() -> None:
    torch.manual_seed(0)
    vision = Vision({"corner": (32, 32)}, 16)
    images = spots(6, 0)[0]
    with torch.no_grad():
        whole = vision({"corner": images})
        assert torch.allclose(whole[2:3], vision({"corner": images[2:3]}), atol=1e-5)


def batch(seed: int = 0, count: int = 4) -> dict[str, Tensor]:
    return {"wrist": spots(count, seed, 24)[0], "corner": spots(count, seed + 1)[0]}


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 0.45), st.floats(0, 1), st.integers(0, 2**31))
def test_varied_images_are_images_that_follow_from_the_seed(crop: float, color: float, seed: int) -> None:
    images = batch()
    before = {name: each.clone() for name, each in images.items()}
    made = [augment_images(images, torch.Generator().manual_seed(seed), crop=crop, color=color) for _ in range(2)]
    assert list(made[0]) == ["corner", "wrist"]
    for name, each in made[0].items():
        assert each.shape == images[name].shape
        assert each.dtype == torch.uint8
        assert torch.equal(each, made[1][name])
        assert torch.equal(images[name], before[name])


def test_nothing_is_varied_where_nothing_is_to_be() -> None:
    images = batch()
    same = augment_images(images, torch.Generator(), crop=0, color=0)
    assert all(torch.equal(same[name], images[name]) for name in images)
    nearly = augment_images(images, torch.Generator(), crop=1e-6, color=1e-6)
    assert all((nearly[name].int() - images[name].int()).abs().max() <= 1 for name in images)


def test_each_sample_and_camera_varies_by_itself() -> None:
    same = spots(1, 0)[0].expand(5, -1, -1, -1)
    for crop, color in ((0.2, 0.0), (0.0, 0.5)):
        made = augment_images({"a": same, "b": same}, torch.Generator().manual_seed(0), crop=crop, color=color)
        assert len({each.numpy().tobytes() for images in made.values() for each in images}) == 10


def test_a_cut_image_shows_a_part_of_the_image_enlarged() -> None:
    """Values that grow across and down still do, and stay within those of the image."""
    ramp = torch.arange(32, dtype=torch.uint8)
    images = (3 * ramp[:, None] + 4 * ramp).view(1, 32, 32, 1).expand(20, 32, 32, 3).contiguous()
    made = augment_images({"a": images}, torch.Generator().manual_seed(0), crop=0.3, color=0)["a"].int()
    assert (made.diff(dim=1) >= 0).all()
    assert (made.diff(dim=2) >= 0).all()
    assert made.min() >= 0
    assert made.max() <= images.max()
    # What is lost lies at the sides: none is left of more than 60 %, and something of nearly all.
    spread = made[:, -1, -1] - made[:, 0, 0]
    whole = int(images.max())
    assert (spread >= 0.4 * whole - 8).all()
    assert (spread < whole).sum() > 50


def test_other_light_keeps_places_and_changes_brightness_both_ways() -> None:
    images = torch.full((200, 16, 16, 3), 100, dtype=torch.uint8)
    made = augment_images({"a": images}, torch.Generator().manual_seed(0), crop=0, color=0.3)["a"].float()
    assert (made.flatten(1).std(1) == 0).all()
    assert 69 <= made.min() < 80
    assert 120 < made.max() <= 131
