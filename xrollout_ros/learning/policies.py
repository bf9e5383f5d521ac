"""A trained model as the runtime sees it: the ``Policy`` port."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.learning.models import ChunkModel


class ChunkPolicy:
    """Makes action chunks with a trained model, on one core; implements ``core.ports.Policy``.

    A seed gives the same chunks, bit for bit, in every process on one machine: the noise comes from a generator of its
    own, and torch works with one thread (it is switched to one at each call, since a network this small gains nothing
    from more). Values are only un-normalized; limits are the supervisor's business.
    """

    def __init__(self, model: ChunkModel, info: PolicyInfo) -> None:
        self._model = model.eval().requires_grad_(False)
        self._info = info
        self._generator = torch.Generator()
        self.reset(0)

    @property
    def info(self) -> PolicyInfo:
        return self._info

    def reset(self, seed: int) -> None:
        """Begin an attempt: the chunks until the next reset follow from ``seed``, any whole number.

        Torch's generator takes the lowest 32 bits of it.
        """
        self._generator.manual_seed(seed % 2**64)

    def predict(self, state: Array) -> npt.NDArray[np.float32]:
        """Action chunk ``(H, A) float32`` in the robot's units, not clipped, for inputs ``(I,) float64``.

        Raises:
            SpecError: the state has another size.
        """
        if state.shape != (self._info.state_dim,):
            raise SpecError(
                f"policy {self._info.policy_id} was given a state of shape {state.shape}",
                f"It needs ({self._info.state_dim},), the state vector of robot {self._info.robot!r}"
                + (" after its processors." if self._info.processors else "."),
            )
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        with torch.inference_mode():
            normalizer = self._model.normalizer
            row = torch.tensor(state, dtype=torch.float32)
            chunk = normalizer.action_back(self._model.sample(normalizer.state(row), self._generator))
            actions: npt.NDArray[np.float32] = chunk.numpy().copy()
        return actions
