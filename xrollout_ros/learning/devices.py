"""Where a policy is computed."""

from __future__ import annotations

import torch

from xrollout_ros.core.errors import SpecError

DEVICES = ("auto", "cpu", "cuda")
WORTH_A_GPU = 5_000_000
"""Parameters from which ``auto`` takes a GPU: a small network loses more by the way there than it gains."""


def choose_device(asked: str, parameters: int) -> str:
    """The torch device for a network of so many parameters.

    Raises:
        SpecError: ``asked`` is unknown, or it is ``cuda`` and there is none.
    """
    if asked not in DEVICES:
        raise SpecError(f"device is {asked!r}", f"Allowed are {', '.join(DEVICES)}.")
    if asked == "auto":
        return "cuda" if parameters >= WORTH_A_GPU and torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda or "none: this torch was built for the CPU"
        raise SpecError(
            f"device is 'cuda', but torch {torch.__version__} finds no usable GPU (CUDA of this build: {built})",
            "Install a driver and a CUDA build of torch, or take device:=cpu.",
        )
    return asked
