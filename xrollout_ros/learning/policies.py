"""A trained model as the runtime sees it: the ``Policy`` port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import PolicyInfo, Prefix
from xrollout_ros.learning.models import ChunkModel
from xrollout_ros.learning.models.prefix import Given
from xrollout_ros.learning.scores import dropout_variance, novelty_scores
from xrollout_ros.runtime.novelty import Novelty


class ChunkPolicy:
    """Makes action chunks with a trained model; implements ``core.ports.Policy``.

    A seed gives the same chunks, bit for bit, in every process on one machine: the noise comes from a generator of its
    own, and on the CPU torch works with one thread (it is switched to one at each call), so that inference takes one
    core from the other nodes at most; a network this small gains nothing from more. Values are only un-normalized;
    limits are the supervisor's business.

    Args:
        model: moved to ``device``.
        info: what is known of it.
        device: a torch device.
        novelties: score each state that it is asked about.
        temperature: what the noise of its chunks is multiplied by; 1: as it was trained.

    Raises:
        SpecError: there is no noise that another temperature would change.
    """

    def __init__(
        self,
        model: ChunkModel,
        info: PolicyInfo,
        device: str = "cpu",
        novelties: Sequence[Novelty] = (),
        temperature: float = 1.0,
    ) -> None:
        if temperature != 1.0 and not model.samples_noise:
            raise SpecError(
                f"temperature {temperature:g}: a policy of the architecture {model.name} draws no noise",
                "Only flow policies do; leave the temperature at 1.",
            )
        model.temperature = temperature
        self._model = model.to(device).eval().requires_grad_(False)
        self._device = device
        self._info = info
        self._novelties = novelties
        self._generator = torch.Generator()
        self._scores: dict[str, float] = {}
        self.reset(0)

    @property
    def info(self) -> PolicyInfo:
        return self._info

    @property
    def device(self) -> str:
        """Where it is computed."""
        return self._device

    @property
    def scores(self) -> Mapping[str, float]:
        return self._scores

    def reset(self, seed: int) -> None:
        """Begin an attempt: the chunks until the next reset follow from ``seed``, any whole number.

        Torch's generator takes the lowest 32 bits of it.
        """
        self._generator.manual_seed(seed % 2**64)

    def predict(
        self, state: Array, prefix: Prefix | None = None, images: Mapping[str, npt.NDArray[np.uint8]] | None = None
    ) -> npt.NDArray[np.float32]:
        """Action chunk ``(H, A) float32`` in the robot's units, not clipped, for inputs ``(I,) float64``.

        Args:
            state: what the processors made of a state vector.
            prefix: what the chunk goes on from; its frozen rows come back as they are.
            images: ``(H, W, 3) uint8`` RGB of each of its cameras; others are not looked at.

        Raises:
            SpecError: the state has another size, the policy can't be given so long a prefix, or an image is missing
                or of another size or type.
        """
        if state.shape != (self._info.state_dim,):
            raise SpecError(
                f"policy {self._info.policy_id} was given a state of shape {state.shape}",
                f"It needs ({self._info.state_dim},), the state vector of robot {self._info.robot!r}"
                + (" after its processors." if self._info.processors else "."),
            )
        if prefix is not None and not 0 < prefix.frozen <= min(len(prefix.actions), self._info.max_prefix):
            raise SpecError(
                f"policy {self._info.policy_id} was given a prefix of {prefix.frozen} frozen rows "
                f"out of {len(prefix.actions)}",
                f"Allowed are 1 to {self._info.max_prefix} (conditioning: {self._info.conditioning}).",
            )
        seen = self._images(images or {}) if self._info.cameras else None
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        # Not inference_mode: guidance needs gradients.
        with torch.no_grad():
            normalizer = self._model.normalizer
            row = normalizer.state(torch.tensor(state, dtype=torch.float32, device=self._device))
            given = None
            if prefix is not None:
                rows = torch.tensor(prefix.actions, dtype=torch.float32, device=self._device)
                given = Given(normalizer.action(rows), prefix.frozen)
            chunk, scores = self._model.sample(row, self._generator, given, seen, doubts=True)
            self._scores = {
                **novelty_scores(self._novelties, state),
                **scores,
                **dropout_variance(self._model, row, seen),
            }
            actions: npt.NDArray[np.float32] = normalizer.action_back(chunk).cpu().numpy().copy()
        if prefix is not None:
            # Through the normalization and back they would differ in the last bits.
            actions[: prefix.frozen] = prefix.actions[: prefix.frozen]
        return actions

    def _images(self, images: Mapping[str, npt.NDArray[np.uint8]]) -> dict[str, torch.Tensor]:
        """The images of its cameras on its device."""
        wrong = []
        for name, size in self._info.cameras.items():
            if name not in images:
                wrong.append(f"no image of camera {name!r}")
            elif images[name].shape != (*size, 3) or images[name].dtype != np.uint8:
                wrong.append(f"an image of camera {name!r} of shape {images[name].shape} and {images[name].dtype}")
        if wrong:
            needed = ", ".join(f"{name} ({high}, {wide}, 3)" for name, (high, wide) in self._info.cameras.items())
            raise SpecError(
                f"policy {self._info.policy_id} was given {' and '.join(wrong)}", f"It needs uint8 images: {needed}."
            )
        # Copies, since torch takes neither negative strides nor what cannot be written to.
        return {name: torch.from_numpy(images[name].copy()).to(self._device) for name in self._info.cameras}
