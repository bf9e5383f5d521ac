"""What a training that was killed goes on from: its state after an epoch, kept beside the output."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import write_bytes, write_together

FORMAT = "xrollout.training"
VERSION = 1


def state_path(output: Path) -> Path:
    """Where the state of a training that is to write ``output`` lies."""
    return output.with_name(f".{output.name}.training")


def fingerprint(**what: Any) -> str:
    """SHA-256 of all that a training's result follows from."""
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class TrainingState:
    """Keeps the state of one training.

    Args:
        path: of the file.
        run: fingerprint of this training; the state of another is never taken for its own.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path, self.run = path, run

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep a state in the place of the one before; whole or not at all.

        Raises:
            DataError: the disk refuses.
        """
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "format_version": VERSION, "run": self.run, **state}, buffer)
        data = buffer.getvalue()
        write_together({self.path: lambda fresh: write_bytes(fresh, data)})

    def load(self) -> dict[str, Any] | None:
        """The state to go on from; None: there is none.

        Raises:
            DataError: there is one of another training, or it is damaged.
        """
        if not self.path.exists():
            return None
        anew = f"`--restart` trains from the beginning and lets {self.path} go; or name another --output."
        try:
            found = torch.load(io.BytesIO(self.path.read_bytes()), map_location="cpu", weights_only=True)
            run, version = found["run"], found["format_version"]
            if found["format"] != FORMAT or version != VERSION:
                raise ValueError(f"format {found['format']!r}, version {version!r}")
        except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the state of an interrupted training, {self.path}, cannot be read ({error})", anew
            ) from error
        if run != self.run:
            raise DataError(
                f"{self.path} is the state of another training that was interrupted (other data, options or versions)",
                f"Give the same arguments again to go on with that one. {anew}",
            )
        return dict(found)

    def forget(self) -> None:
        """The training is over, or is not to be gone on with."""
        self.path.unlink(missing_ok=True)
