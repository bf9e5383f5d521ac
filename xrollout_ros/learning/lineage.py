"""What checkpoints say of their lineage, as records that a data folder keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from xrollout_ros.core.errors import CheckpointError
from xrollout_ros.episodes.lineage.records import PolicyRecord
from xrollout_ros.learning.metadata import CheckpointMeta, meta_from_bytes, read_bytes, sha256

_SUFFIXES = (".pt", ".pth", ".ckpt")


def record_of(meta: CheckpointMeta, checkpoint_hash: str, path: Path) -> PolicyRecord:
    """The record of a checkpoint."""
    return PolicyRecord(
        policy_id=meta.policy_id,
        checkpoint_hash=checkpoint_hash,
        parent_policy_id=meta.parent_policy_id,
        parent_checkpoint_hash=meta.parent_checkpoint_hash,
        dataset_version=meta.dataset_version,
        episodes=tuple(meta.episodes),
        held_out=tuple(meta.held_out),
        architecture=meta.architecture,
        task=meta.task,
        robot=meta.robot,
        created_at=meta.created_at,
        software_version=meta.software_version,
        checkpoint=str(path.absolute()),
    )


def record_in(path: Path) -> PolicyRecord:
    """The record of a checkpoint file.

    Raises:
        CheckpointError: it is missing, damaged or foreign.
    """
    data = read_bytes(path)
    return record_of(meta_from_bytes(data, path), sha256(data), path)


def records_in(folder: Path, *, below: bool) -> tuple[list[PolicyRecord], list[str]]:
    """Records of the checkpoints in a folder, and what is wrong with those that cannot be read.

    The history that training writes beside a checkpoint says the same and is quicker to read.

    Args:
        folder: where to look.
        below: in its folders, too.

    Raises:
        CheckpointError: there is no such folder.
    """
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder} of checkpoints", "Mend the path given to --models.")
    records, problems = [], []
    for path in _checkpoints(folder, below=below):
        try:
            records.append(_beside(path) or record_in(path))
        except CheckpointError as error:
            problems.append(error.what)
    return records, problems


def _checkpoints(folder: Path, *, below: bool) -> Iterable[Path]:
    found = folder.rglob("*") if below else folder.iterdir()
    return sorted(path for path in found if path.suffix in _SUFFIXES and path.is_file())


def _beside(path: Path) -> PolicyRecord | None:
    """What the history beside a checkpoint says; None: there is none that is newer than it and can be read."""
    history = path.with_name(f"{path.name}.json")
    try:
        if history.stat().st_mtime < path.stat().st_mtime - 60:  # they are written together
            return None
        document = json.loads(history.read_bytes())
        meta = CheckpointMeta.model_validate(document["meta"])
        return record_of(meta, str(document["checkpoint_hash"]), path)
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
