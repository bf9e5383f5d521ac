"""Gives training its batches: low-dimensional rows from memory, images from disk, read ahead by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrollout_ros.core.clock import Clock
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.models import ChunkModel
from xrollout_ros.learning.models.vision import Images
from xrollout_ros.learning.windows import Windows

AHEAD = 4
"""Batches that are read before they are needed."""
TOGETHER = 64
"""Batches that are gathered from memory at once."""
Augment = Callable[[Tensor, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor, Tensor]]
"""Varies states ``(B, D)``, chunks ``(B, H, A)`` in the robot's units, and mask ``(B, H)``."""
AugmentImages = Callable[[Images, torch.Generator], Images]
"""Varies images ``(B, H, W, 3) uint8`` by camera."""


@dataclass(frozen=True)
class Batch:
    """Samples of one step, on the device of the training; states and actions normalized."""

    index: Tensor
    """(B,) numbers of the windows."""
    state: Tensor
    actions: Tensor
    mask: Tensor
    images: Images | None
    """(B, H, W, 3) uint8 by camera; None: the policy sees none."""

    def split(self, sizes: list[int]) -> list[Batch]:
        """Consecutive parts of a batch without images."""
        split = (torch.split(each, sizes) for each in (self.index, self.state, self.actions, self.mask))
        rows = zip(*split, strict=True)
        return [Batch(index, state, actions, mask, None) for index, state, actions, mask in rows]


class Samples:
    """Windows as tensors, and the images that belong to them."""

    def __init__(
        self,
        windows: Windows,
        episodes: Sequence[TrainingEpisode],
        model: ChunkModel,
        device: str = "cpu",
        augment: Augment | None = None,
        augment_images: AugmentImages | None = None,
    ) -> None:
        """
        Args:
            windows: cut from ``episodes``.
            episodes: have the images, which may be mapped from disk.
            model: says which cameras it sees, and has the normalization.
            device: where batches go.
            augment: varies each batch before it is normalized.
            augment_images: varies its images.
        """
        self.cameras = tuple(model.shape.cameras)
        self._windows, self._episodes, self._device = windows, episodes, device
        self._augment, self._augment_images = augment, augment_images
        self._normalizer = model.normalizer
        raw = torch.from_numpy(windows.state), torch.from_numpy(windows.actions)
        self._state, self._actions = raw if augment is not None else self._normalized(*raw)
        self._mask = torch.from_numpy(windows.mask)

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def as_it_is(self) -> bool:
        """Whether states and actions are not varied."""
        return self._augment is None

    @torch.no_grad()
    def _normalized(self, state: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        where = self._normalizer.state_mean.device
        return self._normalizer.state(state.to(where)), self._normalizer.action(actions.to(where))

    def batch(self, index: Tensor, generator: torch.Generator | None = None) -> Batch:
        """The windows of these numbers.

        Args:
            index: ``(B,)``
            generator: randomness of the augmentation; None: nothing is augmented.
        """
        state, actions, mask = self._state[index], self._actions[index], self._mask[index]
        if self._augment is not None:
            if generator is not None:
                state, actions, mask = self._augment(state, actions, mask, generator)
            state, actions = self._normalized(state, actions)
        return Batch(index, state.to(self._device), actions.to(self._device), mask.to(self._device), None)

    def images(self, index: Tensor) -> dict[str, npt.NDArray[np.uint8]] | None:
        """Images ``(B, H, W, 3)`` of these windows by camera, read from wherever they lie."""
        if not self.cameras:
            return None
        numbers = index.numpy()
        episode, row = self._windows.episode[numbers], self._windows.row[numbers]
        found = {}
        for camera in self.cameras:
            height, width = self._episodes[0].images[camera].shape[1:3]
            out = np.empty((len(numbers), height, width, 3), dtype=np.uint8)
            # Rows of one episode lie side by side on disk: in order, neighbours are read together.
            for place in np.lexsort((row, episode)):
                out[place] = self._episodes[episode[place]].images[camera][row[place]]
            found[camera] = out
        return found

    def joined(
        self, batch: Batch, images: Mapping[str, npt.NDArray[np.uint8]], generator: torch.Generator | None = None
    ) -> Batch:
        """A batch with its images, varied where there is a generator."""
        tensors: Images = {name: torch.from_numpy(each).to(self._device) for name, each in images.items()}
        if self._augment_images is not None and generator is not None:
            tensors = self._augment_images(tensors, generator)
        return Batch(batch.index, batch.state, batch.actions, batch.mask, tensors)


def batches(
    samples: Samples,
    parts: Sequence[Tensor],
    generator: torch.Generator | None,
    waited: Callable[[int], None],
    clock: Clock,
) -> Iterator[Batch]:
    """The batches of these windows, in order.

    Args:
        samples: where they come from.
        parts: numbers of the windows of each batch.
        generator: randomness of the augmentation, used in the order of the batches; None: nothing is augmented.
        waited: told the ns that the training spent waiting for each batch.
        clock: measures them.

    Raises:
        Exception: whatever reading an image raised.
    """
    if not samples.cameras:
        # What is not varied is gathered for several batches at once: their slices cost next to nothing.
        together = TOGETHER if samples.as_it_is or generator is None else 1
        for first in range(0, len(parts), together):
            block = parts[first : first + together]
            begin = clock.steady_ns()
            gathered = samples.batch(torch.cat(list(block)), generator).split([len(index) for index in block])
            waited(clock.steady_ns() - begin)
            yield from gathered
        return
    ready: queue.Queue[dict[str, npt.NDArray[np.uint8]] | Exception | None] = queue.Queue(AHEAD)
    stop = threading.Event()

    def put(item: dict[str, npt.NDArray[np.uint8]] | Exception | None) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for index in parts:
                if stop.is_set():
                    return
                put(samples.images(index))
        except Exception as error:
            put(error)

    thread = threading.Thread(target=read, name="images", daemon=True)
    thread.start()
    try:
        for index in parts:
            begin = clock.steady_ns()
            images = ready.get()
            if isinstance(images, Exception):
                raise images
            waited(clock.steady_ns() - begin)
            assert images is not None, "samples with cameras have images"
            yield samples.joined(samples.batch(index, generator), images, generator)
    finally:
        stop.set()
        thread.join()
