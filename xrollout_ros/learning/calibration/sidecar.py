"""The calibration beside a checkpoint: ``checkpoint.pt.calibration.json``. The checkpoint itself is never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xrollout_ros.core.calibration import FORMAT, VERSION, Calibration
from xrollout_ros.core.errors import CheckpointError
from xrollout_ros.core.files import write_bytes, write_together

SUFFIX = ".calibration.json"


def sidecar_of(checkpoint: Path) -> Path:
    """Where the calibration of a checkpoint is."""
    return checkpoint.with_name(checkpoint.name + SUFFIX)


def write_calibration(calibration: Calibration, checkpoint: Path) -> Path:
    """Write it whole or not at all, in the place of one that was there; gives where.

    Raises:
        DataError: the disk refuses.
    """
    path = sidecar_of(checkpoint)
    data = (calibration.model_dump_json(indent=2) + "\n").encode()
    write_together({path: lambda fresh: write_bytes(fresh, data)})
    return path


def read_calibration(
    checkpoint: Path, checkpoint_hash: str, detectors: tuple[str, ...] | None = None
) -> Calibration | None:
    """The calibration of a checkpoint; None: there is none.

    Args:
        checkpoint: the file.
        checkpoint_hash: its SHA-256.
        detectors: those that the policy has; None: not known here.

    Raises:
        CheckpointError: it is damaged, foreign, of a newer version, of another checkpoint, or about detectors that the
            policy does not have.
    """
    path = sidecar_of(checkpoint)
    again = f"Make it again with `xrollout calibrate --model {checkpoint}`, or delete it: alarms are only logged then."
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"calibration {path} cannot be read ({error})", "Mend its permissions.") from error
    try:
        found = Calibration.model_validate_json(text)
    except ValidationError as error:
        raise CheckpointError(_what_is_wrong(path, error), again) from error
    if found.checkpoint_hash != checkpoint_hash:
        raise CheckpointError(
            f"calibration {path} is of another checkpoint (SHA-256 {found.checkpoint_hash}) than the one beside it "
            f"({checkpoint_hash})",
            again,
        )
    missing = [name for name in found.names if detectors is not None and name not in detectors]
    if missing:
        raise CheckpointError(
            f"calibration {path} combines {', '.join(missing)}, which the policy does not have; it has "
            f"{', '.join(detectors or ())}",
            again,
        )
    return found


def _what_is_wrong(path: Path, error: ValidationError) -> str:
    problems: list[Any] = error.errors(include_url=False)
    named = {item["loc"]: item for item in problems}
    if ("format",) in named:
        return f"{path} is no calibration: its format is {named[('format',)]['input']!r}, not {FORMAT!r}"
    if ("version",) in named:
        return f"calibration {path} has version {named[('version',)]['input']!r}, this software reads {VERSION}"
    where = ".".join(map(str, problems[0]["loc"])) or "the whole document"
    return f"calibration {path} is damaged: {where}: {problems[0]['msg'].removeprefix('Value error, ')}"
