"""Batches: the right images with the right rows, read ahead, and what goes wrong there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.models import build_model
from xrollout_ros.learning.training.loader import Samples, batches
from xrollout_ros.learning.windows import windows

SIZES = {"state_dim": 1, "action_dim": 1, "horizon": 2, "width": 8, "depth": 1}


def episodes(folder: Path, rows: int = 12, count: int = 3) -> list[TrainingEpisode]:
    """Row ``r`` of episode ``e`` has the state ``100 e + r``, and an image of that brightness, mapped from disk."""
    found = []
    for number in range(count):
        values = 100.0 * number + np.arange(rows)
        np.save(
            folder / f"{number}.npy",
            np.ones((rows, 16, 16, 3), np.uint8) * values.astype(np.uint8)[:, None, None, None],
        )
        images = np.load(folder / f"{number}.npy", mmap_mode="r")
        usable = np.arange(rows) >= 2
        found.append(
            TrainingEpisode(str(number), "t", values[:, None], values[:, None], usable, images={"hand": images})
        )
    return found


def load(folder: Path, **given: Any) -> tuple[Samples, list[torch.Tensor]]:
    data = episodes(folder)
    samples = Samples(windows(data, 2), data, build_model("mlp", SIZES | {"cameras": {"hand": [16, 16]}}), **given)
    return samples, list(torch.split(torch.randperm(len(samples), generator=torch.Generator().manual_seed(0)), 8))


def test_images_are_those_of_their_rows(tmp_path: Path) -> None:
    samples, parts = load(tmp_path)
    waits: list[int] = []
    found = list(batches(samples, parts, None, waits.append, SystemClock()))
    assert [len(batch.index) for batch in found] == [8, 8, 8, 6]
    assert len(waits) == 4
    for batch in found:
        assert batch.images is not None
        assert torch.equal(batch.images["hand"][:, 5, 5, 1], batch.state[:, 0].to(torch.uint8))
    assert sorted(torch.cat([batch.index for batch in found]).tolist()) == list(range(30))


def test_augmentation_follows_from_the_generator(tmp_path: Path) -> None:
    def noise(images: Any, generator: torch.Generator) -> Any:
        return {
            name: each + torch.randint(1, 9, each.shape, generator=generator).byte() for name, each in images.items()
        }

    def shift(state: Any, actions: Any, mask: Any, generator: torch.Generator) -> Any:
        return state + torch.rand(len(state), 1, generator=generator), actions, mask

    samples, parts = load(tmp_path, augment=shift, augment_images=noise)

    def drawn(seed: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        found = [
            (batch.state, batch.images) for batch in batches(samples, parts, generator, lambda ns: None, SystemClock())
        ]
        return [state for state, _ in found] + [images["hand"] for _, images in found if images is not None]

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    plain = next(iter(batches(samples, parts, None, lambda ns: None, SystemClock())))
    assert torch.equal(plain.state[:, 0], samples.batch(parts[0]).state[:, 0])


def test_an_image_that_cannot_be_read_ends_the_training_with_its_reason(tmp_path: Path) -> None:
    samples, parts = load(tmp_path)

    class Broken:
        shape = (12, 16, 16, 3)

        def __getitem__(self, row: int) -> Any:
            raise OSError("the disk is gone")

    samples._episodes[1].images["hand"] = Broken()  # type: ignore[index]
    with pytest.raises(OSError, match="the disk is gone"):
        list(batches(samples, parts, None, lambda ns: None, SystemClock()))


def test_one_who_stops_early_leaves_no_thread(tmp_path: Path) -> None:
    import threading

    samples, parts = load(tmp_path)
    loading = batches(samples, parts * 9, None, lambda ns: None, SystemClock())  # more than are read ahead
    next(loading)
    assert any(thread.name == "images" for thread in threading.enumerate())
    loading.close()
    assert not any(thread.name == "images" for thread in threading.enumerate())
